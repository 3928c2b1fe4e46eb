"""Retention: finished records go when their tenant's time for them is over, whole months when the platform's is.

A record's age is its id's (RFC 9562). What is still to be sent is never deleted, however old.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import OperationalError, connection, transaction

from notification_service.lib.ids import id_floor, id_time
from notification_service.lib.partitions import months, partition_name
from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.records.states import FINAL
from tenants.models import Tenant

log = structlog.get_logger(__name__)

#: Records in one transaction.
BATCH: Final = 1_000
#: A run stops after so many seconds; the next one goes on.
RUN_SECONDS: Final = 300.0
_LOCK_TIMEOUT_MS: Final = 2_000
_FINAL = ", ".join(f"'{status}'" for status in sorted(FINAL))
#: Attempts and events are younger than their record, but for clocks that disagree.
_SLACK: Final = timedelta(days=1)


def delete_old(*, now: datetime, seconds: float = RUN_SECONDS) -> int:
    """Delete finished records that are older than their tenants want (``retention_days``); return how many.

    With them go their attempts and events. Runs in transactions of its own, each one tenant's batch.
    """
    ends, deleted = time.monotonic() + seconds, 0
    chosen = Tenant.objects.filter(settings__has_key="retention_days").values_list("id", "settings__retention_days")
    for tenant_id, days in list(chosen):
        for channel, others, limit in _rules(days or {}):
            for count in _delete(tenant_id, channel, others, id_floor(now - timedelta(days=limit))):
                deleted += count
                if time.monotonic() > ends:
                    return deleted
    return deleted


def _rules(days: Mapping[str, int]) -> Iterator[tuple[str, list[str], int]]:
    """Yield (channel or ``*``, channels that ``*`` does not mean, days)."""
    named = sorted(days.keys() - {"*"})
    for channel in named:
        yield channel, [], int(days[channel])
    if "*" in days:
        yield "*", named, int(days["*"])


_OLD: Final = f"""
SELECT id FROM notification_record
WHERE tenant_id = %(tenant)s AND id > %(after)s AND id < %(before)s AND status IN ({_FINAL})
    AND (channel = %(channel)s OR (%(channel)s = '*' AND NOT channel = ANY (%(others)s)))
ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""


def _delete(tenant_id: UUID, channel: str, others: list[str], before: UUID) -> Iterator[int]:
    """Delete batch after batch, in the order of ids; yield the size of each."""
    after = UUID(int=0)
    while True:
        with tenant_scope(tenant_id), connection.cursor() as cursor:
            cursor.execute(
                _OLD,
                {
                    "tenant": tenant_id,
                    "after": after,
                    "before": before,
                    "channel": channel,
                    "others": others,
                    "limit": BATCH,
                },
            )
            ids = [row[0] for row in cursor.fetchall()]
            if not ids:
                return
            since = id_floor(id_time(ids[0]) - _SLACK)
            for table in ("record_event", "attempt"):
                cursor.execute(f"DELETE FROM {table} WHERE record_id = ANY (%s) AND id >= %s", [ids, since])
            cursor.execute("DELETE FROM notification_record WHERE id = ANY (%s) AND id >= %s", [ids, ids[0]])
        after = ids[-1]
        yield len(ids)
        if len(ids) < BATCH:
            return


def drop_old_partitions(*, now: datetime) -> list[str]:
    """Drop the months that are over for ``RETENTION_MONTHS`` (0: none), of all three tables; return their names.

    A month in which something is still to be sent stays, and so does one that is in use at the moment: the next run
    tries again.
    """
    if settings.RETENTION_MONTHS <= 0:
        return []
    dropped: list[str] = []
    for month in _months():
        _, end = months(month, 2)
        if months_between(end, now) < settings.RETENTION_MONTHS:
            continue
        if _unfinished(month, end):
            log.warning("partition_kept", month=f"{month:%Y-%m}", because="records in it are still to be sent")
            continue
        dropped += _drop(month)
    return dropped


def months_between(end: datetime, now: datetime) -> int:
    """Return how many whole months have passed since ``end``, the first moment of a month; negative before it."""
    now = now.astimezone(UTC)
    return (now.year - end.year) * 12 + now.month - end.month if now >= end else -1


#: In this order: a record goes after what hangs on it.
_TABLES: Final = ("record_event", "attempt", "notification_record")


def _months() -> list[datetime]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhparent::regclass::text, inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent = ANY (%s::regclass[])",
            [list(_TABLES)],
        )
        names = {name.removeprefix(f"{table}_") for table, name in cursor.fetchall()}
    return sorted(datetime(int(name[:4]), int(name[5:7]), 1, tzinfo=UTC) for name in names)


def _unfinished(month: datetime, end: datetime) -> bool:
    with platform_scope("is a month finished?"), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT EXISTS (SELECT FROM notification_record WHERE id >= %s AND id < %s AND status NOT IN ({_FINAL}))",
            [id_floor(month), id_floor(end)],
        )
        return bool(cursor.fetchone()[0])


def _drop(month: datetime) -> list[str]:
    names = [partition_name(table, month) for table in _TABLES]
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [str(_LOCK_TIMEOUT_MS)])
            cursor.execute(f"DROP TABLE IF EXISTS {', '.join(names)}")
    except OperationalError as error:  # somebody reads it: we do not make the queue wait behind us
        log.warning("partition_kept", month=f"{month:%Y-%m}", because=type(error).__name__)
        return []
    return names
