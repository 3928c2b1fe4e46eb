"""The queue in the table: claim what is due for one endpoint, and write down what came of it.

Claims of an endpoint stand in line for its row, so that ``WEBHOOK_CONCURRENCY`` holds over all workers. A claimed
delivery whose worker is lost is claimed again once its lease is over.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connection
from django.utils import timezone

from notification_service.lib.encryption import key_ring
from notification_service.lib.ids import new_id
from notifications.webhooks.client import Answer
from notifications.webhooks.health import calls_at_once, cancel_waiting, is_probed, report
from notifications.webhooks.models import FAILURES_TO_OPEN, DeliveryStatus, OrderedBy, WebhookEndpoint

#: A lease outlives the call by this much, in seconds: time to write down what came of it.
_GRACE: Final = 30
_JITTER: Final = 0.2
#: Entries of a delivery's log that are kept: the first and the latest.
_MOST_LOG: Final = 100


@dataclass(frozen=True, slots=True)
class Call:
    """A delivery as a worker holds it; ``keys`` are the secrets that sign, the current one first."""

    id: UUID
    token: UUID
    webhook_id: str
    body: str
    attempt: int
    failing_since: datetime | None
    url: str
    keys: tuple[str, ...] = field(repr=False)
    legacy_header: str


@dataclass(frozen=True, slots=True)
class Called:
    """A call, when it was made, and what was answered."""

    call: Call
    at: datetime
    answer: Answer


#: Written out: to have the ORM compose it at each turn takes as long as all the rest of the turn.
_LOCK: Final = "SELECT * FROM webhook_endpoint WHERE id = %s FOR NO KEY UPDATE"
_CLAIMED_BY: Final = """
UPDATE webhook_delivery SET status = 'sending', attempts = attempts + 1, lease_token = %(token)s,
    due_at = now() + %(lease)s * interval '1 second'
WHERE id = ANY (ARRAY(
    SELECT d.id FROM webhook_delivery AS d
    WHERE d.endpoint_id = %(endpoint)s AND d.status IN ('pending', 'sending')
        AND (d.due_at <= clock_timestamp() OR (
            %(early)s AND d.status = 'pending' AND (d.not_before IS NULL OR d.not_before <= clock_timestamp())))
        AND (NOT %(ordered)s OR NOT EXISTS (
            SELECT FROM webhook_delivery AS earlier
            WHERE earlier.endpoint_id = d.endpoint_id AND earlier.key = d.key AND earlier.id < d.id
                AND earlier.status IN ('pending', 'sending')))
        AND (NOT %(one_by_one)s OR d.id = (
            SELECT first.id FROM webhook_delivery AS first
            WHERE first.endpoint_id = %(endpoint)s AND first.status IN ('pending', 'sending')
            ORDER BY first.id LIMIT 1))
    ORDER BY {order} LIMIT greatest(0, least(%(limit)s, %(most)s - (
        SELECT count(*) FROM webhook_delivery AS w
        WHERE w.endpoint_id = %(endpoint)s AND w.status = 'sending' AND w.due_at > now())))
    FOR UPDATE SKIP LOCKED))
RETURNING id, event_id, body, attempts, failing_since
"""
_CLAIM: Final = _CLAIMED_BY.format(order="d.id")
#: A probe takes what is next in line, not the oldest: one that fails for a reason of its own is not asked each time.
_CLAIM_PROBE: Final = _CLAIMED_BY.format(order="d.due_at, d.id")
_SETTLE: Final = """
UPDATE webhook_delivery AS d SET status = r.status, due_at = r.due_at, not_before = r.not_before, lease_token = NULL,
    failing_since = r.failing_since,
    response_status = r.http_status, response_body = r.body, error = r.error, duration_ms = r.duration_ms,
    log = CASE WHEN jsonb_array_length(d.log) < %s THEN d.log ELSE d.log - 1 END || jsonb_build_array(r.entry),
    delivered_at = CASE WHEN r.status = 'delivered' THEN now() END
FROM jsonb_to_recordset(%s::jsonb) AS r (id uuid, token uuid, status text, due_at timestamptz,
    not_before timestamptz, failing_since timestamptz, http_status int, body text, error text, duration_ms int,
    entry jsonb)
WHERE d.id = r.id AND d.lease_token = r.token AND d.status = 'sending'
RETURNING d.id
"""
#: What ``turn`` would claim something for.
_DUE: Final = """
SELECT e.tenant_id, e.id FROM webhook_endpoint AS e
WHERE e.enabled AND (e.not_before IS NULL OR e.not_before <= now()) AND (e.failures < %s OR e.probe_at <= now())
    AND EXISTS (
        SELECT FROM webhook_delivery AS d WHERE d.endpoint_id = e.id AND d.status IN ('pending', 'sending')
            AND (d.due_at <= now() OR (
                e.probe_at <= now() AND d.status = 'pending' AND (d.not_before IS NULL OR d.not_before <= now()))))
