"""What becomes of a batch's waiting records when it is cancelled, paused or resumed.

A record that is being sent can not be stopped. If it comes back for another try it meets the same end as the others:
``hold_back`` sees it in the transaction that wrote its outcome, and ``settle`` is repeated for a few minutes, for what
was under way when the batch changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.db import connection

from notifications.batches.models import Batch, BatchStatus
from notifications.records.ends import announce_ends
from notifications.records.models import NotificationRecord
from notifications.records.outcomes import Outcome
from notifications.records.states import WAITING, WAITING_SQL, Status, sources
from notifications.records.wake import wake_after_commit

#: Longer than any lease: what was being sent when the batch changed has come back by then.
SETTLE: Final = timedelta(minutes=5)
#: Records in one statement.
CHUNK: Final = 5_000
assert sorted(map(str, WAITING)) == sources(Status.CANCELLED)  # noqa: S101 - our own table

#: Held records are due in a thousand years (of days, so that it is exactly undone): no worker claims them.
_HELD = "now() + interval '180000 days'"
_AWAY = "interval '365000 days'"
_CHANGES: Final[Mapping[str, tuple[str, str]]] = {
    "cancel": ("status = 'cancelled', due_at = least(due_at, now())", "true"),
    "hold": (f"due_at = due_at + {_AWAY}", f"due_at < {_HELD}"),
    "release": (f"due_at = due_at - {_AWAY}", f"due_at >= {_HELD}"),
}


def _statement(change: str, which: str) -> str:
    what, where = _CHANGES[change]
    # Rows that a worker has locked are passed over: it holds them and wants the batch, we hold the batch.
    return f"""
        UPDATE notification_record SET {what}, updated_at = now() WHERE id = ANY (ARRAY(
            SELECT id FROM notification_record
            WHERE batch_id = %(batch)s AND {which} AND status IN ({WAITING_SQL}) AND {where}
            ORDER BY id LIMIT {CHUNK} FOR UPDATE SKIP LOCKED))
        RETURNING id, lane
    """


def settle(batch: Batch, after: UUID) -> UUID | None:
    """Cancel, hold or let go the next ``CHUNK`` waiting records after an id, as the batch wants it.

    Return the last id, or None if there are no more. Needs the tenant's scope.
    """
    change = _change_of(batch)
    with connection.cursor() as cursor:
        cursor.execute(_statement(change, "id > %(after)s"), {"batch": batch.id, "after": after})
        changed = cursor.fetchall()
    if change == "cancel":
        _announce([row[0] for row in changed])
    if change == "release":
        for lane in {row[1] for row in changed}:
            wake_after_commit(batch.tenant_id, lane)
    return max(row[0] for row in changed) if len(changed) == CHUNK else None


def hold_back(outcomes: Sequence[Outcome]) -> None:
    """Do to records that come back for another try what has become of their batch (``hooks.on_outcomes``)."""
    waiting: dict[UUID, list[UUID]] = {}
    for outcome in outcomes:
        if outcome.claimed.batch_id is not None and outcome.status in WAITING:
            waiting.setdefault(outcome.claimed.batch_id, []).append(outcome.claimed.id)
    if not waiting:
        return
    changed = Batch.objects.filter(id__in=list(waiting)).exclude(status__in=["open", "closed"], held=False)
    for batch in changed.order_by("id"):
        change = _change_of(batch)
        with connection.cursor() as cursor:
            cursor.execute(_statement(change, "id = ANY (%(ids)s)"), {"batch": batch.id, "ids": waiting[batch.id]})
            changed_ids = [row[0] for row in cursor.fetchall()]
        if change == "cancel":
            _announce(changed_ids)


def _change_of(batch: Batch) -> str:
    if batch.status == BatchStatus.CANCELLED:
        return "cancel"
    return "hold" if batch.held else "release"


def _announce(ids: list[UUID]) -> None:
    """Tell everybody of the records that were cancelled, the batch's own counters among them."""
    if ids:
        announce_ends(list(NotificationRecord.objects.filter(id__in=ids)))
