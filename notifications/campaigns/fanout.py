"""One chunk of a campaign: staged rows become records, in one transaction with what is remembered of them.

That is why an interruption neither skips nor doubles a row: its record, its state and the counters are written together
or not at all, and a row is taken only while it is ``staged`` and the campaign is locked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connection
from django.utils import timezone

from notification_service.lib.ids import new_id
from notification_service.lib.scope import current_tenant_id
from notifications.campaigns import tallies
from notifications.campaigns.consent import LANE, Addressed, decisions
from notifications.campaigns.models import Campaign
from notifications.campaigns.states import RecipientState
from notifications.campaigns.tallies import Counted
from notifications.campaigns.words import Words, sample_limit, variant_of, words_of
from notifications.recipients.preferences import Defer, Withhold
from notifications.records.bulk import Row, Shared, write_rows
from notifications.records.states import WAITING_SQL
from tenants import limits

#: Rows of one chunk: pause and cancel take effect after at most so many.
CHUNK: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Taken:
    """A staged row."""

    id: UUID
    address: str
    address_key: bytes
    bucket: int
    context: dict[str, Any]
    user_id: str
    locale: str


@dataclass(frozen=True, slots=True)
class _Becoming:
    """What becomes of a row."""

    row: _Taken
    state: RecipientState
    reason: str
    variant: str
    record_id: UUID | None = None


def record_some(campaign: Campaign, zones: Sequence[str], limit: int) -> int:
    """Turn up to ``limit`` staged rows of these time zones into records; return how many rows were dealt with.

    Needs the tenant's scope and the campaign's lock. Raises ``TooManyRequests``, having written nothing.
    """
    rows = _take(campaign, zones, limit)
    if not rows:
        return 0
    limits.admit(campaign.tenant_id, campaign.mode, notifications=len(rows))
    words = words_of(campaign)
    now = timezone.now()
    addressed = [Addressed(row.id, row.address, row.address_key, row.user_id) for row in rows]
    decided = decisions(campaign, addressed, now)
    becoming: list[_Becoming] = []
    records: list[Row] = []
    for row in rows:
        said = words[variant_of(campaign, row.bucket)]
        context = {**campaign.context, **row.context}
        if problem := said.problem(context, row.locale):
            becoming.append(_Becoming(row, RecipientState.REJECTED, problem.message, said.variant))
            continue
        record = _record(campaign, row, said, context, decided.get(row.id))
        records.append(record)
        state = RecipientState.WITHHELD if record.withheld else RecipientState.RECORDED
        becoming.append(_Becoming(row, state, record.withheld, said.variant, record.id))
    written = write_rows(_shared(campaign, words, now), records)
    if written.suppressed > sum(bool(record.withheld) for record in records):
        becoming = _with_suppressions(becoming)
    _remember(becoming)
    tallies.add(campaign.id, _counts(becoming))
    return len(rows)


def due_backlog(limit: int) -> int:
    """Return how many records of the tenant's bulk lane are due, counted no further than ``limit``."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT FROM notification_record WHERE tenant_id = %s AND lane = %s"
            f" AND status IN ({WAITING_SQL}) AND due_at <= now() LIMIT %s) AS due",
            [current_tenant_id(), LANE, limit],
        )
        return int(cursor.fetchone()[0])


