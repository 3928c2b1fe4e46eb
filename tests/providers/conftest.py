from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop

from tests.providers.smtp_servers import make_certificate
from tests.providers.vendor_ends import running_sandbox
from tests.sandbox.conftest import Sandbox

T = TypeVar("T")


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, T]], T]:
    """Run a coroutine in an event loop of its own, of both kinds, for at most 20 seconds."""

    def runner(coroutine: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            return await asyncio.wait_for(coroutine, 20)

        factory = uvloop.new_event_loop if request.param == "uvloop" else None
        with asyncio.Runner(loop_factory=factory) as loop:
            return loop.run(bounded())

    return runner


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for localhost: the file, and a server context that uses it."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The sandbox program, for the tests of one vendor."""
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as program:
        yield program


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    """The sandbox with no message in it."""
    running.request("/api/messages", "DELETE")
    return running
