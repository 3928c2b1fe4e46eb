"""What is counted of a campaign: appended with what it counts, summed when it is asked for. No row is ever counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

from django.db import connection

from notification_service.lib.ids import new_id
from notification_service.lib.scope import current_tenant_id
from notifications.campaigns.models import CampaignTally

#: Of the recipients: how they came in, and what was done with each.
STAGED, DUPLICATE, RECORDED, WITHHELD, REJECTED, CANCELLED = (
    "staged",
    "duplicate",
    "recorded",
    "withheld",
    "rejected",
    "cancelled",
)
#: Of the records: how each that was not withheld ended.
SUCCESS, FAILED, SUPPRESSED, STOPPED = "success", "failed", "suppressed", "stopped"
#: Of what happened after that, each recipient once.
DELIVERED, OPENED, CLICKED, BOUNCED, COMPLAINED = "delivered", "opened", "clicked", "bounced", "complained"
ENDS: Final = (SUCCESS, FAILED, SUPPRESSED, STOPPED)
#: Above so many appended changes they are added up.
FOLD_ABOVE: Final = 200


class Counted(NamedTuple):
    """What one number is about."""

    name: str
    reason: str = ""
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """A campaign's counters at one moment."""

    counts: Mapping[Counted, int] = field(default_factory=dict)

    def of(self, name: str, variant: str | None = None) -> int:
        """Return one counter over all reasons, of one variant or of all."""
        return sum(
            amount
            for key, amount in self.counts.items()
            if key.name == name and (variant is None or key.variant == variant)
        )

    def reasons(self, name: str) -> dict[str, int]:
        """Return one counter broken down by reason, the most frequent first."""
        found: dict[str, int] = defaultdict(int)
        for key, amount in self.counts.items():
            if key.name == name and amount:
                found[key.reason] += amount
        return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))

    @property
    def handled(self) -> int:
        """Recipients with whom the campaign is done: recorded, withheld, rejected or cancelled."""
        return self.of(RECORDED) + self.of(WITHHELD) + self.of(REJECTED) + self.of(CANCELLED)

    @property
    def ended(self) -> int:
        """Records that have their end, those not counted that were withheld from the start."""
        return sum(self.of(name) for name in ENDS)

    @property
    def waiting(self) -> int:
        """Records on their way."""
        return self.of(RECORDED) - self.ended


def add(campaign_id: UUID, changes: Mapping[Counted, int]) -> None:
    """Append changes of a campaign's counters. Needs the tenant's scope."""
    tenant_id = current_tenant_id()
    CampaignTally.objects.bulk_create(
        CampaignTally(
            id=new_id(),
            tenant_id=tenant_id,
            campaign_id=campaign_id,
            variant=key.variant,
            name=key.name,
            reason=key.reason[:255],
            amount=amount,
        )
        for key, amount in changes.items()
        if amount
    )


def totals(campaign_id: UUID) -> Totals:
    """Return a campaign's counters. Needs the tenant's scope."""
    return totals_of([campaign_id])[campaign_id]


def totals_of(campaign_ids: list[UUID]) -> dict[UUID, Totals]:
    """Return the counters of several campaigns, in one query. Needs a scope that sees them."""
    found: dict[UUID, dict[Counted, int]] = {campaign_id: {} for campaign_id in campaign_ids}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT campaign_id, name, reason, variant, sum(amount)::bigint FROM campaign_tally"
            " WHERE campaign_id = ANY (%s) GROUP BY 1, 2, 3, 4",
            [campaign_ids],
        )
        for campaign_id, name, reason, variant, amount in cursor.fetchall():
            found[campaign_id][Counted(name, reason, variant)] = int(amount)
    return {campaign_id: Totals(counts) for campaign_id, counts in found.items()}


_FOLD = """
WITH gone AS (DELETE FROM campaign_tally WHERE campaign_id = %s AND (
    SELECT count(*) FROM campaign_tally WHERE campaign_id = %s) > %s RETURNING tenant_id, variant, name, reason, amount)
INSERT INTO campaign_tally (id, tenant_id, campaign_id, variant, name, reason, amount)
SELECT gen_random_uuid(), tenant_id, %s, variant, name, reason, sum(amount) FROM gone
GROUP BY tenant_id, variant, name, reason HAVING sum(amount) <> 0
"""


def fold(campaign_id: UUID, above: int = FOLD_ABOVE) -> None:
    """Add up a campaign's appended changes if there are many. Needs the tenant's scope."""
    with connection.cursor() as cursor:
        cursor.execute(_FOLD, [campaign_id, campaign_id, above, campaign_id])


def long_tails(limit: int = 100) -> list[tuple[UUID, UUID]]:
    """Return (tenant, campaign) of those with many appended changes. Needs ``platform_scope``."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tenant_id, campaign_id FROM campaign_tally GROUP BY 1, 2 HAVING count(*) > %s LIMIT %s",
            [FOLD_ABOVE, limit],
        )
        return [(row[0], row[1]) for row in cursor.fetchall()]