def cancel_staged(campaign: Campaign, limit: int) -> int:
    """Cancel rows that nothing was made of yet; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE campaign_recipient SET state = 'cancelled' WHERE id = ANY (ARRAY(SELECT id FROM campaign_recipient"
            " WHERE campaign_id = %s AND state = 'staged' LIMIT %s FOR UPDATE))",
            [campaign.id, limit],
        )
        count = int(cursor.rowcount)
    tallies.add(campaign.id, {Counted(tallies.CANCELLED): count})
    return count


_TAKE = """
SELECT id, address, address_key, bucket, context, user_id, locale FROM campaign_recipient
WHERE campaign_id = %s AND state = 'staged' AND timezone = %s AND bucket >= %s AND bucket < %s
ORDER BY bucket, id LIMIT %s FOR NO KEY UPDATE
"""


def _take(campaign: Campaign, zones: Sequence[str], limit: int) -> list[_Taken]:
    rows: list[_Taken] = []
    with connection.cursor() as cursor:
        for zone in zones:
            if len(rows) >= limit:
                break
            reached = (campaign.reached or {}).get(zone, 0)
            cursor.execute(_TAKE, [campaign.id, zone, reached, sample_limit(campaign), limit - len(rows)])
            rows += [
                _Taken(row[0], row[1], bytes(row[2]), row[3], orjson.loads(row[4]), row[5], row[6])
                for row in cursor.fetchall()
            ]
    return rows


def _record(
    campaign: Campaign, row: _Taken, said: Words, context: dict[str, Any], decision: Withhold | Defer | None
) -> Row:
    return Row(
        id=new_id(),
        recipient=row.address,
        context=context,
        user_id=row.user_id,
        locale=row.locale,
        content=said.content if said.variant else None,
        template_version_id=said.template_version_id if said.variant else None,
        due_at=decision.until if isinstance(decision, Defer) else None,
        withheld=decision.reason if isinstance(decision, Withhold) else "",
    )


def _shared(campaign: Campaign, words: Mapping[str, Words], now: datetime) -> Shared:
    common = words.get("")
    metadata = {**campaign.metadata, **({"category": campaign.category} if campaign.category else {})}
    return Shared(
        channel=campaign.channel,
        due_at=now,
        expires_at=now + settings.LANE_DEADLINES[LANE],
        content=common.content if common else {},
        template_version_id=common.template_version_id if common else None,
        metadata=metadata,
        lane=LANE,
        mode=campaign.mode,
        campaign_id=campaign.id,
        created_by=campaign.created_by or f"campaign {campaign.name}",
    )


def _with_suppressions(becoming: Sequence[_Becoming]) -> list[_Becoming]:
    """Look up whom ``write_rows`` has found suppressed, and why."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, provider_response FROM notification_record WHERE id = ANY (%s) AND status = 'suppressed'",
            [[each.record_id for each in becoming if each.record_id]],
        )
        reasons: dict[UUID, str] = dict(cursor.fetchall())
    return [
        _Becoming(each.row, RecipientState.WITHHELD, reasons[each.record_id], each.variant, each.record_id)
        if each.record_id in reasons
        else each
        for each in becoming
    ]


_REMEMBER = """
UPDATE campaign_recipient AS r SET state = b.state, reason = b.reason, variant = b.variant, record_id = b.record_id,
    recorded_at = CASE WHEN b.record_id IS NULL THEN NULL ELSE now() END
FROM jsonb_to_recordset(%s::jsonb) AS b (id uuid, state text, reason text, variant text, record_id uuid)
WHERE r.id = b.id AND r.state = 'staged'
"""


def _remember(becoming: Sequence[_Becoming]) -> None:
    rows = [
        {
            "id": each.row.id,
            "state": str(each.state),
            "reason": each.reason[:255],
            "variant": each.variant,
            "record_id": each.record_id,
        }
        for each in becoming
    ]
    with connection.cursor() as cursor:
        cursor.execute(_REMEMBER, [orjson.dumps(rows).decode()])
        if cursor.rowcount != len(rows):
            raise RuntimeError("rows of a locked campaign were taken by somebody else")


def _counts(becoming: Sequence[_Becoming]) -> Counter[Counted]:
    def counted(each: _Becoming) -> Counted:
        if each.state == RecipientState.REJECTED:  # the words differ with the row, the reason does not
            return Counted(tallies.REJECTED, "content_error", each.variant)
        return Counted(str(each.state), each.reason, each.variant)

    return Counter(map(counted, becoming))
