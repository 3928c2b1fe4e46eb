"""The queue in the table: claim what is due under a lease, keep the lease alive, take back what a lost worker had."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from orjson import loads

from notifications.records.models import RecordEvent
from notifications.records.states import WAITING, WAITING_SQL, Status, sources
from tenants.callers import Mode

#: After this many lost workers a record is taken for the cause and fails.
LOST_LIMIT = 5
#: Nobody is taken for lost in the first seconds after a start of the database.
GRACE_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Claimed:
    """A record as a worker holds it."""

    id: UUID
    tenant_id: UUID
    channel: str
    recipient: str
    content: dict[str, Any]
    context: dict[str, Any]
    lane: str
    mode: Mode
    retry_count: int
    max_retries: int
    attempt_count: int
    created_at: datetime
    expires_at: datetime
    lease_token: UUID
    at_most_once: bool = False
    category: str = ""
    was_held: bool = False
    user_id: str = ""
    template_version_id: UUID | None = None
    locale: str = ""
    campaign_id: UUID | None = None
    batch_id: UUID | None = None
    event_id: UUID | None = None


#: Octets of content that a claim takes at most, but for a first record that is larger by itself.
_MOST_OCTETS = 64 * 2**20

_COLUMNS = """id, channel, recipient, content, context, mode, retry_count, max_retries, attempt_count,
    extract(epoch FROM created_at)::float8, extract(epoch FROM expires_at)::float8,
    (SELECT settings ->> 'delivery_guarantee' = 'at_most_once' FROM tenant WHERE id = %(tenant)s),
    coalesce(metadata ->> 'category', ''), failure_reason = 'auth_error',
    user_id, template_version_id, locale, campaign_id, batch_id, event_id"""
# The due rows are locked first and in order of their due time; rows that another worker has locked are passed over.
# A chunk of emails with attachments must fit into the worker's memory: what is stored small is not looked into.
_CLAIM = f"""
UPDATE notification_record AS r
SET status = 'sending', lease_token = %(token)s, lease_until = now() + %(lease)s * interval '1 second',
    attempt_count = attempt_count + 1, updated_at = now()
WHERE r.id = ANY (ARRAY(
    SELECT id FROM (
        SELECT id, row_number() OVER due AS place, sum(octets) OVER due AS octets FROM (
            SELECT id, due_at,
                CASE WHEN pg_column_size(content) > 8192 THEN octet_length(content::text) ELSE 0 END AS octets
            FROM notification_record
            WHERE tenant_id = %(tenant)s AND lane = %(lane)s AND status IN ({WAITING_SQL}) AND due_at <= now()
            ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        ) AS locked WINDOW due AS (ORDER BY due_at, id)
    ) AS weighed WHERE place = 1 OR octets <= {_MOST_OCTETS}
))
RETURNING {_COLUMNS}
"""
_HELD_UNDER = f"""
SELECT {_COLUMNS}, lane FROM notification_record
WHERE tenant_id = %(tenant)s AND id = ANY (%(ids)s) AND status = 'sending' AND lease_token = %(token)s FOR UPDATE
"""


def claim(tenant_id: UUID, lane: str, *, token: UUID, limit: int) -> list[Claimed]:
    """Take up to ``limit`` due records of a lane under a lease of ``LEASE_SECONDS``. Needs the tenant's scope."""
    assert all(str(status) in sources(Status.SENDING) for status in WAITING)  # noqa: S101 - our own table
    with connection.cursor() as cursor:
        cursor.execute(
            _CLAIM,
            {"token": token, "lease": settings.LEASE_SECONDS, "tenant": tenant_id, "lane": lane, "limit": limit},
        )
        return _claimed(cursor, tenant_id, lane, token)


def held_under(tenant_id: UUID, token: UUID, ids: list[UUID]) -> list[Claimed]:
    """Return those of some records that are still held under a token, locked. Needs the tenant's scope."""
    with connection.cursor() as cursor:
        cursor.execute(_HELD_UNDER, {"tenant": tenant_id, "token": token, "ids": ids})
        return _claimed(cursor, tenant_id, None, token)


