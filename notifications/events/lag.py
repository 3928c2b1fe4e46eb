"""How far the consumers are behind, and what they took in: kept in Redis, for metrics. Without Redis nobody knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from notification_service.lib.redis import RedisUnavailable, attempt

_LAG: Final = "metrics:kafka:lag"
_MESSAGES: Final = "metrics:kafka:messages"
#: Figures of consumers that are gone are no figures.
_KEEP_SECONDS: Final = 60


def tell(behind: Mapping[tuple[str, int], int]) -> None:
    """Say how many messages of each (topic, partition) are still to be read."""
    if not behind:
        return
    values = {f"{topic}/{partition}": count for (topic, partition), count in behind.items()}

    def write(client: Any) -> None:
        client.hset(_LAG, mapping=values)
        client.expire(_LAG, _KEEP_SECONDS)

    _try(write)


def forget(places: Iterable[tuple[str, int]]) -> None:
    """Say nothing more of partitions that are another consumer's now."""
    names = [f"{topic}/{partition}" for topic, partition in places]
    if names:
        _try(lambda client: client.hdel(_LAG, *names))


def count(counts: Mapping[str, int]) -> None:
    """Count messages by what became of them: ``new``, ``duplicate``, ``dead``."""

    def add(client: Any) -> None:
        for kind, number in counts.items():
            client.hincrby(_MESSAGES, kind, number)

    _try(add)


def lags() -> dict[tuple[str, str], int]:
    """Return the lag by (topic, partition). Raises ``RedisUnavailable``."""
    found = attempt(lambda client: cast("dict[str, str]", client.hgetall(_LAG)))
    return {(name.rpartition("/")[0], name.rpartition("/")[2]): int(value) for name, value in found.items()}


def counts() -> dict[str, int]:
    """Return how many messages there were of each kind. Raises ``RedisUnavailable``."""
    found = attempt(lambda client: cast("dict[str, str]", client.hgetall(_MESSAGES)))
    return {kind: int(value) for kind, value in found.items()}


def _try(command: Any) -> None:
    try:
        attempt(command)
    except RedisUnavailable:
        return
