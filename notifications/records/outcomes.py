"""What an attempt came to: the decision about a provider's answer, and the one place that writes it down."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import orjson
import structlog
from django.conf import settings
from django.db import connection

from notification_service.lib.ids import new_id
from notifications.providers.base import FailureReason, SendResult
from notifications.records.queue import Claimed
from notifications.records.states import Status, sources

log = structlog.get_logger(__name__)

#: A record that waits for a usable credential is looked at again after this long, if no news comes first; the first
#: time soon, because the news may have come while it was found that there is none.
HOLD, FIRST_HOLD = timedelta(seconds=60), timedelta(seconds=2)
_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Try:
    """One try at one provider."""

    provider: str
    credential_id: UUID | None
    result: SendResult
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """One record's move out of ``sending``, with every try since it was claimed: none if no provider was asked."""

    claimed: Claimed
    status: Status
    result: SendResult
    tries: tuple[Try, ...] = ()
    next_due_at: datetime | None = None
    #: Of a text message: its parts and their alphabet.
    segments: int | None = None
    encoding: str = ""


def decide(
    claimed: Claimed,
    result: SendResult,
    *,
    provider: str,
    credential_id: UUID | None,
    started_at: datetime,
    now: datetime,
    earlier: tuple[Try, ...] = (),
    segments: int | None = None,
    encoding: str = "",
) -> Outcome:
    """Say what becomes of a record after a provider's answer; ``earlier`` are tries at other credentials before it.

    Retries wait ``RETRY_BASE_SECONDS`` × 2ⁿ (with jitter, and at least what the provider asked for) while any are left
    and the deadline allows; an auth error never uses one up: waiting does not make a password right. A tenant that
    wants each message at most once gets no retry after an answer that leaves open whether it was sent.
    """
    status, due = Status.FAILED, None
    if result.accepted:
        status = Status.SUCCESS
    elif result.ambiguous and claimed.at_most_once:
        pass
    elif result.retryable and claimed.retry_count < claimed.max_retries:
        due = now + retry_delay(claimed.retry_count, result.retry_after)
        if due < claimed.expires_at:
            status = Status.RETRYING
        else:
            due = None
    tries = (*earlier, Try(provider, credential_id, result, started_at, now))
    return Outcome(claimed, status, result, tries, next_due_at=due, segments=segments, encoding=encoding)


def hold(
    claimed: Claimed,
    *,
    response: str,
    now: datetime,
    result: SendResult | None = None,
    due_at: datetime | None = None,
    tries: tuple[Try, ...] = (),
) -> Outcome:
    """Put a record back, using up no retry: there is nothing to send it with at the moment.

    ``due_at`` defaults to a minute from now, or to a moment the first time; news of a credential comes first.
    """
    result = result or SendResult.failure(FailureReason.AUTH_ERROR, response)
    return Outcome(
        claimed, Status.PENDING, result, tries, next_due_at=due_at or now + (HOLD if claimed.was_held else FIRST_HOLD)
    )


def refuse(claimed: Claimed, reason: FailureReason, response: str, *, now: datetime) -> Outcome:
    """End a record without asking a provider: expired, or its content can not be rendered."""
    return Outcome(claimed, Status.FAILED, SendResult.failure(reason, response))


def retry_delay(retry_count: int, retry_after: float | None = None) -> timedelta:
    """Return how long to wait before the next try, after ``retry_count`` earlier retries."""
    seconds: float = settings.RETRY_BASE_SECONDS * 2**retry_count * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - jitter
    return timedelta(seconds=max(seconds, retry_after or 0.0))


_RECORD_COLUMNS = (
    ("id", "uuid"),
    ("token", "uuid"),
    ("status", "text"),
    ("reason", "text"),
    ("response", "text"),
    ("message_id", "text"),
    ("provider", "text"),
    ("credential_id", "uuid"),
    ("finished_at", "timestamptz"),
    ("next_due_at", "timestamptz"),
    ("tries", "int"),
    # Left out of the rows that have none, which are nearly all.
    ("segments", "int"),
    ("encoding", "text"),
)
_TRY_COLUMNS = (
    ("id", "uuid"),
    ("record_id", "uuid"),
    ("place", "int"),
    ("provider", "text"),
    ("credential_id", "uuid"),
    ("outcome", "text"),
    ("reason", "text"),
    ("code", "text"),
    ("response", "text"),
    ("message_id", "text"),
    ("ambiguous", "bool"),
    ("started_at", "timestamptz"),
    ("finished_at", "timestamptz"),
    ("next_due_at", "timestamptz"),
)


