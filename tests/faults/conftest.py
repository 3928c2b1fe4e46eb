"""A running service with short leases, and a mail server that can be made to misbehave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.providers.smtp_servers import OddServer
from tests.running_service import RunningService, running_service

#: Seconds after which a worker that is not heard of has lost its records, and between two sweeps.
LEASE_SECONDS, SWEEP_SECONDS = 4, 1
HALF_CLOSE = "half-close"


class FaultyServer(OddServer):
    """A scripted server that can also stop talking while it goes on listening (``HALF_CLOSE``)."""

    async def _act(self, step: str, writer: asyncio.StreamWriter, said: list[bytes] | None = None) -> bytes:
        answers = self.script.get(step, [])
        if answers[:1] != [HALF_CLOSE]:
            return await super()._act(step, writer, said)
        if len(answers) > 1:
            answers.pop(0)
        writer.write_eof()
        return b""


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    settings = {"LEASE_SECONDS": str(LEASE_SECONDS), "SWEEP_SECONDS": str(SWEEP_SECONDS)}
    with running_service(tmp_path_factory.mktemp("faults"), **settings) as running:
        yield running


@pytest.fixture
def domain() -> str:
    """A domain that no other test sends to."""
    return f"{uuid4().hex}.example"


@pytest.fixture
def faulty_server(service: RunningService) -> Iterator[Callable[..., FaultyServer]]:
    """Run a scripted mail server and let the demo company send through it until the test ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    address = "/api/notifications/credentials/"
    found = service.call("GET", f"{address}?channel=email").body["results"]
    (credential,) = [each for each in found if each["provider"] == "smtp" and each["status"] == "active"]
    before = {name: credential["credentials"][name] for name in ("port", "timeout")}
    listeners: list[asyncio.Server] = []

    def point_to(**payload: Any) -> None:
        # In clear to another port: the secret is asked for.
        secret = {"password": "demo-mail-password"}
        answer = service.call("PATCH", f"{address}{credential['id']}/", {"credentials": {**payload, **secret}})
        assert answer.status == 200, answer.body

    def start(**script: Any) -> FaultyServer:
        server = FaultyServer(script)

        async def listen() -> asyncio.Server:
            return await asyncio.start_server(server.serve, "127.0.0.1", 0)

        listeners.append(asyncio.run_coroutine_threadsafe(listen(), loop).result(5))
        server.port = listeners[-1].sockets[0].getsockname()[1]
        point_to(port=server.port, timeout=1)
        return server

    async def stop() -> None:
        for listener in listeners:
            listener.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    yield start
    point_to(**before)
    asyncio.run_coroutine_threadsafe(stop(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()
