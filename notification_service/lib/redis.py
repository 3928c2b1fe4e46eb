"""Redis for what may be lost: wake-up tokens, counters, heartbeats. Nothing here is ever the only copy of a promise.

Time-outs are short and a breaker keeps them rare: while Redis is down, callers hear ``RedisUnavailable`` at once and
do without.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TypeVar
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from django.conf import settings

T = TypeVar("T")

_TIMEOUT = 0.5
_REST = 1.0


class RedisUnavailable(Exception):
    """Redis did not answer in time."""


class _Breaker:
    """Remembers a failure for a moment, so that a hanging Redis costs one time-out a second and not one a request."""

    def __init__(self, rest: float) -> None:
        self._rest = rest
        self._closed_at = 0.0
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Whether a call may be tried; while resting, one caller a second tries for all."""
        now = time.monotonic()
        with self._lock:
            if now < self._closed_at:
                return False
            if self._closed_at:
                self._closed_at = now + self._rest
            return True

    def succeeded(self) -> None:
        self._closed_at = 0.0

    def failed(self) -> None:
        self._closed_at = time.monotonic() + self._rest


_breaker = _Breaker(_REST)


@lru_cache(maxsize=1)
def connection() -> redis.Redis:
    """Return this process's client (a pool). Raises redis-py's own errors: most callers want ``attempt``."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=_TIMEOUT,
        socket_connect_timeout=_TIMEOUT,
        health_check_interval=15,
        decode_responses=True,
        max_connections=200,
    )


def attempt(command: Callable[[redis.Redis], T]) -> T:
    """Run a command. Raises ``RedisUnavailable`` within half a second when Redis does not answer."""
    if not _breaker.allows():
        raise RedisUnavailable("Redis did not answer a moment ago")
    try:
        result = command(connection())
    except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.BusyLoadingError) as error:
        _breaker.failed()
        raise RedisUnavailable(type(error).__name__) from error
    _breaker.succeeded()
    return result


_async_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.Redis] = WeakKeyDictionary()


async def attempt_async(command: Callable[[redis.asyncio.Redis], Awaitable[T]]) -> T:
    """Like ``attempt``, for code on an event loop."""
    if not _breaker.allows():
        raise RedisUnavailable("Redis did not answer a moment ago")
    loop = asyncio.get_running_loop()
    client = _async_clients.get(loop)
    if client is None:
        client = _async_clients[loop] = redis.asyncio.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            decode_responses=True,
            max_connections=50,
        )
    try:
        result = await command(client)
    except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.BusyLoadingError) as error:
        _breaker.failed()
        raise RedisUnavailable(type(error).__name__) from error
    _breaker.succeeded()
    return result
