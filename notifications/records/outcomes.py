"""What an attempt came to: the decision about a provider's answer, and the one place that writes it down."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection

from notification_service.lib.ids import new_id
from notifications.providers.base import FailureReason, SendResult
from notifications.records.queue import Claimed
from notifications.records.states import Status, sources

log = structlog.get_logger(__name__)

#: A record that waits for a usable credential is looked at again after this long, if no news comes first.
HOLD = timedelta(seconds=60)
_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """One record's move out of ``sending``. ``attempted`` is False when no provider was asked."""

    claimed: Claimed
    status: Status
    result: SendResult
    provider: str
    credential_id: UUID | None
    started_at: datetime
    finished_at: datetime
    attempted: bool = True
    next_due_at: datetime | None = None


def decide(
    claimed: Claimed,
    result: SendResult,
    *,
    provider: str,
    credential_id: UUID | None,
    started_at: datetime,
    now: datetime,
) -> Outcome:
    """Say what becomes of a record after a provider's answer.

    Retries wait ``RETRY_BASE_SECONDS`` × 2ⁿ (with jitter, and at least what the provider asked for) while any are left
    and the deadline allows; an auth error never uses one up: waiting does not make a password right.
    """
    status, due = Status.FAILED, None
    if result.accepted:
        status = Status.SUCCESS
    elif result.retryable and claimed.retry_count < claimed.max_retries:
        due = now + retry_delay(claimed.retry_count, result.retry_after)
        if due < claimed.expires_at:
            status = Status.RETRYING
        else:
            due = None
    return Outcome(claimed, status, result, provider, credential_id, started_at, now, next_due_at=due)


def hold(claimed: Claimed, *, response: str, now: datetime, result: SendResult | None = None) -> Outcome:
    """Put a record back untried: the tenant has no usable credential at the moment."""
    result = result or SendResult.failure(FailureReason.AUTH_ERROR, response)
    return Outcome(claimed, Status.PENDING, result, "", None, now, now, attempted=False, next_due_at=now + HOLD)


def refuse(claimed: Claimed, reason: FailureReason, response: str, *, now: datetime) -> Outcome:
    """End a record without asking a provider: expired, or its content can not be rendered."""
    return Outcome(claimed, Status.FAILED, SendResult.failure(reason, response), "", None, now, now, attempted=False)


def retry_delay(retry_count: int, retry_after: float | None = None) -> timedelta:
    """Return how long to wait before the next try, after ``retry_count`` earlier retries."""
    seconds: float = settings.RETRY_BASE_SECONDS * 2**retry_count * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - jitter
    return timedelta(seconds=max(seconds, retry_after or 0.0))


_COLUMNS = (
    ("id", "uuid"),
    ("token", "uuid"),
    ("status", "text"),
    ("reason", "text"),
    ("code", "text"),
    ("response", "text"),
    ("message_id", "text"),
    ("ambiguous", "bool"),
    ("provider", "text"),
    ("credential_id", "uuid"),
    ("started_at", "timestamptz"),
    ("finished_at", "timestamptz"),
    ("next_due_at", "timestamptz"),
    ("attempted", "bool"),
    ("attempt_id", "uuid"),
)
_UNNEST = ", ".join(f"%s::{kind}[]" for _, kind in _COLUMNS)
_NAMES = ", ".join(name for name, _ in _COLUMNS)

# Fencing: a record whose lease was lost (another worker has it, or it is final by now) is not in ``moved``.
_WRITE = f"""
WITH outcome AS MATERIALIZED (SELECT * FROM unnest({_UNNEST}) AS o ({_NAMES})),
moved AS (
    UPDATE notification_record AS r SET
        status = o.status,
        failure_reason = o.reason,
        provider_response = o.response,
        provider = CASE WHEN o.provider = '' THEN r.provider ELSE o.provider END,
        provider_message_id = CASE WHEN o.message_id = '' THEN r.provider_message_id ELSE o.message_id END,
        credential_id = coalesce(o.credential_id, r.credential_id),
        retry_count = r.retry_count + (o.status = 'retrying')::int,
        attempt_count = r.attempt_count - (NOT o.attempted)::int,
        sent_at = CASE WHEN o.status = 'success' THEN o.finished_at ELSE r.sent_at END,
        due_at = coalesce(o.next_due_at, r.due_at),
        lease_token = NULL,
        lease_until = NULL,
        updated_at = now()
    FROM outcome AS o
    WHERE r.id = o.id AND r.tenant_id = %s AND r.lease_token = o.token AND r.status = 'sending'
    RETURNING r.id, r.attempt_count
),
attempts AS (
    INSERT INTO attempt (id, tenant_id, record_id, number, provider, credential_id, outcome, failure_reason, code,
                         response, provider_message_id, ambiguous, started_at, finished_at, next_due_at)
    SELECT o.attempt_id, %s, o.id, m.attempt_count, o.provider, o.credential_id, o.status, o.reason, o.code,
           o.response, o.message_id, o.ambiguous, o.started_at, o.finished_at, o.next_due_at
    FROM outcome AS o JOIN moved AS m USING (id) WHERE o.attempted
)
SELECT id FROM moved
"""


def write_outcomes(tenant_id: UUID, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Append the attempts and move the records, in one statement; return the outcomes that counted.

    Needs the tenant's scope. An outcome whose lease was lost in the meantime is discarded.
    """
    assert all(str(Status.SENDING) in sources(outcome.status) for outcome in outcomes)  # noqa: S101 - our own table
    rows = [_row(outcome) for outcome in outcomes]
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, [*(list(column) for column in zip(*rows, strict=True)), tenant_id, tenant_id])
        counted = {row[0] for row in cursor.fetchall()}
    if len(counted) < len(outcomes):
        log.warning("outcomes_discarded", count=len(outcomes) - len(counted), reason="lease lost")
    return [outcome for outcome in outcomes if outcome.claimed.id in counted]


def _row(outcome: Outcome) -> tuple[object, ...]:
    result = outcome.result
    return (
        outcome.claimed.id,
        outcome.claimed.lease_token,
        str(outcome.status),
        str(result.reason or ""),
        result.code[:64],
        result.response.replace("\x00", "")[:2000],
        result.provider_message_id[:255],
        result.ambiguous,
        outcome.provider,
        outcome.credential_id,
        outcome.started_at,
        outcome.finished_at,
        outcome.next_due_at,
        outcome.attempted,
        new_id(),
    )
