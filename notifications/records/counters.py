"""Counters of outcomes in Redis, kept for metrics: one round trip a batch, after its commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, TypeAlias, cast

from django.db import transaction

from notification_service.lib.redis import RedisUnavailable, attempt
from notifications.records.outcomes import Outcome

#: (channel, status, reason): the reason is empty for a success.
Kind: TypeAlias = tuple[str, str, str]

_KEY: Final = "metrics:outcomes"


def count_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Count live outcomes once they are committed (``hooks.on_outcomes``). While Redis is down they go uncounted."""
    counts = Counter(
        (outcome.claimed.channel, str(outcome.status), str(outcome.result.reason or ""))
        for outcome in outcomes
        if outcome.claimed.mode == "live"
    )
    if counts:
        transaction.on_commit(partial(_add, counts), robust=True)


def outcome_counts() -> dict[Kind, int]:
    """Return how many outcomes of each kind there were since Redis was empty. Raises ``RedisUnavailable``."""
    counts = attempt(lambda client: cast("dict[str, str]", client.hgetall(_KEY)))
    return {cast("Kind", tuple(field.split("|"))): int(count) for field, count in counts.items()}


def _add(counts: Counter[Kind]) -> None:
    def add(client: Any) -> None:
        pipeline = client.pipeline(transaction=False)
        for kind, count in counts.items():
            pipeline.hincrby(_KEY, "|".join(kind), count)
        pipeline.execute()

    try:
        attempt(add)
    except RedisUnavailable:
        return
