"""Heartbeats: parts that nobody can call say that they live, and health checks ask for how long they were silent."""

from __future__ import annotations

import time

from notification_service.lib.redis import RedisUnavailable, attempt, connection

_KEEP_MS = 3_600_000


def beat(name: str) -> None:
    """Say that ``name`` lives. Does nothing while Redis is down."""
    try:
        attempt(lambda client: client.set(f"heartbeat:{name}", repr(time.time()), px=_KEEP_MS))
    except RedisUnavailable:
        return


def silence(name: str) -> float | None:
    """Return for how many seconds ``name`` was not heard of, or None if never. Raises redis-py's errors."""
    heard = connection().get(f"heartbeat:{name}")
    return None if heard is None else max(0.0, time.time() - float(str(heard)))
