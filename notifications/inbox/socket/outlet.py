"""What any open socket needs: it is written to without waiting, and dropped when it reads too slowly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from notification_service.lib.asgi import Scope, Send
from notification_service.lib.errors import ServiceError
from notifications.inbox.frames import encode
from tenants.callers import Caller

#: What may wait for a slow reader besides what the transport holds: frames, and characters.
MOST_FRAMES, MOST_CHARACTERS = 1_000, 2_000_000
#: With so many characters buffered, what can wait does.
_MUCH: Final = MOST_CHARACTERS // 4
#: How long a close frame may wait behind what the reader has not read, in seconds.
_PATIENCE: Final = 5.0
_LONGEST_REASON: Final = 123  # octets, RFC 6455, section 5.5

MALFORMED, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND = 4400, 4401, 4403, 4404
PING_TIMEOUT, TOO_SLOW, TOO_MANY, UNAVAILABLE, TOO_BIG = 4408, 4410, 4429, 4503, 1009
_CODES: Final = {400: MALFORMED, 401: UNAUTHENTICATED, 403: FORBIDDEN, 404: NOT_FOUND, 429: TOO_MANY}


def close_of(error: ServiceError) -> tuple[int, str]:
    """Return the close code and reason that stand for a refusal."""
    wait = f" retry_after={error.retry_after:.0f}" if error.retry_after and error.status == 429 else ""
    return _CODES.get(error.status, UNAVAILABLE), _shortened(f"{error.error_code}: {error.message}{wait}")


#: An extension of the ASGI scope that our server's protocol has: writes a text frame at once, or says that it can not.
WRITE_NOW: Final = "notifications.write_now"


class Wire(NamedTuple):
    """The way to a client: ASGI's, and at once, where the server can."""

    send: Send
    write_now: Callable[[str], bool] | None = None


def wire_of(scope: Scope, send: Send) -> Wire:
    """Return the way to the client of an ASGI connection."""
    return Wire(send, scope.get("extensions", {}).get(WRITE_NOW))


class Outlet:
    """A socket that was let in. Belongs to one event loop."""

    __slots__ = (
        "_buffered",
        "_closing",
        "_drained",
        "_pending",
        "_wire",
        "answers",
        "caller",
        "expires_at",
        "heard_at",
        "id",
        "task",
    )

    def __init__(self, wire: Wire, caller: Caller, socket_id: str, expires_at: float | None) -> None:
        self._wire = wire
        self._pending: list[str] | None = None
        self._buffered = 0
        self._drained: asyncio.Future[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.caller = caller
        self.id = socket_id
        self.expires_at = expires_at
        #: When something was last heard of the client, and whether it has ever answered a ping.
        self.heard_at = time.monotonic()
        self.answers = False
        self.task = asyncio.current_task()

    @property
    def is_closing(self) -> bool:
        """Whether it was told to close."""
        return self._closing is not None

    def write(self, text: str) -> None:
        """Write a frame as soon as the reader allows. Never waits; a reader who is too slow is dropped."""
        if self._closing is not None:
            return
        if self._pending is None:
            if self._wire.write_now is not None and self._wire.write_now(text):
                return
            self._pending = [text]
            self._buffered = len(text)
            asyncio.get_running_loop().create_task(self._flush())
            return
        self._pending.append(text)
        self._buffered += len(text)
        if len(self._pending) > MOST_FRAMES or self._buffered > MOST_CHARACTERS:
            self.close(TOO_SLOW, "too_slow: You read more slowly than we write.")

    async def write_patiently(self, text: str) -> None:
        """Write a frame that the reader has asked for, with others; wait while much is buffered."""
        self.write(text)
        if self._pending is not None and self._buffered > _MUCH:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    def write_frame(self, **frame: Any) -> None:
        """Write a frame that is given by its fields."""
        self.write(encode(frame))

    def close(self, code: int, reason: str) -> None:
        """Close it; what is buffered is not written any more."""
        if self._closing is None:
            self._pending = None
            self._closing = asyncio.get_running_loop().create_task(self._close(code, reason))

    async def _flush(self) -> None:
        try:
            while self._pending and self._closing is None:
                some, self._pending, self._buffered = self._pending, [], 0
                for text in some:
                    if self._closing is not None:
                        return
                    await self._wire.send({"type": "websocket.send", "text": text})
        except Exception:  # whatever the server raises for a client that is gone
            self._closing = self._closing or asyncio.get_running_loop().create_task(_nothing())
        finally:
            self._pending = None
            if self._drained is not None and not self._drained.done():
                self._drained.set_result(None)

    async def _close(self, code: int, reason: str) -> None:
        frame = {"type": "websocket.close", "code": code, "reason": _shortened(reason)}
        try:
            await asyncio.wait_for(self._wire.send(frame), _PATIENCE)
        except Exception:  # it does not read, or is gone: then without a word
            if self.task is not None:
                self.task.cancel()


async def _nothing() -> None:
    """Stands for the close of a socket that is gone."""


def _shortened(reason: str) -> str:
    return reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
