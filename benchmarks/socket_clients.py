"""Many WebSocket clients in one process: they connect, answer pings, and count the frames that they get."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Sequence

from benchmarks.stage import BenchmarkFailed

_TOGETHER = 50
_PING, _PONG = 0x9, 0xA
#: What a browser offers; a server may say no.
_DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


class Listener(asyncio.Protocol):
    """One client (RFC 6455). ``counted`` is how many text frames held ``marker``; ``latest`` when the last came.

    It counts as open after the handshake or, where the server says hello, after a frame that holds ``greeting``.
    """

    def __init__(self, port: int, path: str, marker: bytes, *, greeting: bytes, deflate: bool) -> None:
        self.request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
            f"{_DEFLATE if deflate else ''}\r\n"
        ).encode()
        self.marker, self.greeting = marker, greeting
        self.is_web_socket = False
        self.buffer = bytearray()
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.counted = 0
        self.latest = 0.0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_connection makes
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.is_web_socket:
            head, found, rest = bytes(self.buffer).partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head[:16]:
                self.open.set_exception(BenchmarkFailed(f"the server said {head[:100]!r}"))
                return
            self.buffer, self.is_web_socket = bytearray(rest), True
            if not self.greeting:
                self.open.set_result(None)
        self._frames()

    def _frames(self) -> None:
        buffer, at = self.buffer, 0
        while len(buffer) - at >= 2:
            length, begin = buffer[at + 1], at + 2
            if length == 126:
                length, begin = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            elif length == 127:
                length, begin = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
            if len(buffer) < begin + length:
                break
            if buffer[at] & 0x0F == 1 and buffer.find(self.marker, begin, begin + length) >= 0:
                self.counted += 1
                self.latest = time.monotonic()
            elif not self.open.done() and buffer.find(self.greeting, begin, begin + length) >= 0:
                self.open.set_result(None)
            elif buffer[at] & 0x0F == _PING:  # whoever does not answer is taken for dead
                self.transport.write(bytes((0x80 | _PONG, 0x80 | length, 0, 0, 0, 0)) + buffer[begin : begin + length])
            at = begin + length
        del buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.open.done():
            self.open.set_exception(BenchmarkFailed("the server hung up"))


async def connect_all(
    port: int, paths: Sequence[str], marker: bytes, *, greeting: bytes = b"", deflate: bool = False
) -> list[Listener]:
    """Open a socket for each path; return them when all are open. Raises ``BenchmarkFailed``."""
    loop, listeners = asyncio.get_running_loop(), []
    for start in range(0, len(paths), _TOGETHER):
        some = [
            Listener(port, path, marker, greeting=greeting, deflate=deflate)
            for path in paths[start : start + _TOGETHER]
        ]
        await asyncio.gather(*(loop.create_connection(lambda one=one: one, "127.0.0.1", port) for one in some))  # type: ignore[misc]
        await asyncio.wait_for(asyncio.gather(*(one.open for one in some)), 60)
        listeners += some
    return listeners


def close_all(listeners: Sequence[Listener]) -> None:
    """Hang up."""
    for one in listeners:
        one.transport.abort()


async def wait_for(listeners: Sequence[Listener], count: int, *, seconds: float) -> None:
    """Wait until so many frames were counted in all. Raises ``BenchmarkFailed``."""
    deadline = time.monotonic() + seconds
    while (found := sum(one.counted for one in listeners)) < count:
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"{count} messages should have come; {found} did")
        await asyncio.sleep(0.01)
