"""Staged rows: what a file brought, checked, each with the id of the record that it will become.

Small on purpose, so that campaigns can use it: ``staged_rows`` hands out what a job has staged, in the file's order,
for as long as the job is not purged (``BULK_RETENTION_DAYS``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson
from django.db import connection

from notification_service.lib.ids import new_id
from notifications.batches.checking import Broken, Candidate, address_hash, address_key
from notifications.batches.copying import INCOMING, as_jsonb, insert_copied
from notifications.batches.models import Job
from notifications.batches.people import heed_preferences
from notifications.recipients.suppressions import category_of
from notifications.records.bulk import Row, Shared, Written, write_rows, write_selected

#: The lowest id: where reading begins.
START: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Staged:
    """A staged row. ``address`` is the channel's normal form; ``id`` that of its record, if the job makes records."""

    id: UUID
    row_number: int
    address: str
    user_id: str
    locale: str
    context: Mapping[str, Any]


_STAGED_COLUMNS: Final = {
    "id": "uuid",
    "row_number": "int8",
    "address": "text",
    "address_key": "text",
    "address_hash": "uuid",
    "user_id": "text",
    "locale": "text",
    "context": "jsonb",
}
_STAGE = f"""
WITH staged AS (
    INSERT INTO bulk_staged_row
        (id, tenant_id, job_id, row_number, address, address_key, address_hash, user_id, locale, context)
    SELECT id, %(tenant)s, %(job)s, row_number, address, address_key, address_hash, user_id, locale, context
    FROM {INCOMING} ON CONFLICT (job_id, address_hash) DO NOTHING RETURNING 1)
SELECT count(*) FROM staged
"""
_BROKEN_COLUMNS: Final = {
    "id": "uuid",
    "row_number": "int8",
    "column": "text",
    "code": "text",
    "reason": "text",
    "original": "text",
}
_BREAK = f"""
INSERT INTO bulk_broken_row (id, tenant_id, job_id, row_number, "column", code, reason, original)
SELECT id, %(tenant)s, %(job)s, row_number, "column", code, reason, original FROM {INCOMING}
"""


def stage(job: Job, candidates: Sequence[Candidate], broken: Sequence[Broken] = ()) -> int:
    """Keep valid rows and what is wrong with the others; return how many rows were staged. Needs the tenant's scope.

    An address that the job has already is not staged again, so the others are its duplicates.
    """
    parameters = {"tenant": job.tenant_id, "job": job.id}
    if broken:
        insert_copied(_BROKEN_COLUMNS, map(_broken_row, broken), _BREAK, parameters)
    if not candidates:
        return 0
    rows = (_staged_row(job.channel, each) for each in candidates)
    return int(insert_copied(_STAGED_COLUMNS, rows, _STAGE, parameters)[0][0])


def _staged_row(channel: str, row: Candidate) -> tuple[Any, ...]:
    key = address_key(channel, row.address)
    return (
        new_id(),
        row.row_number,
        row.address,
        None if key == row.address else key,
        address_hash(key),
        row.user_id,
        row.locale,
        as_jsonb(row.context),
    )


def _broken_row(row: Broken) -> tuple[Any, ...]:
    return new_id(), row.row_number, row.column, row.code, row.reason, row.original


_ROWS = """
SELECT id, row_number, address, user_id, locale, context FROM bulk_staged_row
WHERE job_id = %s AND id > %s ORDER BY id LIMIT %s
"""


def staged_rows(job_id: UUID, after: UUID = START, limit: int = 5_000) -> list[Staged]:
    """Return up to ``limit`` staged rows of a job after the id ``after``, in the file's order.

    Needs the tenant's scope; another tenant's job has none. Fewer than ``limit`` says that these are the last.
    """
    with connection.cursor() as cursor:
        cursor.execute(_ROWS, [job_id, after, limit])
        return [Staged(row[0], row[1], row[2], row[3], row[4], orjson.loads(row[5])) for row in cursor.fetchall()]


