"""The counters of batches: moved in the transaction that moves the records, so that reading them counts nothing.

Whoever moves records and counters takes the records first and the batch after them, and several batches in the order of
their ids: nobody waits in a circle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from django.db import connection

from notifications.records.outcomes import Outcome
from notifications.records.states import FINAL

#: Statuses that a batch counts by, each in a column of its name.
COUNTED: Final = ("success", "failed", "suppressed", "cancelled")
assert set(COUNTED) == {str(status) for status in FINAL}  # noqa: S101 - our own table

_MOVE = """
UPDATE batch SET success = success + %(success)s, failed = failed + %(failed)s,
    suppressed = suppressed + %(suppressed)s, cancelled = cancelled + %(cancelled)s, moved_at = now()
WHERE id = %(batch)s
"""


def count_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Count records of batches that have come to an end (``hooks.on_outcomes``)."""
    ended: dict[UUID, Counter[str]] = {}
    for outcome in outcomes:
        if (batch_id := outcome.claimed.batch_id) is not None and outcome.status in FINAL:
            ended.setdefault(batch_id, Counter())[str(outcome.status)] += 1
    for batch_id in sorted(ended):
        move(batch_id, ended[batch_id])


def move(batch_id: UUID, ended: Counter[str]) -> None:
    """Count records that ended, by status. Needs the tenant's scope, in the transaction that moved them."""
    with connection.cursor() as cursor:
        cursor.execute(_MOVE, {"batch": batch_id, **{status: ended[status] for status in COUNTED}})


_RECOUNT = """
UPDATE batch SET total = found.total, success = found.success, failed = found.failed,
    suppressed = found.suppressed, cancelled = found.cancelled, counted_at = now()
FROM (
    SELECT count(*) AS total, count(*) FILTER (WHERE status = 'success') AS success,
        count(*) FILTER (WHERE status = 'failed') AS failed,
        count(*) FILTER (WHERE status = 'suppressed') AS suppressed,
        count(*) FILTER (WHERE status = 'cancelled') AS cancelled
    FROM notification_record WHERE batch_id = %(batch)s
) AS found
WHERE batch.id = %(batch)s
"""


def recount(batch_id: UUID) -> None:
    """Compare the counters with the records, for what moves records without announcing it: one is cancelled by hand,
    or has lost too many workers. Needs the tenant's scope.

    Exact although others go on meanwhile: under the batch's lock, what is visible is what has been counted.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM batch WHERE id = %s FOR UPDATE", [batch_id])
        cursor.execute(_RECOUNT, {"batch": batch_id})
