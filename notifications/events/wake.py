"""Wake-ups for pending events: one token per tenant on its way through Celery. A hint: the sweeper finds the rest."""

from __future__ import annotations

from functools import partial
from typing import Final
from uuid import UUID

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

from notification_service.lib.tokens import Taken, Tokens

log = structlog.get_logger(__name__)

PROCESS_TASK: Final = "notifications.events.tasks.process"
#: How long a token is believed to be in the queue, in milliseconds.
_tokens: Final = Tokens(queued_ms=30_000)


def wake_after_commit(tenant_id: UUID) -> None:
    """Have the tenant's pending events processed once the current transaction has committed."""
    transaction.on_commit(partial(wake, tenant_id))


def wake(tenant_id: UUID, taken: Taken | None = None) -> None:
    """Put a token into the queue, a new one or that which was taken, unless one is there. Never raises."""
    text = _tokens.issue(_key(tenant_id), taken)
    if text is None:
        return
    try:
        current_app.send_task(PROCESS_TASK, args=[str(tenant_id), text], queue="normal", ignore_result=True)
    except (OperationalError, OSError) as error:
        log.warning("wake_failed", what="events", error=type(error).__name__)
        _tokens.drop(_key(tenant_id))


def take(tenant_id: UUID, text: str) -> Taken | None:
    """Return a token that came out of the queue, or None if it ends here, because an older one is out.

    Whoever commits an event from now on sends a new one.
    """
    return _tokens.take(_key(tenant_id), text)


def _key(tenant_id: UUID) -> str:
    return f"tenant:{tenant_id}:events"