def renew(tenant_id: UUID, token: UUID) -> int:
    """Prolong every lease held under a token; return how many there are. Needs the tenant's scope."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE notification_record SET lease_until = now() + %s * interval '1 second'"
            " WHERE tenant_id = %s AND status = 'sending' AND lease_token = %s",
            [settings.LEASE_SECONDS, tenant_id, token],
        )
        return int(cursor.rowcount)


# The try that was lost counts as an attempt (the message may have gone out), but not as one of the retries.
# While the database was away nobody could renew a lease: after it has started, its workers may first be heard.
_TAKE_BACK = """
WITH lost AS (
    SELECT id FROM notification_record WHERE status = 'sending' AND lease_until < now() AND tenant_id = %(tenant)s
        AND pg_postmaster_start_time() < now() - %(grace)s * interval '1 second'
    ORDER BY lease_until LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE notification_record AS r
SET status = CASE
        WHEN r.lost_count + 1 >= %(lost_limit)s OR t.settings ->> 'delivery_guarantee' = 'at_most_once' THEN 'failed'
        ELSE 'retrying'
    END,
    failure_reason = 'unknown_error', provider_response = 'The worker was lost while sending.',
    lost_count = r.lost_count + 1, due_at = now(), lease_token = NULL, lease_until = NULL, updated_at = now()
FROM lost, tenant AS t WHERE r.id = lost.id AND t.id = r.tenant_id
RETURNING r.id, r.status, r.attempt_count
"""


def tenants_with_lost() -> list[UUID]:
    """Return the tenants some of whose leases have run out. Needs ``platform_scope``."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT tenant_id FROM notification_record WHERE status = 'sending' AND lease_until < now()"
        )
        return sorted(row[0] for row in cursor.fetchall())


def take_back(tenant_id: UUID, *, limit: int = 5000) -> list[tuple[UUID, str]]:
    """Give up a tenant's leases that ran out; return (record, status) of each. Needs the tenant's scope.

    Whoever calls this announces the records that failed: see ``ends.take_back_lost``.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _TAKE_BACK, {"tenant": tenant_id, "limit": limit, "lost_limit": LOST_LIMIT, "grace": GRACE_SECONDS}
        )
        lost = cursor.fetchall()
    RecordEvent.objects.bulk_create(
        RecordEvent(
            tenant_id=tenant_id,
            record_id=record_id,
            kind="worker_lost",
            actor="sweeper",
            detail={"status": status, "attempt": attempt_count},
            created_at=timezone.now(),
        )
        for record_id, status, attempt_count in lost
    )
    return [(record_id, status) for record_id, status, _ in lost]


#: A statement's beginning: ``lanes``, every (tenant, lane) in which something waits. A loose index scan: one step for
#: each of them, however many rows it has.
WITH_LANES = f"""
WITH RECURSIVE lanes AS (
    (SELECT tenant_id, lane FROM notification_record WHERE status IN ({WAITING_SQL}) ORDER BY tenant_id, lane LIMIT 1)
    UNION ALL
    SELECT next.* FROM lanes, LATERAL (
        SELECT r.tenant_id, r.lane FROM notification_record AS r
        WHERE r.status IN ({WAITING_SQL}) AND (r.tenant_id, r.lane) > (lanes.tenant_id, lanes.lane)
        ORDER BY r.tenant_id, r.lane LIMIT 1
    ) AS next
)
"""
_DUE_LANES = f"""{WITH_LANES}
SELECT tenant_id, lane FROM lanes WHERE EXISTS (
    SELECT FROM notification_record AS r
    WHERE r.tenant_id = lanes.tenant_id AND r.lane = lanes.lane AND r.status IN ({WAITING_SQL}) AND r.due_at <= now()
)
"""


def due_lanes() -> list[tuple[UUID, str]]:
    """Return every (tenant, lane) that has something due. Needs ``platform_scope``."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE_LANES)
        return [(row[0], row[1]) for row in cursor.fetchall()]


def release_held(tenant_id: UUID, channel: str) -> list[str]:
    """Make due what waits for a credential of a channel; return the lanes concerned. Needs the tenant's scope.

    That is what waits for a usable one, and what waits for a provider that keeps failing.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE notification_record SET due_at = now() WHERE tenant_id = %s AND channel = %s"
            f" AND status IN ({WAITING_SQL}) AND due_at > now() AND (failure_reason = 'auth_error'"
            " OR (status = 'pending' AND failure_reason = 'provider_error')) RETURNING lane",
            [tenant_id, channel],
        )
        return sorted({row[0] for row in cursor.fetchall()})


def _claimed(cursor: CursorWrapper, tenant_id: UUID, lane: str | None, token: UUID) -> list[Claimed]:
    source, content = "", {}  # rows of one campaign have the same content: it is read once
    claimed = []
    for row in cursor.fetchall():
        if row[3] != source:
            source, content = row[3], loads(row[3])
        claimed.append(
            Claimed(
                id=row[0],
                tenant_id=tenant_id,
                channel=row[1],
                recipient=row[2],
                content=content,
                context=loads(row[4]),
                lane=row[20] if lane is None else lane,
                mode=row[5],
                retry_count=row[6],
                max_retries=row[7],
                attempt_count=row[8],
                created_at=datetime.fromtimestamp(row[9], UTC),
                expires_at=datetime.fromtimestamp(row[10], UTC),
                lease_token=token,
                at_most_once=bool(row[11]),
                category=row[12],
                was_held=row[13],
                user_id=row[14],
                template_version_id=row[15],
                locale=row[16],
                campaign_id=row[17],
                batch_id=row[18],
                event_id=row[19],
            )
        )
    return claimed
