"""What came of a campaign: sums and shares, why some were not reached, and every recipient as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection

from notification_service.lib.scope import tenant_scope
from notifications.batches.export import safe_cell
from notifications.campaigns import tallies
from notifications.campaigns.models import Campaign
from notifications.campaigns.tallies import Totals

#: Rows of the CSV that are in memory at a time.
_PAGE: Final = 2_000
_COLUMNS: Final = (
    "recipient",
    "user_id",
    "state",
    "status",
    "delivery_state",
    "reason",
    "variant",
    "record_id",
    "provider",
    "provider_response",
    "attempts",
    "recorded_at",
    "sent_at",
    "delivered_at",
    "opened_at",
    "clicked_at",
    "bounced_at",
    "complained_at",
)


def report_of(campaign: Campaign) -> dict[str, Any]:
    """Return a campaign's report as JSON values. Shares are in percent of what the provider took. Needs its scope."""
    counted = tallies.totals(campaign.id)
    suppressions = counted.reasons(tallies.WITHHELD)
    for reason, count in counted.reasons(tallies.SUPPRESSED).items():
        suppressions[reason] = suppressions.get(reason, 0) + count
    return {
        "id": str(campaign.id),
        "name": campaign.name,
        "status": str(campaign.status),
        "recipients": counted.of(tallies.STAGED),
        "duplicates": counted.of(tallies.DUPLICATE),
        **_of(counted, None),
        "rejected": counted.of(tallies.REJECTED),
        "cancelled": counted.of(tallies.CANCELLED) + counted.of(tallies.STOPPED),
        "waiting": counted.waiting,
        "staged": counted.of(tallies.STAGED) - counted.handled,
        "failures": counted.reasons(tallies.FAILED),
        "suppressions": suppressions,
        "rejections": counted.reasons(tallies.REJECTED),
        "variants": [
            {"name": each["name"], "winner": each["name"] == campaign.winner, **_of(counted, each["name"])}
            for each in campaign.variants
        ],
        "tracked": campaign.track,
    }


def _of(counted: Totals, variant: str | None) -> dict[str, Any]:
    sent = counted.of(tallies.SUCCESS, variant)
    heard = {
        name: counted.of(name, variant)
        for name in (tallies.DELIVERED, tallies.OPENED, tallies.CLICKED, tallies.BOUNCED, tallies.COMPLAINED)
    }
    return {
        "sent": sent,
        "failed": counted.of(tallies.FAILED, variant),
        "suppressed": counted.of(tallies.WITHHELD, variant) + counted.of(tallies.SUPPRESSED, variant),
        **heard,
        "rates": {name: round(100 * count / sent, 2) if sent else 0.0 for name, count in heard.items()},
    }


_ROWS: Final = """
SELECT r.id, r.address, r.user_id, r.state, coalesce(n.status, ''), coalesce(n.delivery_state, ''),
    coalesce(nullif(r.reason, ''), n.failure_reason, ''), r.variant, r.record_id, coalesce(n.provider, ''),
    coalesce(n.provider_response, ''), coalesce(n.attempt_count, 0), r.recorded_at, n.sent_at, r.delivered_at,
    r.opened_at, r.clicked_at, r.bounced_at, r.complained_at
FROM campaign_recipient AS r LEFT JOIN notification_record AS n ON n.id = r.record_id
WHERE r.campaign_id = %s AND r.id > %s ORDER BY r.id LIMIT %s
"""


def report_rows(campaign: Campaign) -> Iterator[str]:
    """Yield a campaign's recipients as CSV, a page at a time, each page in a scope of its own."""
    yield _csv([_COLUMNS])
    after = UUID(int=0)
    while True:
        with tenant_scope(campaign.tenant_id), connection.cursor() as cursor:
            cursor.execute(_ROWS, [campaign.id, after, _PAGE])
            rows = cursor.fetchall()
        if rows:
            yield _csv([[safe_cell(_text(value)) for value in row[1:]] for row in rows])
            after = rows[-1][0]
        if len(rows) < _PAGE:
            return


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    lines = io.StringIO()
    csv.writer(lines).writerows(rows)
    return lines.getvalue()
