"""What goes on beside the sockets of a process: the subscription to Redis, and looking whether everybody may stay."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Final

import redis
import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from redis.asyncio import Redis

from notifications.inbox.socket.door import refusals
from notifications.inbox.socket.outlet import UNAUTHENTICATED, Outlet, close_of
from notifications.inbox.socket.threads import in_thread

log = structlog.get_logger(__name__)

#: Rights of sockets are looked at again every second, as long as there are no more than these; else in proportion.
_CHECKED_A_SECOND: Final = 2_000
#: Pauses between tries to subscribe, in seconds.
_SHORTEST, _LONGEST = 0.1, 3.0


class Clockwork:
    """What goes on beside the sockets of a process, from when the first one comes. Belongs to one event loop."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._errands: set[asyncio.Task[None]] = set()

    def works(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return what goes on until it is stopped."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin to work; does nothing if it has."""
        if not self._tasks:
            self._tasks = [asyncio.get_running_loop().create_task(work) for work in self.works()]

    async def stop(self) -> None:
        """End."""
        tasks, self._tasks = [*self._tasks, *self._errands], []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def errand(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside, once."""
        task = asyncio.get_running_loop().create_task(logged(work))
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)


def tick() -> float:
    """Return the pause between looks at which heartbeats are due, in seconds: they do not come all at once."""
    return min(1.0, float(settings.LIVE_HEARTBEAT_SECONDS) / 4)


async def watch(sockets: Callable[[], Iterable[Outlet]]) -> None:
    """Look every second whether everybody may stay, for ever."""
    await often(lambda: end_lost_rights(list(sockets())), lambda: 1.0)


async def listen(channel: str, take: Callable[[bytes], None], missed: Callable[[], None]) -> None:
    """Subscribe to a channel, for ever; ``missed`` is called when Redis confirms it, the first time and again.

    What came before that was not heard: sockets are open already while the first subscription is made.
    """
    pause = _SHORTEST
    while True:
        client = Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=2, socket_keepalive=True, health_check_interval=10
        )
        try:
            async with client.pubsub() as pubsub:
                await pubsub.subscribe(channel)
                while True:
                    message = await pubsub.get_message(timeout=5.0)
                    if message is None:
                        continue
                    if message["type"] == "subscribe":
                        log.info("live_subscribed", channel=channel)
                        pause = _SHORTEST
                        missed()
                    else:
                        take(message["data"])
                    await asyncio.sleep(0)  # what is written must get out while more comes in
        except (redis.RedisError, OSError) as error:
            log.warning("live_subscription_lost", channel=channel, error=type(error).__name__)
        except Exception:  # news that can not be read must not end all news
            log.exception("live_news_failed")
        finally:
            with contextlib.suppress(Exception):
                await client.aclose()
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        pause = min(pause * 2, _LONGEST)


async def end_lost_rights(sockets: Sequence[Outlet]) -> None:
    """Close sockets whose token has expired or whose owner has lost the right to be here."""
    now = time.time()
    for socket in sockets:
        if socket.expires_at is not None and socket.expires_at <= now:
            socket.close(UNAUTHENTICATED, "token_expired: The token has expired.")
    standing = [socket for socket in sockets if not socket.is_closing]
    for start in range(0, len(standing), _CHECKED_A_SECOND):
        some = standing[start : start + _CHECKED_A_SECOND]
        if start:
            await asyncio.sleep(1.0)
        with contextlib.suppress(DatabaseError):  # they stay until we can ask
            for socket, refusal in zip(some, await in_thread(refusals, [each.caller for each in some]), strict=True):
                if refusal is not None:
                    socket.close(*close_of(refusal))


async def often(work: Callable[[], Coroutine[Any, Any, None]], pause: Callable[[], float]) -> None:
    """Do something again and again, whatever becomes of it."""
    while True:
        await asyncio.sleep(pause())
        await logged(work())


async def logged(work: Awaitable[None]) -> None:
    """Wait for work; that it failed stands in the log and stops nobody."""
    try:
        await work
    except DatabaseError as error:
        log.warning("live_database_away", error=type(error).__name__)
    except Exception:  # the clock must go on
        log.exception("live_errand_failed")
