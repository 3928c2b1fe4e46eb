"""A real server process on the tests' database, and clients of its sockets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from django.conf import settings
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from notification_service.lib.scope import tenant_scope
from notification_service.local.ports import free_ports
from notifications.inbox import streams
from notifications.inbox.streams import NewMessage
from tenants import signing_keys
from tenants.models.signing_key import SigningKey
from tests.running_service import wait_until

ROOT = Path(__file__).resolve().parents[2]
HEARTBEAT = 1.0
SECONDS = 10.0


class LiveServer:
    """One server process, as ``make up`` starts it."""

    def __init__(self, directory: Path, **environment: str) -> None:
        (self.port,) = free_ports(1)
        self._directory = directory
        self._environment = {"LIVE_HEARTBEAT_SECONDS": str(HEARTBEAT), **environment}
        self.start()

    def start(self) -> None:
        parts = urlsplit(os.environ["DATABASE_URL"])
        name = settings.DATABASES["default"]["NAME"]
        bind = ["--host=127.0.0.1", f"--port={self.port}", "--no-access-log", "--no-proxy-headers"]
        sockets = ["--ws-max-size=65536", "--ws-per-message-deflate=false"]
        given = {
            **os.environ,
            "DATABASE_URL": parts._replace(path=f"/{name}").geturl(),
            "LOG_DIR": str(self._directory),
            "ALERT_CHECK_SECONDS": "0",
            "DATABASE_POOL": "8",
            **self._environment,
        }
        self.log = (self._directory / "server.log").open("a")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "notification_service.asgi:application", *bind, *sockets],
            cwd=ROOT,
            env=given,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        wait_until(self._answers, 40)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self._directory / "server.log").read_text()[-3000:]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                return True
        except OSError:
            return False

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(by)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=20)
        self.log.close()

    def address(self, path: str = "/ws/notifications/") -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    @property
    def printed(self) -> str:
        return (self._directory / "server.log").read_text()


class Client:
    """A client that does as the protocol says: it keeps its position, and takes nothing that does not follow it."""

    def __init__(self, socket: ClientConnection, epoch: str = "", seq: int | None = None) -> None:
        self.socket = socket
        self.epoch, self.seq = epoch, seq
        self.got: list[dict[str, Any]] = []
        self.unread = -1

    async def next(self, *kinds: str, seconds: float = SECONDS) -> dict[str, Any]:
        """Return the next frame of one of these kinds."""
        async with asyncio.timeout(seconds):
            while True:
                frame = await self._read()
                if not kinds or frame["type"] in kinds:
                    return frame

    async def _read(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(await self.socket.recv())
        if frame["type"] in ("resync", "resumed") or (frame["type"] == "hello" and self.seq is None):
            self.epoch, self.seq = frame["epoch"], frame["seq"]
        elif frame["type"] in ("notification", "broadcast", "read", "updated", "removed"):
            if frame["seq"] != (self.seq or 0) + 1:
                return {"type": "passed over", "seq": frame["seq"]}
            self.seq = frame["seq"]
            self.got.append(frame)
        elif frame["type"] == "ping":
            await self.send(type="pong")
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
    socket = await connect(server.address(path), additional_headers=headers, open_timeout=30, **more)
    client = Client(socket, epoch, seq)
    await client.next("hello", seconds=30)
    if seq is not None:
        await client.send(type="resume", epoch=epoch, seq=seq)
        await client.next("resumed", "resync", seconds=30)
    return client


async def refused(server: LiveServer, path: str, **more: Any) -> tuple[int, str]:
    """Connect and be turned away; return code and reason."""
    async with connect(server.address(path), open_timeout=20, **more) as socket:
        return await Client(socket).closed()


def put(tenant_id: UUID, *user_ids: str) -> list[UUID]:
    """Put a message into each of these inboxes, in one transaction."""
    with tenant_scope(tenant_id):
        messages = [NewMessage(user_id, {"title": "Hi", "body": "There"}) for user_id in user_ids]
        streams.append(messages)
    return [message.id for message in messages]


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[LiveServer]:
    server = LiveServer(tmp_path_factory.mktemp("live"), LIVE_SOCKETS_PER_USER="4")
    yield server
    server.stop()


_keys: list[SigningKey] = []


@pytest.fixture
def server(_server: LiveServer, transactional_db: None) -> LiveServer:
    """A running server. Tests that use it commit what they write; ask for it before whoever signs in.

    The key that signs tokens stays the same from test to test: servers look for new ones once a second only.
    """
    if _keys:
        signing_keys.forget_copies()
        _keys[0].save(force_insert=not SigningKey.objects.filter(id=_keys[0].id).exists())
    else:
        _keys.append(SigningKey.objects.get(id=signing_keys.signer().kid))
    return _server
