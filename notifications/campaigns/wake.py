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

from notification_service.lib.tokens import Taken, Tokens

log = structlog.get_logger(__name__)

TURN_TASK: Final = "notifications.campaigns.tasks.turn"
_QUEUE: Final = "bulk"
#: How long a token is believed to be in the queue or a turn to run without having been heard of, in milliseconds.
_tokens: Final = Tokens(queued_ms=2_000 * settings.LEASE_SECONDS, running_ms=1_000 * settings.LEASE_SECONDS)


def wake_after_commit(tenant_id: UUID, campaign_id: UUID) -> None:
    """Give a campaign a turn once the current transaction has committed."""
    transaction.on_commit(partial(wake, tenant_id, campaign_id))


def wake(tenant_id: UUID, campaign_id: UUID) -> bool:
    """Send a token unless one is under way; return whether that was done. Never raises."""
    text = _tokens.issue(_key(campaign_id))
    return text is not None and _send(tenant_id, campaign_id, text, 0.0)


def take(campaign_id: UUID, text: str) -> Taken | None:
    """Return a token that came out of the queue, or None if it ends here, because an older one is out."""
    return _tokens.take(_key(campaign_id), text)


def running(campaign_id: UUID, token: Taken) -> None:
    """Say that a turn runs: repeated while it does."""
    _tokens.keep(_key(campaign_id), token)


def again(tenant_id: UUID, campaign_id: UUID, token: Taken, seconds: float) -> None:
    """Put the token of a running turn back into the queue, to be taken after some (few) seconds."""
    _send(tenant_id, campaign_id, _tokens.put_back(_key(campaign_id), token), seconds)


def finished(campaign_id: UUID) -> None:
    """Say that no token is under way."""
    _tokens.drop(_key(campaign_id))


def _send(tenant_id: UUID, campaign_id: UUID, text: str, seconds: float) -> bool:
    try:
        current_app.send_task(
            TURN_TASK,
            args=[str(tenant_id), str(campaign_id), text],
            queue=_QUEUE,
            countdown=seconds or None,
            ignore_result=True,
        )
    except (OperationalError, OSError) as error:
        log.warning("campaign_wake_failed", campaign_id=str(campaign_id), error=type(error).__name__)
        finished(campaign_id)
        return False
    return True


def _key(campaign_id: UUID) -> str:
    return f"campaign:{campaign_id}:turn"
