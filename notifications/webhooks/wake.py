"""Wake-ups: one token per endpoint on its way through Celery, several to a message. A hint: the sweeper finds the rest.

They go to the queue ``control``: whoever takes one hands it to the dispatcher and is done, so that a receiver that
hangs holds no task up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

from notification_service.lib.redis import RedisUnavailable, attempt

log = structlog.get_logger(__name__)

DISPATCH_TASK: Final = "notifications.webhooks.tasks.dispatch"
#: How long a token is believed to be in the queue, in milliseconds.
_QUEUED_MS: Final = 30_000
#: Tokens in one message: an event for a hundred endpoints is work for more than one process.
_TOGETHER: Final = 25


def wake_after_commit(tenant_id: UUID, endpoint_ids: Sequence[UUID]) -> None:
    """Have the due deliveries of endpoints made once the current transaction has committed."""
    if endpoint_ids:
        transaction.on_commit(partial(wake, tenant_id, endpoint_ids))


def wake(tenant_id: UUID, endpoint_ids: Sequence[UUID]) -> None:
    """Put the tokens of endpoints into the queue, but for those that are there. Never raises."""
    ids = [str(endpoint_id) for endpoint_id in endpoint_ids]
    try:
        fresh = _claim_tokens(ids)
    except RedisUnavailable:
        return
    for start in range(0, len(fresh), _TOGETHER):
        some = fresh[start : start + _TOGETHER]
        try:
            current_app.send_task(DISPATCH_TASK, args=[str(tenant_id), some], queue="control", ignore_result=True)
        except (OperationalError, OSError) as error:
            log.warning("wake_failed", what="webhooks", error=type(error).__name__)
            taken(fresh[start:])
            return


def taken(endpoint_ids: Iterable[str]) -> None:
    """Say that tokens were taken out of the queue: whoever commits from now on sends new ones."""
    keys = [_key(endpoint_id) for endpoint_id in endpoint_ids]
    try:
        attempt(lambda client: client.delete(*keys))
    except RedisUnavailable:
        return


def _claim_tokens(ids: Sequence[str]) -> list[str]:
    """Return those of which no token is in the queue; from now on there is one."""

    def claim(client: Any) -> list[Any]:
        pipeline = client.pipeline(transaction=False)
        for endpoint_id in ids:
            pipeline.set(_key(endpoint_id), "1", nx=True, px=_QUEUED_MS)
        return list(pipeline.execute())

    return [endpoint_id for endpoint_id, was_set in zip(ids, attempt(claim), strict=True) if was_set]


def _key(endpoint_id: str) -> str:
    return f"webhook:{endpoint_id}:token"