"""


def turn(endpoint_id: UUID, called: Sequence[Called], limit: int) -> list[Call]:
    """Write down what came of calls, then claim up to ``limit`` due deliveries. Needs the tenant's scope.

    Nothing is claimed for an endpoint that is disabled or paused; one call, due or not, for one that is probed. Else
    the order is that of the events; an answer whose lease was lost is discarded.
    """
    endpoint = next(iter(WebhookEndpoint.objects.raw(_LOCK, [endpoint_id])), None)
    if endpoint is None:
        return []
    if called:
        _settle(endpoint, called)
    now = timezone.now()
    most = calls_at_once(endpoint, now)
    return _claim(endpoint, min(limit, most), most, early=is_probed(endpoint, now)) if limit > 0 and most else []


def due_endpoints() -> list[tuple[UUID, UUID]]:
    """Return (tenant, endpoint) of those that may be called and have something to get. Needs ``platform_scope``."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [FAILURES_TO_OPEN])
        return list(cursor.fetchall())


def secrets_of(endpoint: WebhookEndpoint) -> tuple[str, ...]:
    """Return the secrets that sign now: the current one, and the previous one while both hold."""
    held = [bytes(endpoint.secret_encrypted)]
    until = endpoint.previous_secret_until
    if endpoint.previous_secret_encrypted and until and until > timezone.now():
        held.append(bytes(endpoint.previous_secret_encrypted))
    return tuple(key_ring().decrypt(each, associated_data=endpoint.associated_data).decode() for each in held)


def _claim(endpoint: WebhookEndpoint, limit: int, most: int, *, early: bool) -> list[Call]:
    token = new_id()
    parameters: dict[str, Any] = {
        "token": token,
        "lease": settings.WEBHOOK_TIMEOUT_SECONDS + _GRACE,
        "endpoint": endpoint.id,
        "ordered": endpoint.ordered and endpoint.ordered_by == OrderedBy.KEY,
        "one_by_one": endpoint.ordered and endpoint.ordered_by == OrderedBy.ENDPOINT,
        "limit": limit,
        "most": most,
        "early": early,
    }
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM_PROBE if early else _CLAIM, parameters)
        rows = sorted(cursor.fetchall())
    keys = secrets_of(endpoint) if rows else ()
    return [
        Call(id_, token, f"msg_{event.hex}", body, attempt, since, endpoint.url, keys, endpoint.legacy_header)
        for id_, event, body, attempt, since in rows
    ]


def _settle(endpoint: WebhookEndpoint, called: Sequence[Called]) -> None:
    now = timezone.now()
    rows = orjson.dumps([_row(each, now) for each in called]).decode()
    with connection.cursor() as cursor:
        cursor.execute(_SETTLE, [_MOST_LOG, rows])
        counted = {row[0] for row in cursor.fetchall()}
    report(endpoint, [each.answer for each in called if each.call.id in counted], now)
    if not endpoint.enabled:  # what was under way when it was disabled is not tried again
        cancel_waiting(endpoint)


def _row(called: Called, now: datetime) -> dict[str, Any]:
    call, answer = called.call, called.answer
    status, due, since, asked = DeliveryStatus.DELIVERED, now, call.failing_since, None
    if not answer.ok:
        since = since or now
        wait = _wait((now - since).total_seconds())
        asked = now + timedelta(seconds=answer.retry_after) if answer.retry_after else None
        status = DeliveryStatus.FAILED if wait is None else DeliveryStatus.PENDING
        due = max(now + timedelta(seconds=wait or 0), asked or now)
    duration = round(answer.seconds * 1000)
    entry = {
        "number": call.attempt,
        "at": called.at,
        "duration_ms": duration,
        "status": answer.status,
        "error": answer.error,
    }
    return {
        "id": call.id,
        "token": call.token,
        "status": str(status),
        "due_at": due,
        "not_before": asked,
        "failing_since": since,
        "http_status": answer.status,
        "body": answer.body,
        "error": answer.error[:500],
        "duration_ms": duration,
        "entry": entry,
    }


def _wait(failing: float) -> float | None:
    """Return how many seconds to wait for the next attempt of a delivery that has failed for so many; None: no more.

    ``WEBHOOK_RETRY_SECONDS`` are steps on the clock since its first failure, so that probes in between use none of them
    up. Each step takes up to a fifth more, so that what failed together does not come back together.
    """
    reached = 0.0
    for step in settings.WEBHOOK_RETRY_SECONDS:
        reached += step
        if reached > failing:
            return reached - failing + step * random.uniform(0, _JITTER)  # noqa: S311 - jitter
    return None
