"""What is due and not yet sent, by lane: how much, and for how long the oldest has waited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db import connection
from django.utils import timezone

from notification_service.lib.ids import id_time
from notification_service.lib.scope import platform_scope
from notifications.records.queue import WITH_LANES
from notifications.records.states import WAITING_SQL, Lane

#: Counting one tenant's lane stops here: whoever asks wants to know that it is many.
COUNT_LIMIT: Final = 100_000

# One look at the head of each lane: no row is read twice, and few at all.
_BACKLOG: Final = f"""{WITH_LANES}
SELECT lanes.lane, sum(counted.due), extract(epoch FROM now() - min(oldest.due_at))
FROM lanes, LATERAL (
    SELECT r.due_at FROM notification_record AS r
    WHERE r.tenant_id = lanes.tenant_id AND r.lane = lanes.lane AND r.status IN ({WAITING_SQL})
        AND r.due_at <= now()
    ORDER BY r.due_at LIMIT 1
) AS oldest, LATERAL (
    SELECT count(*) AS due FROM (
        SELECT FROM notification_record AS r
        WHERE r.tenant_id = lanes.tenant_id AND r.lane = lanes.lane AND r.status IN ({WAITING_SQL})
            AND r.due_at <= now()
        LIMIT %s
    ) AS waiting
) AS counted
GROUP BY lanes.lane
"""


# A lease's token is a UUIDv7, made when its chunk was claimed.
_CLAIMED: Final = "SELECT lane, max(lease_token::text) FROM notification_record WHERE status = 'sending' GROUP BY lane"


@dataclass(frozen=True, slots=True)
class Backlog:
    """``due`` records of a lane (at most ``COUNT_LIMIT`` for each tenant); ``oldest`` has waited so many seconds.

    ``claimed`` is how many seconds ago the newest of those that are being sent were claimed; None if there are none.
    """

    due: int = 0
    oldest: float = 0.0
    claimed: float | None = None


def backlog(*, count_limit: int = COUNT_LIMIT) -> Mapping[str, Backlog]:
    """Return every lane's backlog. ``count_limit`` 1 is enough for whoever wants the age alone."""
    with platform_scope("backlog by lane"), connection.cursor() as cursor:
        cursor.execute(_BACKLOG, [count_limit])
        waiting = cursor.fetchall()
        cursor.execute(_CLAIMED)
        tokens: dict[str, str] = dict(cursor.fetchall())
    now = timezone.now()
    claimed = {lane: max((now - id_time(UUID(token))).total_seconds(), 0.0) for lane, token in tokens.items()}
    found = {lane: Backlog(int(due), float(oldest), claimed.get(lane)) for lane, due, oldest in waiting}
    return {str(lane): found.get(str(lane), Backlog()) for lane in Lane}
