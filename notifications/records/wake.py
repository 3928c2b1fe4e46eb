"""Wake-ups: one drain token per (tenant, lane), on its way through Celery.

A lane with much to send gets further tokens (``slot`` 1, 2 …), up to ``TENANT_CONCURRENCY`` workers for one tenant.

The token is a hint, never the truth: if Redis loses it, the sweeper finds the row.
"""

from __future__ import annotations

from functools import partial
from uuid import UUID

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

from notification_service.lib.redis import RedisUnavailable, attempt

log = structlog.get_logger(__name__)

DRAIN_TASK = "notifications.records.tasks.drain"
#: How long a token is believed to be in the queue, in milliseconds, also if whoever was given it has frozen. Longer
#: queues get a second one, which harms nobody.
_QUEUED_MS = 2_000 * settings.LEASE_SECONDS
#: How long a drain is believed to run without having been heard of.
_RUNNING_MS = 10_000


def wake_after_commit(tenant_id: UUID, lane: str) -> None:
    """Wake the lane once the current transaction has committed."""
    transaction.on_commit(partial(wake, tenant_id, lane))


def wake(tenant_id: UUID, lane: str, slot: int = 0) -> bool:
    """Put a token into the lane's queue unless one is there; return whether that was done. Never raises."""
    key = _key(tenant_id, lane, slot)
    try:
        if not attempt(lambda client: client.set(key, "queued", nx=True, px=_QUEUED_MS)):
            return False
    except RedisUnavailable:
        return False
    return put_token(tenant_id, lane, slot)


def put_token(tenant_id: UUID, lane: str, slot: int = 0) -> bool:
    """Send the token itself; return whether the broker took it. Never raises."""
    try:
        current_app.send_task(DRAIN_TASK, args=[str(tenant_id), lane, slot], queue=lane, ignore_result=True)
    except (OperationalError, OSError) as error:
        log.warning("wake_failed", lane=lane, error=type(error).__name__)
        finished(tenant_id, lane, slot)
        return False
    return True


def requeue(tenant_id: UUID, lane: str, slot: int = 0) -> None:
    """Put the token of a running drain back at the queue's tail, behind the other tenants'."""
    _say(tenant_id, lane, slot, "queued", _QUEUED_MS)
    put_token(tenant_id, lane, slot)


def running(tenant_id: UUID, lane: str, slot: int = 0) -> None:
    """Say that a drain runs: repeated while it does."""
    _say(tenant_id, lane, slot, "running", _RUNNING_MS)


def finished(tenant_id: UUID, lane: str, slot: int = 0) -> None:
    """Say that no token is under way. Whoever commits a row from now on sends a new one."""
    key = _key(tenant_id, lane, slot)
    try:
        attempt(lambda client: client.delete(key))
    except RedisUnavailable:
        return


def _say(tenant_id: UUID, lane: str, slot: int, what: str, milliseconds: int) -> None:
    key = _key(tenant_id, lane, slot)
    try:
        attempt(lambda client: client.set(key, what, px=milliseconds))
    except RedisUnavailable:
        return


def _key(tenant_id: UUID, lane: str, slot: int) -> str:
    return f"tenant:{tenant_id}:drain:{lane}" + (f":{slot}" if slot else "")
