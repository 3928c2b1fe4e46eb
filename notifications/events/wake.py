"""Wake-ups for pending events: one token per tenant on its way through Celery. A hint: the sweeper finds the rest."""

from __future__ import annotations

from functools import partial
from typing import Final
from uuid import UUID

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

from notification_service.lib.redis import RedisUnavailable, attempt

log = structlog.get_logger(__name__)

PROCESS_TASK: Final = "notifications.events.tasks.process"
#: How long a token is believed to be in the queue, in milliseconds.
_QUEUED_MS: Final = 30_000


def wake_after_commit(tenant_id: UUID) -> None:
    """Have the tenant's pending events processed once the current transaction has committed."""
    transaction.on_commit(partial(wake, tenant_id))


def wake(tenant_id: UUID) -> None:
    """Put a token into the queue unless one is there. Never raises."""
    try:
        if attempt(lambda client: client.set(_key(tenant_id), "1", nx=True, px=_QUEUED_MS)):
            current_app.send_task(PROCESS_TASK, args=[str(tenant_id)], queue="normal", ignore_result=True)
    except RedisUnavailable:
        return
    except (OperationalError, OSError) as error:
        log.warning("wake_failed", what="events", error=type(error).__name__)
        taken(tenant_id)


def taken(tenant_id: UUID) -> None:
    """Say that the token was taken out of the queue: whoever commits an event from now on sends a new one."""
    try:
        attempt(lambda client: client.delete(_key(tenant_id)))
    except RedisUnavailable:
        return


def _key(tenant_id: UUID) -> str:
    return f"tenant:{tenant_id}:events"
