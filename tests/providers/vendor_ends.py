"""The sandbox as a real program, for providers to talk to."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from aiohttp import web

from notifications.providers.base import CredentialSchema, OutgoingMessage, Provider, SendResult
from tests.providers.smtp_servers import LOCAL
from tests.sandbox.conftest import Sandbox

P = TypeVar("P", bound=Provider[Any])


@contextlib.contextmanager
def running_sandbox(directory: Path) -> Iterator[Sandbox]:
    """Run the sandbox program; it must end well."""
    program = Sandbox(directory)
    try:
        yield program
    finally:
        code, logged = program.stop()
    assert code == 0
    assert [line for line in logged if line.get("level") == "error"] == []


@contextlib.asynccontextmanager
async def opened(kind: type[P]) -> AsyncIterator[P]:
    """A provider that may talk to this machine, closed in the end."""
    provider = kind(network_policy=LOCAL)
    try:
        yield provider
    finally:
        await provider.aclose()


def message_to(recipient: str, lane: str = "normal", **content: Any) -> OutgoingMessage:
    """A message with some content."""
    return OutgoingMessage(uuid4(), recipient, content or {"title": "Hello", "body": "Größe"}, lane)


async def send_all(
    provider: Provider[Any], batch: list[OutgoingMessage], credential: CredentialSchema
) -> list[SendResult]:
    """Send a batch; every message must be answered exactly once. Returns the results in the order of the batch."""
    results: dict[Any, SendResult] = {}

    def take(message: OutgoingMessage, result: SendResult) -> None:
        assert message.id not in results
        results[message.id] = result

    await provider.send_many(batch, credential, take)
    return [results[message.id] for message in batch]


def send_through(
    run: Any, kind: type[Provider[Any]], credential: CredentialSchema, *batch: OutgoingMessage
) -> list[SendResult]:
    """Send a batch through a provider of its own, in an event loop of its own."""

    async def conversation() -> list[SendResult]:
        async with opened(kind) as provider:
            return await send_all(provider, list(batch), credential)

    results: list[SendResult] = run(conversation())
    return results


@contextlib.asynccontextmanager
async def served(handlers: dict[str, Any]) -> AsyncIterator[str]:
    """A server with POST handlers by path, for what the sandbox does not do. Yields its address."""
    app = web.Application()
    for path, handler in handlers.items():
        app.router.add_post(path, handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
