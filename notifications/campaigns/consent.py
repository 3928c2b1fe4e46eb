"""Who is left out of a campaign, or must wait, although an address is known: by what people prefer, and by the cap.

Suppressions are not asked here: ``records/bulk.py`` applies them to every row that it writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection
from django.utils import timezone

from notification_service.lib.scope import current_tenant_id
from notifications.campaigns.models import Campaign
from notifications.recipients.preferences import Defer, Planned, Withhold, decide
from notifications.records.states import Lane

#: The lane of all campaigns.
LANE: Final = str(Lane.BULK)
FREQUENCY_CAP: Final = "frequency_cap"


@dataclass(frozen=True, slots=True)
class Addressed:
    """Somebody whom a campaign is about to write to."""

    id: UUID
    address: str
    address_key: bytes
    user_id: str


def decisions(campaign: Campaign, rows: Sequence[Addressed], due_at: datetime) -> dict[UUID, Withhold | Defer]:
    """Return, by the row's id, who must get nothing and why, and who must wait for the end of quiet hours.

    Needs the tenant's scope and the campaign's lock.
    """
    wishes = decide([Planned(row.user_id, campaign.channel, due_at, campaign.category, LANE) for row in rows])
    found = {row.id: wish for row, wish in zip(rows, wishes, strict=True) if wish is not None}
    for row_id in _over_the_cap(campaign, rows):
        found.setdefault(row_id, Withhold(FREQUENCY_CAP))
    return found


# The unique index of each recent campaign of the category answers for its addresses; no history of its own is kept.
_RECENT = """
SELECT r.address_key, count(*) FROM campaign AS c
JOIN campaign_recipient AS r ON r.campaign_id = c.id AND r.address_key = ANY (%(keys)s)
WHERE c.tenant_id = %(tenant)s AND c.channel = %(channel)s AND c.category = %(category)s AND c.mode = %(mode)s
    AND c.id <> %(campaign)s AND r.state = 'recorded' AND r.recorded_at > %(since)s
GROUP BY 1 HAVING count(*) >= %(most)s
"""


def _over_the_cap(campaign: Campaign, rows: Sequence[Addressed]) -> list[UUID]:
    """Return those who got as many messages of the category as they may.

    Campaigns of a category take turns at this, so that two that run at the same time see what the other has done.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"campaigns:{current_tenant_id()}:{campaign.channel}:{campaign.category}"],
        )
        cap = campaign.frequency_cap
        if not cap or not rows:
            return []
        cursor.execute(
            _RECENT,
            {
                "keys": [row.address_key for row in rows],
                "tenant": current_tenant_id(),
                "channel": campaign.channel,
                "category": campaign.category,
                "mode": campaign.mode,
                "campaign": campaign.id,
                "since": timezone.now() - timedelta(days=cap["days"]),
                "most": cap["max"],
            },
        )
        full = {bytes(row[0]) for row in cursor.fetchall()}
    return [row.id for row in rows if row.address_key in full]
