"""Wake-ups: one drain token per (tenant, lane), on its way through Celery.

A lane with much to send gets further tokens (``slot`` 1, 2 …), up to ``TENANT_CONCURRENCY`` workers for one tenant.

The token is a hint, never the truth: if Redis loses it, the sweeper finds the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

from notification_service.lib.tokens import UNNAMED, Taken, Tokens

log = structlog.get_logger(__name__)

DRAIN_TASK = "notifications.records.tasks.drain"
#: A token is believed to be in the queue for twice a lease at least, also if whoever was given it has frozen.
#: A drain is believed to run for ten seconds without having been heard of.
_tokens = Tokens(queued_ms=2_000 * settings.LEASE_SECONDS, running_ms=10_000)


@dataclass(frozen=True, slots=True)
class Token:
    """Whoever has it drains a tenant's lane."""

    tenant_id: UUID
    lane: str
    slot: int = 0
    taken: Taken = UNNAMED

    @property
    def key(self) -> str:
        """Where Redis has what is believed of it."""
        return f"tenant:{self.tenant_id}:drain:{self.lane}" + (f":{self.slot}" if self.slot else "")


def wake_after_commit(tenant_id: UUID, lane: str) -> None:
    """Wake the lane once the current transaction has committed."""
    transaction.on_commit(partial(wake, tenant_id, lane))


def wake(tenant_id: UUID, lane: str, slot: int = 0) -> bool:
    """Put a token into the lane's queue unless one is there; return whether that was done. Never raises."""
    token = Token(tenant_id, lane, slot)
    text = _tokens.issue(token.key)
    return text is not None and _send(token, text)


def take(tenant_id: UUID, lane: str, slot: int, text: str) -> Taken | None:
    """Return a token that came out of the queue, or None if it ends here, because an older one is out."""
    return _tokens.take(Token(tenant_id, lane, slot).key, text)


def requeue(token: Token) -> None:
    """Put the token of a running drain back at the queue's tail, behind the other tenants'."""
    _send(token, _tokens.put_back(token.key, token.taken))


def running(token: Token) -> None:
    """Say that a drain runs: repeated while it does."""
    _tokens.keep(token.key, token.taken)


def finished(token: Token) -> None:
    """Say that no token is under way. Whoever commits a row from now on sends a new one."""
    _tokens.drop(token.key)


def _send(token: Token, text: str) -> bool:
    """Send the token itself; return whether the broker took it."""
    arguments = [str(token.tenant_id), token.lane, token.slot, text]
    try:
        current_app.send_task(DRAIN_TASK, args=arguments, queue=token.lane, ignore_result=True)
    except (OperationalError, OSError) as error:
        log.warning("wake_failed", lane=token.lane, error=type(error).__name__)
        finished(token)
        return False
    return True