def _recordset(columns: tuple[tuple[str, str], ...], alias: str) -> str:
    return f"jsonb_to_recordset(%s::jsonb) AS {alias} ({', '.join(f'{name} {kind}' for name, kind in columns)})"


# Fencing: a record whose lease was lost (another worker has it, or it is final by now) is not in ``moved``.
# The claim counted one attempt; what counts is how many tries there were.
_WRITE = f"""
WITH outcome AS MATERIALIZED (SELECT * FROM {_recordset(_RECORD_COLUMNS, "o")}),
moved AS (
    UPDATE notification_record AS r SET
        status = o.status,
        failure_reason = o.reason,
        provider_response = o.response,
        provider = CASE WHEN o.provider = '' THEN r.provider ELSE o.provider END,
        provider_message_id = CASE WHEN o.message_id = '' THEN r.provider_message_id ELSE o.message_id END,
        credential_id = coalesce(o.credential_id, r.credential_id),
        retry_count = r.retry_count + (o.status = 'retrying')::int,
        attempt_count = r.attempt_count - 1 + o.tries,
        sent_at = CASE WHEN o.status = 'success' THEN o.finished_at ELSE r.sent_at END,
        due_at = coalesce(o.next_due_at, r.due_at),
        segments = coalesce(o.segments, r.segments),
        encoding = coalesce(o.encoding, r.encoding),
        lease_token = NULL,
        lease_until = NULL,
        updated_at = now()
    FROM outcome AS o
    WHERE r.id = o.id AND r.tenant_id = %s AND r.lease_token = o.token AND r.status = 'sending'
    RETURNING r.id, r.attempt_count - o.tries AS before
),
attempts AS (
    INSERT INTO attempt (id, tenant_id, record_id, number, provider, credential_id, outcome, failure_reason, code,
                         response, provider_message_id, ambiguous, started_at, finished_at, next_due_at)
    SELECT t.id, %s, t.record_id, m.before + t.place, t.provider, t.credential_id, t.outcome, t.reason, t.code,
           t.response, t.message_id, t.ambiguous, t.started_at, t.finished_at, t.next_due_at
    FROM {_recordset(_TRY_COLUMNS, "t")} JOIN moved AS m ON m.id = t.record_id
)
SELECT id FROM moved
"""


def write_outcomes(tenant_id: UUID, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Append the attempts and move the records, in one statement; return the outcomes that counted.

    Needs the tenant's scope. An outcome whose lease was lost in the meantime is discarded.
    """
    assert all(str(Status.SENDING) in sources(outcome.status) for outcome in outcomes)  # noqa: S101 - our own table
    records = _json(_RECORD_COLUMNS, map(_record_row, outcomes))
    tries = _json(_TRY_COLUMNS, (row for outcome in outcomes for row in _try_rows(outcome)))
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, [records, tenant_id, tenant_id, tries])
        counted = {row[0] for row in cursor.fetchall()}
    if len(counted) < len(outcomes):
        log.warning("outcomes_discarded", count=len(outcomes) - len(counted), reason="lease lost")
    return [outcome for outcome in outcomes if outcome.claimed.id in counted]


def _json(columns: Iterable[tuple[str, str]], rows: Iterable[tuple[object, ...]]) -> str:
    """Return rows as one JSON parameter: encoding it takes a fraction of what quoting two dozen arrays takes."""
    names = [name for name, _ in columns]
    return orjson.dumps([dict(zip(names, row, strict=False)) for row in rows]).decode()


def _record_row(outcome: Outcome) -> tuple[object, ...]:
    result, last = outcome.result, outcome.tries[-1] if outcome.tries else None
    return (
        outcome.claimed.id,
        outcome.claimed.lease_token,
        str(outcome.status),
        str(result.reason or ""),
        _clean(result.response),
        _clean(result.provider_message_id)[:255],
        last.provider if last else "",
        last.credential_id if last else None,
        last.finished_at if last else None,
        outcome.next_due_at,
        len(outcome.tries),
        *((outcome.segments, outcome.encoding) if outcome.segments else ()),
    )


def _try_rows(outcome: Outcome) -> Iterator[tuple[object, ...]]:
    for place, one in enumerate(outcome.tries, start=1):
        is_last, result = place == len(outcome.tries), one.result
        yield (
            new_id(),
            outcome.claimed.id,
            place,
            one.provider,
            one.credential_id,
            str(outcome.status if is_last else Status.RETRYING),
            str(result.reason or ""),
            _clean(result.code)[:64],
            _clean(result.response),
            _clean(result.provider_message_id)[:255],
            result.ambiguous,
            one.started_at,
            one.finished_at,
            outcome.next_due_at if is_last else one.finished_at,
        )


def _clean(response: str) -> str:
    return response.replace("\x00", "")[:2000]
