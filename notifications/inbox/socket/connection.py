"""One open socket: writes without waiting for it, drops it when it reads too slowly, and carries out its commands."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import structlog

from notification_service.lib.asgi import Send
from notification_service.lib.errors import ServiceError
from notifications.inbox.frames import encode
from notifications.inbox.replay import MOST, frames_between
from notifications.inbox.socket.threads import in_thread
from tenants.callers import Caller

if TYPE_CHECKING:
    from notifications.inbox.socket.feed import Feed

log = structlog.get_logger(__name__)

#: What may wait for a slow reader besides what the transport holds: frames, and characters.
MOST_FRAMES, MOST_CHARACTERS = 1_000, 2_000_000
#: How long a close frame may wait behind what the reader has not read, in seconds.
_PATIENCE: Final = 5.0
_LONGEST_REASON: Final = 123  # octets, RFC 6455, section 5.5

MALFORMED, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND = 4400, 4401, 4403, 4404
PING_TIMEOUT, TOO_SLOW, TOO_MANY, UNAVAILABLE, TOO_BIG = 4408, 4410, 4429, 4503, 1009
_CODES: Final = {400: MALFORMED, 401: UNAUTHENTICATED, 403: FORBIDDEN, 404: NOT_FOUND, 429: TOO_MANY}


def close_of(error: ServiceError) -> tuple[int, str]:
    """Return the close code and reason that stand for a refusal."""
    wait = f" retry_after={error.retry_after:.0f}" if error.retry_after and error.status == 429 else ""
    return _CODES.get(error.status, UNAVAILABLE), shortened(f"{error.error_code}: {error.message}{wait}")


class Connection:
    """A socket that was let in. Belongs to one event loop.

    ``position`` is the number of the last frame of the stream that was written to it. While it is catching up, live
    frames pass it by: it reads them from the database, in order, until it has reached the feed.
    """

    __slots__ = (
        "_buffered",
        "_closing",
        "_pending",
        "_send",
        "answers",
        "caller",
        "catching_up",
        "expires_at",
        "feed",
        "heard_at",
        "id",
        "position",
        "task",
        "topics",
    )

    def __init__(self, send: Send, caller: Caller, feed: Feed, socket_id: str, expires_at: float | None) -> None:
        self._send = send
        self._pending: list[str] | None = None
        self._buffered = 0
        self._closing: asyncio.Task[None] | None = None
        self.caller = caller
        self.feed = feed
        self.id = socket_id
        self.expires_at = expires_at
        self.position = 0
        self.catching_up = True
        #: When something was last heard of the client, and whether it has ever answered a ping.
        self.heard_at = time.monotonic()
        self.answers = False
        self.topics: tuple[str, ...] = ()
        self.task = asyncio.current_task()

    @property
    def is_closing(self) -> bool:
        """Whether it was told to close."""
        return self._closing is not None

    def take(self, seq: int, text: str) -> None:
        """Write the next frame of the stream, unless it is catching up."""
        if not self.catching_up:
            self.position = seq
            self.write(text)

    def write(self, text: str) -> None:
        """Write a frame as soon as the reader allows. Never waits; a reader who is too slow is dropped."""
        if self._closing is not None:
            return
        if self._pending is None:
            self._pending = [text]
            self._buffered = len(text)
            asyncio.get_running_loop().create_task(self._flush())
            return
        self._pending.append(text)
        self._buffered += len(text)
        if len(self._pending) > MOST_FRAMES or self._buffered > MOST_CHARACTERS:
            self.close(TOO_SLOW, "too_slow: You read more slowly than we write.")

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
                    await self._send({"type": "websocket.send", "text": text})
        except Exception:  # whatever the server raises for a client that is gone
            self._closing = self._closing or asyncio.get_running_loop().create_task(_nothing())
        finally:
            self._pending = None

    async def _close(self, code: int, reason: str) -> None:
        frame = {"type": "websocket.close", "code": code, "reason": shortened(reason)}
        try:
            await asyncio.wait_for(self._send(frame), _PATIENCE)
        except Exception:  # it does not read, or is gone: then without a word
            if self.task is not None:
                self.task.cancel()

    async def resume(self, epoch: str, seq: Any, ref: str | None = None) -> None:
        """Send again what came after a position, then ``resumed``; or ``resync``."""
        feed, more = self.feed, {"ref": ref} if ref is not None else {}
        if epoch != str(feed.epoch):
            return await self.resync("epoch_over", **more)
        if not isinstance(seq, int) or isinstance(seq, bool) or seq < 0:
            return await self.resync("unknown_position", **more)
        if seq > (feed.position or 0):  # the client has seen more than this process: news must have been lost
            await feed.hub.heal([feed])
        if seq > (feed.position or 0):
            return await self.resync("unknown_position", **more)
        if (feed.position or 0) - seq > MOST:
            return await self.resync("too_many", **more)
        self.catching_up, self.position = True, seq
        while True:
            if not await self._catch_up():
                return await self.resync("too_many", **more)
            unread = await feed.unread()
            if self.position == feed.position:  # nothing came meanwhile: from here on it is live
                break
        self.catching_up = False
        count = self.position - seq
        self.write_frame(type="resumed", epoch=feed.epoch, seq=self.position, count=count, unread=unread, **more)
        return None

    async def go_live(self) -> None:
        """Write what the feed has and this socket has not; then it gets what comes."""
        if await self._catch_up():
            self.catching_up = False
        else:
            await self.resync("too_many")

    async def _catch_up(self) -> bool:
        """Write what the feed has and this socket has not, in order. False if that is gone."""
        feed = self.feed
        while self.position < (feed.position or 0):
            upto = min(feed.position or 0, self.position + MOST)
            frames = await in_thread(frames_between, feed.tenant_id, feed.user_id, self.position, upto)
            if frames is None:
                return False
            for seq, text in frames:
                self.write(text)
                self.position = seq
        return True

    async def resync(self, reason: str, **more: Any) -> None:
        """Tell the client to load the list, and from where to go on."""
        unread = await self.feed.unread()
        self.go_on(reason, unread, **more)

    def go_on(self, reason: str, unread: int, **more: Any) -> None:
        """Write ``resync`` with the feed's position, from which it is live."""
        self.position, self.catching_up = self.feed.position or 0, False
        self.write_frame(type="resync", reason=reason, epoch=self.feed.epoch, seq=self.position, unread=unread, **more)


async def _nothing() -> None:
    """Stands for the close of a socket that is gone."""


def shortened(reason: str) -> str:
    """Return as much of a reason as a close frame holds."""
    return reason.encode()[:_LONGEST_REASON].decode(errors="ignore")


def uuids(values: Any) -> list[UUID] | None:
    """Return ids, or None if these are none."""
    if not isinstance(values, list):
        return None
    try:
        return [UUID(value) for value in values]
    except (ValueError, AttributeError, TypeError):
        return None
