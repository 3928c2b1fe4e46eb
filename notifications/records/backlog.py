"""What is due and not yet sent, by lane: how much, and for how long the oldest has waited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.db import connection

from notification_service.lib.scope import platform_scope
from notifications.records.states import WAITING, Lane

#: Counting one tenant's lane stops here: whoever asks wants to know that it is many.
COUNT_LIMIT: Final = 100_000
_WAITING = ", ".join(f"'{status}'" for status in sorted(WAITING))

# A loose index scan over (tenant, lane), then one look at the head of each: no row is read twice, and few at all.
_BACKLOG: Final = f"""
WITH RECURSIVE lanes AS (
    (SELECT tenant_id, lane FROM notification_record WHERE status IN ({_WAITING}) ORDER BY tenant_id, lane LIMIT 1)
    UNION ALL
    SELECT next.* FROM lanes, LATERAL (
        SELECT r.tenant_id, r.lane FROM notification_record AS r
        WHERE r.status IN ({_WAITING}) AND (r.tenant_id, r.lane) > (lanes.tenant_id, lanes.lane)
        ORDER BY r.tenant_id, r.lane LIMIT 1
    ) AS next
)
SELECT lanes.lane, sum(counted.due), extract(epoch FROM now() - min(oldest.due_at))
FROM lanes, LATERAL (
    SELECT r.due_at FROM notification_record AS r
    WHERE r.tenant_id = lanes.tenant_id AND r.lane = lanes.lane AND r.status IN ({_WAITING}) AND r.due_at <= now()
    ORDER BY r.due_at LIMIT 1
) AS oldest, LATERAL (
    SELECT count(*) AS due FROM (
        SELECT FROM notification_record AS r
        WHERE r.tenant_id = lanes.tenant_id AND r.lane = lanes.lane AND r.status IN ({_WAITING}) AND r.due_at <= now()
        LIMIT %s
    ) AS waiting
) AS counted
GROUP BY lanes.lane
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """``due`` records of a lane (at most ``COUNT_LIMIT`` for each tenant); ``oldest`` has waited so many seconds."""

    due: int = 0
    oldest: float = 0.0


def backlog(*, count_limit: int = COUNT_LIMIT) -> Mapping[str, Backlog]:
    """Return every lane's backlog. ``count_limit`` 1 is enough for whoever wants the age alone."""
    with platform_scope("backlog by lane"), connection.cursor() as cursor:
        cursor.execute(_BACKLOG, [count_limit])
        found = {lane: Backlog(int(due), float(oldest)) for lane, due, oldest in cursor.fetchall()}
    return {str(lane): found.get(str(lane), Backlog()) for lane in Lane}