_NEXT = "SELECT id FROM bulk_staged_row WHERE job_id = %s AND id > %s ORDER BY id LIMIT %s"
_SELECT: Final = """
SELECT id, address AS recipient, coalesce(address_key, address) AS suppression_key, context, user_id, locale,
    NULL::jsonb AS content, NULL::jsonb AS metadata, NULL::text AS category, NULL::uuid AS template_version_id,
    NULL::timestamptz AS due_at, NULL::uuid AS event_id, '' AS withheld, '' AS waits
FROM bulk_staged_row WHERE job_id = %(job)s AND id > %(after)s AND id <= %(until)s ORDER BY id
"""


def record_rows(
    job_id: UUID, shared: Shared, after: UUID, limit: int, *, personal: bool = False
) -> tuple[Written, UUID | None]:
    """Make records of the next staged rows after an id; return what was written, and the last id (None: no more rows).

    ``personal`` says that rows name people, whose preferences count. Needs the tenant's scope. A row that is a record
    already is left alone.
    """
    if personal:
        staged = staged_rows(job_id, after, limit)
        rows = [Row(each.id, each.address, each.context, each.user_id, each.locale) for each in staged]
        return write_rows(shared, heed_preferences(shared, rows)), staged[-1].id if staged else None
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM ({_NEXT}) AS n ORDER BY id DESC LIMIT 1", [job_id, after, limit])
        last = cursor.fetchone()
    if last is None:
        return Written(0, 0), None
    return write_selected(shared, _SELECT, {"job": job_id, "after": after, "until": last[0]}), last[0]


_EDGE = "SELECT id FROM bulk_staged_row WHERE job_id = %s ORDER BY id {order} LIMIT 1"
_PROOF = """
SELECT count(*), count(r.id) FROM bulk_staged_row AS s
LEFT JOIN notification_record AS r ON r.id = s.id AND r.id BETWEEN %(first)s AND %(last)s
WHERE s.job_id = %(job)s
"""


def count_recorded(job_id: UUID) -> tuple[int, int]:
    """Return how many staged rows a job has, and how many of them are records: the proof that none is missing."""
    edges = []
    with connection.cursor() as cursor:
        for order in ("ASC", "DESC"):  # so that only the partitions concerned are looked into
            cursor.execute(_EDGE.format(order=order), [job_id])
            edges.append(cursor.fetchone())
        if edges[0] is None:
            return 0, 0
        cursor.execute(_PROOF, {"job": job_id, "first": edges[0][0], "last": edges[1][0]})
        staged, recorded = cursor.fetchone()
        return staged, recorded


_SUPPRESSED = """
SELECT count(DISTINCT r.id) FROM bulk_staged_row AS r JOIN suppression AS s
    ON s.tenant_id = r.tenant_id AND s.channel = %(channel)s AND s.address = coalesce(r.address_key, r.address)
WHERE r.job_id = %(job)s AND s.category IN ('', %(category)s) AND (s.expires_at IS NULL OR s.expires_at > now())
    AND (%(lane)s <> 'critical' OR s.reason <> 'unsubscribed')
"""


def count_suppressed(job: Job) -> int:
    """Return how many staged rows would not be sent if they were recorded now."""
    with connection.cursor() as cursor:
        cursor.execute(
            _SUPPRESSED,
            {
                "job": job.id,
                "channel": job.channel,
                "category": category_of(job.metadata),
                "lane": str(job.lane),
            },
        )
        return int(cursor.fetchone()[0])


def delete_rows(job_id: UUID, limit: int) -> int:
    """Delete up to ``limit`` staged rows and as many broken ones; return how many. Needs the tenant's scope."""
    deleted = 0
    with connection.cursor() as cursor:
        for table in ("bulk_staged_row", "bulk_broken_row"):
            cursor.execute(
                f"DELETE FROM {table} WHERE id = ANY (ARRAY(SELECT id FROM {table} WHERE job_id = %s LIMIT %s))",
                [job_id, limit],
            )
            deleted += cursor.rowcount
    return deleted
