"""Clients of the live socket, which are gone when their test is over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from jsonschema import ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from notification_service.lib.redis import attempt
from tenants.models import Role
from tenants.tokens import issue_access_token
from tests.conftest import Persona
from tests.inbox.conftest import LiveServer
from tests.inbox.protocol import check

T = TypeVar("T")

SECONDS = 10.0
_open: ContextVar[AsyncExitStack] = ContextVar("open")


def play(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario; the sockets that it opens are closed at its end."""

    async def whole() -> T:
        async with AsyncExitStack() as stack:
            _open.set(stack)
            return await scenario

    return asyncio.run(whole())


async def connected(address: str, **more: Any) -> ClientConnection:
    """Open a socket, in a scenario that is played."""
    # Without a limit to what waits here: who does not read would not hear that the socket is closed either.
    socket = await connect(address, open_timeout=30, close_timeout=5, max_queue=None, **more)
    _open.get().push_async_callback(socket.close)
    return socket


class Client:
    """A client that does as the protocol says: it keeps its position, and takes nothing that does not follow it.

    Pings are answered at once, also while the test does something else. Each frame must be as the document says.
    """

    def __init__(self, socket: ClientConnection, epoch: str = "", seq: int | None = None) -> None:
        self.socket = socket
        self.epoch, self.seq = epoch, seq
        self.got: list[dict[str, Any]] = []
        self.unread = -1
        self._frames: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue()
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        try:
            while True:
                frame = json.loads(await self.socket.recv())
                check("notifications", frame)
                if frame["type"] == "ping":
                    await self.send(type="pong")
                self._frames.put_nowait(frame)
        except (ConnectionClosed, ValidationError) as error:
            self._frames.put_nowait(error)

    async def fall_silent(self) -> None:
        """Do nothing more, and leave what comes to others."""
        self._listening.cancel()
        await asyncio.wait([self._listening])

    async def next(self, *kinds: str, seconds: float = SECONDS) -> dict[str, Any]:
        """Return the next frame of one of these kinds."""
        async with asyncio.timeout(seconds):
            while True:
                frame = await self._read()
                if not kinds or frame["type"] in kinds:
                    return frame

    async def _read(self) -> dict[str, Any]:
        frame = await self._frames.get()
        if isinstance(frame, Exception):
            self._frames.put_nowait(frame)
            raise frame
        if frame["type"] in ("resync", "resumed") or (frame["type"] == "hello" and self.seq is None):
            self.epoch, self.seq = frame["epoch"], frame["seq"]
        elif frame["type"] in ("notification", "broadcast", "read", "updated", "removed"):
            if frame["seq"] != (self.seq or 0) + 1:
                return {"type": "passed over", "seq": frame["seq"]}
            self.seq = frame["seq"]
            self.got.append(frame)
        self.unread = frame.get("unread", self.unread)
        return frame

    async def send(self, **frame: Any) -> None:
        await self.socket.send(json.dumps(frame))

    async def until(self, seq: int, seconds: float = SECONDS) -> None:
        """Read until a position is reached."""
        async with asyncio.timeout(seconds):
            while (self.seq or 0) < seq:
                await self._read()

    async def closed(self, seconds: float = SECONDS) -> tuple[int, str]:
        """Read until the server closes; return code and reason."""
        async with asyncio.timeout(seconds):
            with suppress(ConnectionClosed):
                while True:
                    await self._read()
        return self.socket.close_code or 0, self.socket.close_reason or ""


async def open_client(
    server: LiveServer,
    token: str,
    *,
    path: str = "/ws/notifications/",
    epoch: str = "",
    seq: int | None = None,
    **more: Any,
) -> Client:
    """Connect and wait for hello; with a position, resume."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    socket = await connected(server.address(path), additional_headers=headers, **more)
    client = Client(socket, epoch, seq)
    await client.next("hello", seconds=30)
    if seq is not None:
        await client.send(type="resume", epoch=epoch, seq=seq)
        await client.next("resumed", "resync", seconds=30)
    return client


async def refused(server: LiveServer, path: str, **more: Any) -> tuple[int, str]:
    """Connect and be turned away; return code and reason."""
    return await Client(await connected(server.address(path), **more)).closed()


def token_of(persona: Persona, **more: Any) -> str:
    return issue_access_token(persona.user, persona.tenant, Role.EMPLOYEE, **more)


def id_of(persona: Persona) -> str:
    return str(persona.user.id)


def open_sockets(persona: Persona) -> int:
    """How many sockets the service counts in a person's tenant."""
    key = f"tenant:{persona.tenant_id}:sockets"
    return attempt(lambda redis: cast("int", redis.zcard(key)))
