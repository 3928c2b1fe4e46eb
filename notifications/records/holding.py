"""Holding back what waits: records of a campaign or batch that is paused are due in a far future until it is resumed.

They keep their place: a thousand years are added to ``due_at`` and taken away again. Only what waits is touched; what
is being sent has its outcome first, and whoever listens to outcomes asks again.

Rows that somebody has locked are passed over where that is made good later: their holder may be waiting for the
campaign or batch that the caller has locked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal
from uuid import UUID

from django.db import connection
from django.utils import timezone

from notification_service.lib.scope import current_tenant_id
from notifications.records.ends import announce_ends
from notifications.records.models import NotificationRecord, RecordEvent
from notifications.records.states import WAITING, WAITING_SQL, Lane, Status, sources
from notifications.records.wake import wake_after_commit

#: How many records one call moves when nothing is said.
LIMIT: Final = 10_000
#: Cancelled records that are in memory at a time.
_ANNOUNCED: Final = 1_000
#: Of days, so that it is exactly undone.
_FAR = "interval '365000 days'"
_IS_HELD = "due_at > now() + interval '180000 days'"
assert sorted(map(str, WAITING)) == sources(Status.CANCELLED)  # noqa: S101 - our own table


@dataclass(frozen=True, slots=True)
class Which:
    """Waiting records of a campaign or a batch, up to ``limit`` of them.

    Those of one ``lane``, the next due first; or of all lanes in the order of their ids, ``after`` one of them; of
    either only some, if ``only`` says so.
    """

    column: Literal["campaign_id", "batch_id"]
    id: UUID
    lane: str | None = None
    after: UUID | None = None
    only: Sequence[UUID] | None = None
    limit: int = LIMIT


def campaign(
    campaign_id: UUID, *, only: Sequence[UUID] | None = None, lane: str = Lane.BULK, limit: int = LIMIT
) -> Which:
    """Return which records are those of a campaign: it sends on one lane, whose index of what is due finds them."""
    return Which("campaign_id", campaign_id, lane=str(lane), only=only, limit=limit)


@dataclass(frozen=True, slots=True)
class Moved:
    """What a call moved: how many records, the highest of their ids, and their lanes."""

    ids: list[UUID]
    lanes: set[str]

    @property
    def count(self) -> int:
        return len(self.ids)

    @property
    def last(self) -> UUID | None:
        return max(self.ids, default=None)


# News of a credential makes due what waited for it (``queue.release_held``), which it knows by its failure reason.
_HOLD = f"""due_at = due_at + {_FAR}, failure_reason = CASE
    WHEN failure_reason = 'auth_error' OR status = 'pending' THEN '' ELSE failure_reason END"""
_RELEASE = f"due_at = due_at - {_FAR}, expires_at = expires_at + %(held_for)s"
_CANCEL = "status = 'cancelled', due_at = least(due_at, now())"


def hold(which: Which) -> Moved:
    """Hold records back. Needs the tenant's scope."""
    return _move(which, _HOLD, f"NOT ({_IS_HELD})")


def release(which: Which, *, held_for: timedelta = timedelta(0), wait: bool = False) -> Moved:
    """Let go what was held back, and wake its lanes; deadlines move by ``held_for``. Needs the tenant's scope.

    ``wait`` for rows that are locked: for a caller who does not come back to them.
    """
    moved = _move(which, _RELEASE, _IS_HELD, skip=not wait, held_for=held_for)
    for lane in moved.lanes:
        wake_after_commit(current_tenant_id(), lane)
    return moved


def cancel(which: Which, *, actor: str) -> Moved:
    """Cancel records, held back or not, and announce it. Needs the tenant's scope."""
    moved = _move(which, _CANCEL, "true")
    now, tenant_id = timezone.now(), current_tenant_id()
    detail = {"status": str(Status.CANCELLED), which.column.removesuffix("_id"): str(which.id)}
    for start in range(0, moved.count, _ANNOUNCED):
        some = moved.ids[start : start + _ANNOUNCED]
        RecordEvent.objects.bulk_create(
            RecordEvent(
                tenant_id=tenant_id,
                record_id=record_id,
                kind="cancelled",
                actor=actor[:255],
                detail=detail,
                created_at=now,
            )
            for record_id in some
        )
        announce_ends(list(NotificationRecord.objects.filter(id__in=some)))
    return moved


def _move(which: Which, change: str, where: str, *, skip: bool = True, **parameters: Any) -> Moved:
    conditions = {
        f"{which.column} = %(id)s": True,
        "lane = %(lane)s": which.lane is not None,
        "id > %(after)s": which.after is not None,
        "id = ANY (%(only)s)": which.only is not None,
        f"({where})": True,
    }
    statement = f"""
        UPDATE notification_record SET {change}, updated_at = now() WHERE id = ANY (ARRAY(
            SELECT id FROM notification_record WHERE tenant_id = %(tenant)s AND status IN ({WAITING_SQL})
                AND {" AND ".join(text for text, applies in conditions.items() if applies)}
            ORDER BY {"id" if which.lane is None else "due_at"} LIMIT %(limit)s
            FOR UPDATE {"SKIP LOCKED" if skip else ""}))
        RETURNING id, lane
    """
    asked = {
        "tenant": current_tenant_id(),
        "id": which.id,
        "lane": which.lane,
        "after": which.after,
        "only": None if which.only is None else list(which.only),
        "limit": which.limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, {**asked, **parameters})
        rows = cursor.fetchall()
    return Moved([row[0] for row in rows], {row[1] for row in rows})
