"""Fast doors in front of the framework: a few addresses that are asked thousands of times a second.

A fast door takes a request in the ordinary case and says nothing otherwise; then the same request goes the long way,
through Django REST framework, which alone knows how to refuse. So no rule and no error stands twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose body is read. Header names are in lower case; of repeated ones the last counts."""

    path: str
    headers: dict[bytes, bytes]
    body: bytes
    peer: str
    scheme: str

    def header(self, name: bytes) -> str:
        """Return a header's value as WSGI would have it (Latin-1), or an empty text."""
        return self.headers.get(name, b"").decode("latin-1")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer in JSON."""

    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


#: Returns the answer, or None for «not for me».
Door: TypeAlias = Callable[[Request], Awaitable[Reply | None]]


class FastDoors:
    """ASGI application: POST requests to some paths are offered to a door first, everything else goes the long way.

    Bodies above ``longest`` bytes, and chunked ones of unknown length, go the long way unread.
    """

    def __init__(self, doors: dict[str, Door], long_way: Application, *, longest: int = 65_536) -> None:
        self._doors = {path: door for slashed, door in doors.items() for path in (slashed, slashed.removesuffix("/"))}
        self._long_way = long_way
        self._longest = longest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = self._doors.get(scope["path"]) if scope["method"] == "POST" else None
        if door is None:
            return await self._long_way(scope, receive, send)
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        if not length.isdigit() or int(length) > self._longest or b"transfer-encoding" in headers:
            return await self._long_way(scope, receive, send)
        messages, body = await _read(receive)
        if body is None:  # the caller hung up
            return None
        peer = scope.get("client") or ("", 0)
        reply = await door(Request(scope["path"], headers, body, peer[0], scope.get("scheme", "http")))
        if reply is None:
            return await self._long_way(scope, _replay(messages, receive), send)
        reply_headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(reply.body)).encode()),
            *reply.headers,
        ]
        await send({"type": "http.response.start", "status": reply.status, "headers": reply_headers})
        await send({"type": "http.response.body", "body": reply.body})
        return None


async def _read(receive: Receive) -> tuple[list[Message], bytes | None]:
    messages: list[Message] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return messages, None
        messages.append(message)
        if not message.get("more_body"):
            return messages, b"".join(part.get("body", b"") for part in messages)


def _replay(messages: Iterable[Message], receive: Receive) -> Receive:
    waiting = iter(messages)

    async def again() -> Message:
        for message in waiting:
            return message
        return await receive()

    return again
