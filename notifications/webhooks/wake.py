"""Wake-ups: one token per endpoint on its way through Celery. A hint: the sweeper finds the rest.

They go to the queue ``control``: whoever takes one hands it to the dispatcher and is done, so that a receiver that
hangs holds no task up.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final
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


def wake_after_commit(tenant_id: UUID, endpoint_ids: Iterable[UUID]) -> None:
    """Have the due deliveries of endpoints made once the current transaction has committed."""
    for endpoint_id in endpoint_ids:
        transaction.on_commit(partial(wake, tenant_id, endpoint_id))


def wake(tenant_id: UUID, endpoint_id: UUID) -> None:
    """Put a token into the queue unless one is there. Never raises."""
    try:
        if attempt(lambda client: client.set(_key(endpoint_id), "1", nx=True, px=_QUEUED_MS)):
            arguments = [str(tenant_id), str(endpoint_id)]
            current_app.send_task(DISPATCH_TASK, args=arguments, queue="control", ignore_result=True)
    except RedisUnavailable:
        return
    except (OperationalError, OSError) as error:
        log.warning("wake_failed", what="webhooks", error=type(error).__name__)
        taken(endpoint_id)


def taken(endpoint_id: UUID) -> None:
    """Say that the token was taken out of the queue: whoever commits from now on sends a new one."""
    try:
        attempt(lambda client: client.delete(_key(endpoint_id)))
    except RedisUnavailable:
        return


def _key(endpoint_id: UUID) -> str:
    return f"webhook:{endpoint_id}:token"
