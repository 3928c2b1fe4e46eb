"""The proof that a campaign is complete: every row was dealt with, every record of it is there and has its end.

The counters say when to look; this looks at the rows themselves, once, and corrects a counter that nobody told: of a
record that ended without an outcome (cancelled by hand, given up after its workers were lost).
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import structlog
from django.db import connection

from notifications.campaigns import tallies
from notifications.campaigns.models import Campaign
from notifications.campaigns.states import RecipientState
from notifications.campaigns.tallies import Counted
from notifications.records.states import FINAL

log = structlog.get_logger(__name__)

_ROWS: Final = "SELECT state, count(*) FROM campaign_recipient WHERE campaign_id = %s GROUP BY 1"
_RECORDS: Final = """
SELECT n.status, n.failure_reason, r.state, r.variant, count(*)
FROM campaign_recipient AS r JOIN notification_record AS n ON n.id = r.record_id
WHERE r.campaign_id = %s GROUP BY 1, 2, 3, 4
"""
_NAMES: Final = {
    "success": tallies.SUCCESS,
    "failed": tallies.FAILED,
    "suppressed": tallies.SUPPRESSED,
    "cancelled": tallies.STOPPED,
}


def prove(campaign: Campaign) -> bool:
    """Return whether nothing of a locked campaign is left to do; correct its counters. Needs the tenant's scope."""
    with connection.cursor() as cursor:
        cursor.execute(_ROWS, [campaign.id])
        rows: dict[str, int] = dict(cursor.fetchall())
        cursor.execute(_RECORDS, [campaign.id])
        records = cursor.fetchall()
    if any(row[0] not in FINAL for row in records):
        return False
    counted = tallies.totals(campaign.id)
    expected = rows.get(RecipientState.RECORDED, 0) + rows.get(RecipientState.WITHHELD, 0)
    found = sum(row[-1] for row in records)
    if found < expected:
        # Retention takes records that have their end: of those the counters have heard.
        log.warning("campaign_records_gone", campaign_id=str(campaign.id), count=expected - found)
    else:
        _correct(campaign, counted, records)
        counted = tallies.totals(campaign.id)
    is_whole = rows.get(RecipientState.STAGED, 0) == 0 and counted.of(tallies.STAGED) == counted.handled
    return is_whole and counted.waiting == 0


def _correct(campaign: Campaign, counted: tallies.Totals, records: list[tuple[str, str, str, str, int]]) -> None:
    """Make the counters of ends say what the records say; all have their end, so that neither moves meanwhile."""
    true: Counter[tuple[str, str, str]] = Counter()
    for status, reason, state, variant, count in records:
        if state == RecipientState.RECORDED:
            true[_NAMES[status], reason if status == "failed" else "", variant] += count
    # Why something was suppressed after all is known to the outcome alone: there the sums are compared.
    said: Counter[tuple[str, str, str]] = Counter()
    for key, amount in counted.counts.items():
        if key.name in tallies.ENDS:
            said[key.name, key.reason if key.name == tallies.FAILED else "", key.variant] += amount
    wrong = {
        Counted(name, reason, variant): true[name, reason, variant] - said[name, reason, variant]
        for name, reason, variant in true.keys() | said.keys()
    }
    if any(wrong.values()):
        log.info("campaign_counters_corrected", campaign_id=str(campaign.id), count=sum(map(abs, wrong.values())))
        tallies.add(campaign.id, wrong)
