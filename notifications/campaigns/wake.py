"""One token per campaign, on its way through Celery: whoever has it takes the next turn.

As with drains (``records/wake.py``) the token is a hint: ``next_turn_at`` is the truth, and the tick finds it.
"""

from __future__ import annotations

from functools import partial
from typing import Final
from uuid import UUID

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

from notification_service.lib.redis import RedisUnavailable, attempt

log = structlog.get_logger(__name__)

TURN_TASK: Final = "notifications.campaigns.tasks.turn"
_QUEUE: Final = "bulk"
#: How long a token is believed to be in the queue or a turn to run without having been heard of, in milliseconds.
_QUEUED_MS, _RUNNING_MS = 2_000 * settings.LEASE_SECONDS, 1_000 * settings.LEASE_SECONDS


def wake_after_commit(tenant_id: UUID, campaign_id: UUID) -> None:
    """Give a campaign a turn once the current transaction has committed."""
    transaction.on_commit(partial(wake, tenant_id, campaign_id))


def wake(tenant_id: UUID, campaign_id: UUID) -> bool:
    """Send a token unless one is under way; return whether that was done. Never raises."""
    try:
        if not attempt(lambda client: client.set(_key(campaign_id), "queued", nx=True, px=_QUEUED_MS)):
            return False
    except RedisUnavailable:
        return False
    return _send(tenant_id, campaign_id, 0.0)


def running(campaign_id: UUID) -> None:
    """Say that a turn runs: repeated while it does."""
    _say(campaign_id, "running", _RUNNING_MS)


def again(tenant_id: UUID, campaign_id: UUID, seconds: float) -> None:
    """Put the token of a running turn back into the queue, to be taken after some (few) seconds."""
    _say(campaign_id, "queued", _QUEUED_MS)
    _send(tenant_id, campaign_id, seconds)


def finished(campaign_id: UUID) -> None:
    """Say that no token is under way."""
    try:
        attempt(lambda client: client.delete(_key(campaign_id)))
    except RedisUnavailable:
        return


def _send(tenant_id: UUID, campaign_id: UUID, seconds: float) -> bool:
    try:
        current_app.send_task(
            TURN_TASK,
            args=[str(tenant_id), str(campaign_id)],
            queue=_QUEUE,
            countdown=seconds or None,
            ignore_result=True,
        )
    except (OperationalError, OSError) as error:
        log.warning("campaign_wake_failed", campaign_id=str(campaign_id), error=type(error).__name__)
        finished(campaign_id)
        return False
    return True


def _say(campaign_id: UUID, what: str, milliseconds: int) -> None:
    try:
        attempt(lambda client: client.set(_key(campaign_id), what, px=milliseconds))
    except RedisUnavailable:
        return


def _key(campaign_id: UUID) -> str:
    return f"campaign:{campaign_id}:turn"
