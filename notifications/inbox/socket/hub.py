"""The hub of one server process: one subscription to Redis, all sockets, and the clock that keeps them honest.

What is published is written straight to the sockets. Whatever Redis lost is found by the heartbeat, which asks the
database for the top numbers of the streams, and read from there.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import defaultdict
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import orjson
from django.conf import settings
from django.db import Error as DatabaseError

from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.inbox import broadcasts, live, replay
from notifications.inbox.broadcasts import Person, person_of
from notifications.inbox.frames import encode
from notifications.inbox.socket import census
from notifications.inbox.socket.clock import Clockwork, listen, often, tick, watch
from notifications.inbox.socket.connection import Connection
from notifications.inbox.socket.feed import Feed
from notifications.inbox.socket.outlet import PING_TIMEOUT
from notifications.inbox.socket.threads import in_thread

_TOGETHER: Final = 500


class Hub(Clockwork):
    """All sockets of a process, on its event loop."""

    def __init__(self) -> None:
        super().__init__()
        self._feeds: dict[str, dict[str, Feed]] = {}

    def works(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Listen, beat and watch."""
        return (
            listen(settings.LIVE_CHANNEL, self.dispatch, lambda: self.heal_later(list(self.feeds()))),
            often(self._beat, tick),
            watch(self.connections),
        )

    def feed_of(self, tenant_id: UUID, user_id: str) -> Feed:
        """Return the feed of a person, made if there is none."""
        feeds = self._feeds.setdefault(tenant_id.hex, {})
        if user_id not in feeds:
            feeds[user_id] = Feed(self, tenant_id, user_id)
            feeds[user_id].beats_at = time.monotonic() + random.random() * settings.LIVE_HEARTBEAT_SECONDS  # noqa: S311 - jitter
        return feeds[user_id]

    def remove(self, connection: Connection) -> None:
        """Forget a socket, and its feed if it was the last."""
        feed = connection.feed
        if connection in feed.sockets:
            feed.sockets.remove(connection)
        if not feed.sockets:
            feed.stop()
            feeds = self._feeds.get(feed.tenant_id.hex, {})
            if feeds.get(feed.user_id) is feed:
                del feeds[feed.user_id]
            if not feeds:
                self._feeds.pop(feed.tenant_id.hex, None)

    def feeds(self) -> Iterator[Feed]:
        """Yield all feeds."""
        for feeds in list(self._feeds.values()):
            yield from list(feeds.values())

    def connections(self) -> Iterator[Connection]:
        """Yield all sockets that are open."""
        for feed in self.feeds():
            for socket in list(feed.sockets):
                if not socket.is_closing:
                    yield socket

    # --- News ---------------------------------------------------------------------------------------------------------

    def dispatch(self, data: bytes) -> None:
        """Pass on one publication."""
        kind, tenant, news = orjson.loads(data)
        feeds = self._feeds.get(tenant)
        if feeds is None:
            return
        if kind == live.STREAM:
            for user_id, seq, text in news:
                if (feed := feeds.get(user_id)) is not None:
                    feed.take(seq, text)
        elif kind == live.PERSON:
            user_id, text = news
            for socket in feeds[user_id].sockets if user_id in feeds else ():
                socket.write(text)
        elif kind == live.TOPIC:
            topic, text = news
            for feed in feeds.values():
                for socket in feed.sockets:
                    if topic in socket.topics:
                        socket.write(text)
        elif kind == live.BROADCAST:
            self.errand(self._deliver_broadcasts(UUID(tenant), feeds))

    async def _deliver_broadcasts(self, tenant_id: UUID, feeds: dict[str, Feed]) -> None:
        people = [
            Person(user_id, frozenset().union(*(person_of(each.caller).roles for each in feed.sockets)))
            for user_id, feed in feeds.items()
        ]
        for start in range(0, len(people), _TOGETHER):
            await in_thread(_deliver, tenant_id, people[start : start + _TOGETHER])

    # --- What was missed ----------------------------------------------------------------------------------------------

    def heal_later(self, feeds: Sequence[Feed]) -> None:
        """Look in the database for what these feeds have missed."""
        self.errand(self.heal(feeds))

    async def heal(self, feeds: Sequence[Feed]) -> None:
        """Pass on what these feeds have missed, read from the database."""
        begun = [feed for feed in feeds if feed.position is not None]
        for start in range(0, len(begun), _TOGETHER):
            some = begun[start : start + _TOGETHER]
            found = await in_thread(_tops, [(feed.tenant_id, feed.user_id) for feed in some])
            for feed in some:
                if (top := found.get((feed.tenant_id, feed.user_id))) is not None:
                    await self._heal_one(feed, *top)

    async def _heal_one(self, feed: Feed, epoch: UUID, top: int, unread: int) -> None:
        if epoch != feed.epoch:
            return feed.restart(epoch, top, unread, "epoch_over")
        while feed.sockets and feed.position is not None and feed.position < top:
            begin, upto = feed.position, min(top, feed.position + replay.MOST)
            frames = await in_thread(replay.frames_between, feed.tenant_id, feed.user_id, begin, upto, replay=False)
            if frames is None:
                return feed.restart(epoch, top, unread, "too_many")
            for seq, text in frames:
                feed.take(seq, text)
        return None

    # --- The clock ----------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Send the heartbeats that are due; heal and renew what they are about."""
        now, pause = time.monotonic(), settings.LIVE_HEARTBEAT_SECONDS
        due = [feed for feed in self.feeds() if feed.beats_at <= now and feed.position is not None]
        for feed in due:
            feed.beats_at = now + pause
        with contextlib.suppress(DatabaseError):  # then the next heartbeat heals
            await self.heal(due)
        sockets: dict[UUID, list[tuple[str, str]]] = defaultdict(list)
        for feed in due:
            ping = encode({"type": "ping", "epoch": feed.epoch, "seq": feed.position})
            for socket in list(feed.sockets):
                if socket.answers and now - socket.heard_at > 3 * pause + 1:
                    socket.close(PING_TIMEOUT, "ping_timeout: You did not answer three heartbeats.")
                else:
                    socket.write(ping)
                    sockets[feed.tenant_id].append((socket.id, feed.user_id))
        for tenant_id, some in sockets.items():
            await census.renew(tenant_id, some)
            await self.tell_presence(tenant_id, await census.forget_lost(tenant_id), "offline")

    async def tell_presence(self, tenant_id: UUID, user_ids: Sequence[str], status: str) -> None:
        """Tell those who subscribed to presence, in all processes."""
        if user_ids:
            await in_thread(_tell_presence, tenant_id, user_ids, status)


def _deliver(tenant_id: UUID, people: Sequence[Person]) -> None:
    with tenant_scope(tenant_id):
        broadcasts.deliver(people)


def _tops(people: Sequence[tuple[UUID, str]]) -> Any:
    with platform_scope("heartbeat of live sockets"):
        return replay.tops(people)


def _tell_presence(tenant_id: UUID, user_ids: Sequence[str], status: str) -> None:
    users = [{"user_id": user_id, "status": status} for user_id in user_ids]
    live.publish_to_topic(tenant_id, live.PRESENCE, {"type": live.PRESENCE, "users": users})
