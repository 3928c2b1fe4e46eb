"""One open socket of the stream: where it stands, and how it gets what it has missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from notifications.inbox.replay import MOST, frames_between
from notifications.inbox.socket.outlet import Outlet, Wire
from notifications.inbox.socket.threads import in_thread
from tenants.callers import Caller

if TYPE_CHECKING:
    from notifications.inbox.socket.feed import Feed


class Connection(Outlet):
    """A socket of somebody's stream.

    ``position`` is the number of the last frame of the stream that was written to it. While it is catching up, live
    frames pass it by: it reads them from the database, in order, until it has reached the feed.
    """

    __slots__ = ("catching_up", "feed", "position", "topics")

    def __init__(self, wire: Wire, caller: Caller, feed: Feed, socket_id: str, expires_at: float | None) -> None:
        super().__init__(wire, caller, socket_id, expires_at)
        self.feed = feed
        self.position = 0
        self.catching_up = True
        self.topics: tuple[str, ...] = ()

    def take(self, seq: int, text: str) -> None:
        """Write the next frame of the stream, unless it is catching up."""
        if not self.catching_up:
            self.position = seq
            self.write(text)

    async def resume(self, epoch: str, seq: Any, ref: str | None = None) -> None:
        """Send again what came after a position, then ``resumed``; or ``resync``."""
        feed, more = self.feed, {"ref": ref} if ref is not None else {}
        resumed = feed.epoch
        if epoch != str(resumed):
            return await self.resync("epoch_over", **more)
        if not isinstance(seq, int) or isinstance(seq, bool) or seq < 0:
            return await self.resync("unknown_position", **more)
        if seq > (feed.position or 0):  # the client has seen more than this process: news must have been lost
            await feed.hub.heal([feed])
        if seq > (feed.position or 0):
            return await self.resync("unknown_position", **more)
        if (feed.position or 0) - seq > MOST:
            return await self.resync("too_many", **more)
        self.catching_up, self.position, unread = True, seq, 0
        while True:
            if (lost := await self._catch_up(resumed)) is not None:
                return await self.resync(lost, **more)
            unread = await feed.unread()
            if self._has_caught_up(resumed):  # nothing came meanwhile: from here on it is live
                break
        self.catching_up = False
        count = self.position - seq
        self.write_frame(type="resumed", epoch=feed.epoch, seq=self.position, count=count, unread=unread, **more)
        return None

    async def go_live(self) -> None:
        """Write what the feed has and this socket has not; then it gets what comes."""
        if (lost := await self._catch_up(self.feed.epoch)) is None:
            self.catching_up = False
        else:
            await self.resync(lost)

    async def _catch_up(self, epoch: UUID | None) -> str | None:
        """Write what the feed has and this socket has not, in order; return why that is not possible, or None.

        The feed may begin another epoch meanwhile; positions of this one mean nothing from then on.
        """
        feed = self.feed
        while not self._has_caught_up(epoch):
            if feed.epoch != epoch:
                return "epoch_over"
            upto = min(feed.position or 0, self.position + MOST)
            frames = await in_thread(frames_between, feed.tenant_id, feed.user_id, self.position, upto)
            if frames is None:
                return "too_many"
            for seq, text in frames:
                await self.write_patiently(text)
                self.position = seq
        return None

    def _has_caught_up(self, epoch: UUID | None) -> bool:
        return self.feed.epoch == epoch and self.position >= (self.feed.position or 0)

    async def resync(self, reason: str, **more: Any) -> None:
        """Tell the client to load the list, and from where to go on."""
        unread = await self.feed.unread()
        self.go_on(reason, unread, **more)

    def go_on(self, reason: str, unread: int, **more: Any) -> None:
        """Write ``resync`` with the feed's position, from which it is live."""
        self.position, self.catching_up = self.feed.position or 0, False
        self.write_frame(type="resync", reason=reason, epoch=self.feed.epoch, seq=self.position, unread=unread, **more)


def uuids(values: Any) -> list[UUID] | None:
    """Return ids, or None if these are none."""
    if not isinstance(values, list):
        return None
    try:
        return [UUID(value) for value in values]
    except (ValueError, AttributeError, TypeError):
        return None
