"""Holding back what waits: records of a campaign that is paused are due in a far future until it is resumed.

They keep their place: a hundred years are added to ``due_at`` and taken away again. Only what waits is touched; what is
being sent has its outcome first, and whoever listens to outcomes asks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
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
_FAR = "interval '100 years'"
_IS_HELD = "due_at > now() + interval '50 years'"

# The partial index of what is due finds them, and no record that has its end is looked at. Claims pass over locked
# rows, so nobody waits in a circle.
_FOUND = f"""
SELECT id FROM notification_record
WHERE tenant_id = %(tenant)s AND lane = %(lane)s AND status IN ({WAITING_SQL}) AND campaign_id = %(campaign)s
    AND (%(only)s::uuid[] IS NULL OR id = ANY (%(only)s)) AND {{held}}
ORDER BY due_at LIMIT %(limit)s FOR UPDATE
"""
# News of a credential makes due what waited for it (``queue.release_held``), which it knows by its failure reason.
_HOLD = f"""
UPDATE notification_record SET due_at = due_at + {_FAR}, updated_at = now(),
    failure_reason = CASE WHEN failure_reason = 'auth_error' OR status = 'pending' THEN '' ELSE failure_reason END
WHERE id = ANY (ARRAY({_FOUND.format(held=f"NOT ({_IS_HELD})")}))
"""
_RELEASE = f"""
UPDATE notification_record SET due_at = due_at - {_FAR}, expires_at = expires_at + %(held_for)s, updated_at = now()
WHERE id = ANY (ARRAY({_FOUND.format(held=_IS_HELD)}))
"""
_CANCEL = f"""
UPDATE notification_record SET status = 'cancelled', updated_at = now()
WHERE id = ANY (ARRAY({_FOUND.format(held="true")})) RETURNING id
"""


def hold(campaign_id: UUID, *, only: Sequence[UUID] | None = None, lane: str = Lane.BULK, limit: int = LIMIT) -> int:
    """Hold back what waits of a campaign, the next due first; return how many. Needs the tenant's scope."""
    return _move(_HOLD, _parameters(campaign_id, only, lane, limit))


def release(campaign_id: UUID, *, held_for: timedelta, lane: str = Lane.BULK, limit: int = LIMIT) -> int:
    """Let go what was held back, and wake its lane; deadlines move by ``held_for``. Needs the tenant's scope."""
    released = _move(_RELEASE, {**_parameters(campaign_id, None, lane, limit), "held_for": held_for})
    if released:
        wake_after_commit(current_tenant_id(), str(lane))
    return released


def cancel(
    campaign_id: UUID, *, actor: str, only: Sequence[UUID] | None = None, lane: str = Lane.BULK, limit: int = LIMIT
) -> int:
    """Cancel what waits of a campaign, held back or not, and announce it; return how many. Needs the tenant's scope."""
    assert all(str(status) in sources(Status.CANCELLED) for status in WAITING)  # noqa: S101 - our own table
    with connection.cursor() as cursor:
        cursor.execute(_CANCEL, _parameters(campaign_id, only, lane, limit))
        ended = [row[0] for row in cursor.fetchall()]
    now, tenant_id = timezone.now(), current_tenant_id()
    for start in range(0, len(ended), _ANNOUNCED):
        some = ended[start : start + _ANNOUNCED]
        RecordEvent.objects.bulk_create(
            RecordEvent(
                tenant_id=tenant_id,
                record_id=record_id,
                kind="cancelled",
                actor=actor[:255],
                detail={"status": str(Status.CANCELLED), "campaign": str(campaign_id)},
                created_at=now,
            )
            for record_id in some
        )
        announce_ends(list(NotificationRecord.objects.filter(id__in=some)))
    return len(ended)


def _move(statement: str, parameters: dict[str, Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


def _parameters(campaign_id: UUID, only: Sequence[UUID] | None, lane: str, limit: int) -> dict[str, Any]:
    return {
        "tenant": current_tenant_id(),
        "campaign": campaign_id,
        "only": None if only is None else list(only),
        "lane": str(lane),
        "limit": limit,
    }
