"""What becomes of a campaign's records, heard in the transaction that writes it: counters, and who must wait on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final
from uuid import UUID

from django.db import connection

from notifications.campaigns import tallies
from notifications.campaigns.models import Campaign
from notifications.campaigns.states import CampaignStatus
from notifications.campaigns.tallies import Counted
from notifications.records import holding
from notifications.records.models import Receipt
from notifications.records.outcomes import Outcome
from notifications.records.states import FINAL, Status

_ENDS: Final[Mapping[str, str]] = {
    Status.SUCCESS: tallies.SUCCESS,
    Status.FAILED: tallies.FAILED,
    Status.SUPPRESSED: tallies.SUPPRESSED,
    Status.CANCELLED: tallies.STOPPED,
}
_STOPPED: Final = frozenset({CampaignStatus.CANCELLED, CampaignStatus.FAILED})


def after_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Count what has ended; hold back or cancel what would be tried again although its campaign is not sending.

    ``hooks.on_outcomes``: needs the tenant's scope.
    """
    ended: dict[UUID, list[Outcome]] = defaultdict(list)
    waiting: dict[UUID, list[UUID]] = defaultdict(list)
    for outcome in outcomes:
        if campaign_id := outcome.claimed.campaign_id:
            if outcome.status in FINAL:
                ended[campaign_id].append(outcome)
            else:
                waiting[campaign_id].append(outcome.claimed.id)
    for campaign_id, many in ended.items():
        variants = variants_of(campaign_id, [one.claimed.id for one in many])
        tallies.add(
            campaign_id,
            Counter(
                Counted(
                    _ENDS[one.status],
                    "" if one.status == Status.SUCCESS else _reason(one),
                    variants.get(one.claimed.id, ""),
                )
                for one in many
            ),
        )
    for campaign_id, status in _standing(list(waiting)).items():
        which = holding.campaign(campaign_id, only=waiting[campaign_id])
        if status == CampaignStatus.PAUSED:
            holding.hold(which)
        elif status in _STOPPED:
            holding.cancel(which, actor="campaign")  # heard of here in its turn


def variants_of(campaign_id: UUID, record_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return the variant that each of these records said, if their campaign has variants."""
    if not record_ids or not _has_variants(campaign_id):
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT record_id, variant FROM campaign_recipient WHERE record_id = ANY (%s)", [list(record_ids)]
        )
        return dict(cursor.fetchall())


@lru_cache(maxsize=1024)
def _has_variants(campaign_id: UUID) -> bool:
    """Whether a campaign that was launched has variants: nothing changes that any more."""
    return Campaign.objects.filter(id=campaign_id).exclude(variants=[]).exists()


def _standing(campaign_ids: list[UUID]) -> dict[UUID, str]:
    """Return the status of campaigns, and keep it for this transaction.

    Whoever pauses or cancels one meanwhile waits for us and then finds what we put back.
    """
    if not campaign_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, status FROM campaign WHERE id = ANY (%s) ORDER BY id FOR SHARE", [campaign_ids])
        return dict(cursor.fetchall())


def _reason(outcome: Outcome) -> str:
    """Return why it was not sent: the failure reason, or of a suppression its own."""
    if outcome.status == Status.SUPPRESSED:
        return outcome.result.response[:255]
    return str(outcome.result.reason or "")


#: What each report proves: whoever has clicked has opened, and to open it one must have got it.
_PROVES: Final[Mapping[str, tuple[str, ...]]] = {
    "delivered": (tallies.DELIVERED,),
    "opened": (tallies.DELIVERED, tallies.OPENED),
    "clicked": (tallies.DELIVERED, tallies.OPENED, tallies.CLICKED),
    "bounced": (tallies.BOUNCED,),
    "undeliverable": (tallies.BOUNCED,),
    "failed": (tallies.BOUNCED,),
    "complained": (tallies.COMPLAINED,),
}
_NEWS: Final = (tallies.DELIVERED, tallies.OPENED, tallies.CLICKED, tallies.BOUNCED, tallies.COMPLAINED)


def _each(pattern: str, separator: str = ", ") -> str:
    return separator.join(pattern.format(name) for name in _NEWS)


# The rows are locked before they are compared: of two reports of one thing only the first is news.
_HEAR = f"""
WITH heard AS (
    SELECT record_id, {_each("min(at) FILTER (WHERE name = '{0}') AS {0}_at")}
    FROM unnest(%s::uuid[], %s::text[], %s::timestamptz[]) AS h (record_id, name, at) GROUP BY record_id
),
known AS (
    SELECT r.id, r.campaign_id, r.variant, {_each("r.{0}_at")}, {_each("h.{0}_at AS heard_{0}")}
    FROM campaign_recipient AS r JOIN heard AS h ON h.record_id = r.record_id
    ORDER BY r.id FOR NO KEY UPDATE OF r
),
told AS (
    UPDATE campaign_recipient AS r SET {_each("{0}_at = coalesce(k.{0}_at, k.heard_{0})")}
    FROM known AS k WHERE r.id = k.id AND ({_each("(k.{0}_at IS NULL AND k.heard_{0} IS NOT NULL)", " OR ")})
    RETURNING k.*
)
SELECT campaign_id, variant, {_each("count(*) FILTER (WHERE {0}_at IS NULL AND heard_{0} IS NOT NULL)")}
FROM told GROUP BY campaign_id, variant
"""


def after_receipts(receipts: Sequence[Receipt]) -> None:
    """Remember what was heard of each recipient for the first time, and count it (``hooks.on_receipts``)."""
    heard: list[tuple[UUID, str, datetime]] = [
        (receipt.record_id, name, receipt.occurred_at)
        for receipt in receipts
        if receipt.record_id
        for name in _PROVES.get(receipt.state, ())
    ]
    if not heard:
        return
    with connection.cursor() as cursor:
        cursor.execute(_HEAR, [list(column) for column in zip(*heard, strict=True)])
        news = cursor.fetchall()
    for campaign_id, variant, *counts in news:
        tallies.add(campaign_id, {Counted(name, "", variant): count for name, count in zip(_NEWS, counts, strict=True)})
