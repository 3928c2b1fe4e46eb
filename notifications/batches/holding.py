"""What becomes of a batch's waiting records when it is cancelled, paused or resumed.

A record that is being sent can not be stopped. If it comes back for another try it meets the same end as the others:
``hold_back`` sees it in the transaction that wrote its outcome, and ``settle`` is repeated for a few minutes, for what
was under way when the batch changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from notifications.batches.models import Batch, BatchStatus
from notifications.records import holding
from notifications.records.holding import Moved, Which
from notifications.records.outcomes import Outcome
from notifications.records.states import WAITING

#: Longer than any lease: what was being sent when the batch changed has come back by then.
SETTLE: Final = timedelta(minutes=5)
#: Records in one statement.
CHUNK: Final = 5_000


def settle(batch: Batch, after: UUID) -> UUID | None:
    """Cancel, hold or let go the next ``CHUNK`` waiting records after an id, as the batch wants it.

    Return the last id, or None if there are no more. Needs the tenant's scope.
    """
    moved = _apply(batch, Which("batch_id", batch.id, after=after, limit=CHUNK))
    return moved.last if moved.count == CHUNK else None


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
        _apply(batch, Which("batch_id", batch.id, only=waiting[batch.id]))


def _apply(batch: Batch, which: Which) -> Moved:
    """Deadlines go on while a batch is held."""
    if batch.status == BatchStatus.CANCELLED:
        return holding.cancel(which, actor="batch")
    return holding.hold(which) if batch.held else holding.release(which)
