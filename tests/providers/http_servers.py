"""A pretend HTTP end that answers with exactly the bytes that a test wants, well-formed or not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import orjson

#: Steps of an answer: bytes to write, seconds to wait, or one of these endings.
CLOSE, RESET, HANG = "close", "reset", "hang"
Step = bytes | float | str


def http(status: int, body: object = b"", **headers: str) -> bytes:
    """Return a whole answer; a body that is not bytes is sent as JSON, ``Retry_After`` is the header Retry-After."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    kind = "text/html" if isinstance(body, bytes) else "application/json"
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(content)}", f"Content-Type: {kind}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass
class Received:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class OddHttpServer:
    """Answers the n-th request with the n-th script, and every later one with the last."""

    scripts: Sequence[Sequence[Step]]
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")
                method, path, _ = first.split(" ")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append(Received(method, path, headers, body))
                if not await self._play(writer, self.scripts[min(len(self.requests), len(self.scripts)) - 1]):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _play(self, writer: asyncio.StreamWriter, script: Sequence[Step]) -> bool:
        for step in script:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif isinstance(step, float | int):
                await asyncio.sleep(step)
            elif step == HANG:
                await asyncio.sleep(60)
            else:
                if step == RESET:
                    linger = socket.SO_LINGER
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, linger, b"\1\0\0\0\0\0\0\0")
                    writer.transport.abort()
                return False
        return True


@contextlib.asynccontextmanager
async def odd_http(*scripts: Sequence[Step], tls: ssl.SSLContext | None = None) -> AsyncIterator[OddHttpServer]:
    """Serve scripts on a free port of 127.0.0.1; each is a list of steps."""
    server = OddHttpServer(scripts, scheme="https" if tls else "http")
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        with contextlib.suppress(asyncio.CancelledError):
            await server.serve(reader, writer)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
