"""Intake by the thousand: rows that were checked elsewhere become records in one statement.

For batches, CSV jobs and campaigns, whose rows bring the id of the record that they will become: writing a row twice
writes it once, so a fan-out that was interrupted is simply done again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from notification_service.lib.scope import current_tenant_id
from notification_service.lib.sql import fetch_bound
from notifications.recipients.suppressions import category_of, suppression_key
from notifications.records.ends import announce_ends
from notifications.records.models import NotificationRecord
from notifications.records.states import Lane, Status
from notifications.records.wake import wake_after_commit


@dataclass(frozen=True, slots=True)
class Shared:
    """What all rows of a fan-out have in common. ``content`` is valid content, or empty if there is a template."""

    channel: str
    due_at: datetime
    expires_at: datetime
    content: Mapping[str, Any] = field(default_factory=dict)
    template_version_id: UUID | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    lane: str = Lane.BULK
    mode: str = "live"
    status: Status = Status.PENDING
    campaign_id: UUID | None = None
    batch_id: UUID | None = None
    event_id: UUID | None = None
    created_by: str = ""


@dataclass(slots=True)
class Row:
    """One record to be: ``id`` is a UUIDv7 that was chosen before, ``recipient`` the channel's normal form.

    What is None is taken from ``Shared``. (Not frozen: that would triple what making one costs.)
    """

    id: UUID
    recipient: str
    context: Mapping[str, Any] = field(default_factory=dict)
    user_id: str = ""
    locale: str = ""
    content: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None
    template_version_id: UUID | None = None
    due_at: datetime | None = None
    event_id: UUID | None = None
    #: Why it must not be sent, where that is known already (a preference, a frequency cap); it is written all the same.
    withheld: str = ""
    #: Why it is due later than the others, where somebody may ask; it is what its record says until it is sent.
    waits: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the rows of one call; rows that had been written before are in neither number."""

    recorded: int
    suppressed: int


# A row whose address is suppressed becomes a record too, with its reason. ``unsubscribed`` does not hold on the
# critical lane (see ``suppressions.holds``).
# ``objects`` are contents and metadata, which many rows share: each travels once, and rows name its place.
_GIVEN = """
SELECT id, recipient, suppression_key, context, user_id, locale, objects -> content AS content,
    objects -> metadata AS metadata, category, template_version_id, due_at, event_id, withheld, waits
FROM jsonb_to_recordset(%(rows)s::jsonb) AS b(
    id uuid, recipient text, suppression_key text, context jsonb, user_id text, locale text, content int, metadata int,
    category text, template_version_id uuid, due_at timestamptz, event_id uuid, withheld text, waits text),
    (SELECT %(objects)s::jsonb AS objects) AS o
"""
_WRITE = """
WITH batch AS MATERIALIZED ({source}),
barred AS MATERIALIZED (
    SELECT DISTINCT ON (b.id) b.id, s.reason FROM batch AS b JOIN suppression AS s
        ON s.tenant_id = %(tenant)s AND s.channel = %(channel)s AND s.address = b.suppression_key
        AND s.category IN ('', coalesce(b.category, %(category)s))
        AND (s.expires_at IS NULL OR s.expires_at > now()) AND (%(lane)s <> 'critical' OR s.reason <> 'unsubscribed')
    ORDER BY b.id, s.reason = 'unsubscribed', s.id
),
written AS (
    INSERT INTO notification_record (
        id, tenant_id, channel, recipient, user_id, content, template_version_id, locale, context, metadata, lane, mode,
        status, delivery_state, failure_reason, provider_response, provider, provider_message_id, retry_count,
        max_retries, attempt_count, lost_count, due_at, scheduled_at, expires_at, campaign_id, batch_id, event_id,
        created_by, created_at, updated_at)
    SELECT b.id, %(tenant)s, %(channel)s, b.recipient, b.user_id, coalesce(b.content, %(content)s::jsonb),
        coalesce(b.template_version_id, %(template_version_id)s), b.locale, b.context,
        coalesce(b.metadata, %(metadata)s::jsonb), %(lane)s, %(mode)s,
        CASE WHEN b.withheld <> '' OR s.id IS NOT NULL THEN 'suppressed' ELSE %(status)s END, 'none',
        CASE WHEN b.withheld <> '' OR s.id IS NOT NULL THEN 'suppressed' ELSE '' END,
        coalesce(s.reason, nullif(b.withheld, ''), b.waits), '', '', 0, %(max_retries)s, 0, 0,
        coalesce(b.due_at, %(due_at)s),
        CASE WHEN %(status)s = 'scheduled' THEN coalesce(b.due_at, %(due_at)s) END,
        %(expires_at)s + (coalesce(b.due_at, %(due_at)s) - %(due_at)s), %(campaign_id)s, %(batch_id)s,
        coalesce(b.event_id, %(event_id)s), %(created_by)s, now(), now()
    FROM batch AS b LEFT JOIN barred AS s ON s.id = b.id
    ON CONFLICT (id) DO NOTHING
    RETURNING id, status
)
SELECT count(*) FILTER (WHERE status <> 'suppressed'), array_agg(id) FILTER (WHERE status = 'suppressed') FROM written
"""


def write_rows(shared: Shared, rows: Sequence[Row]) -> Written:
    """Write records for rows that are none yet, and wake their lane after the commit. Needs the tenant's scope.

    Nothing is checked here but suppressions: addresses are normal, contexts have what the content asks for. Suppressed
    records of a batch or campaign are in ``Written`` for its counters; all others are announced as ended.
    """
    if not rows:
        return Written(0, 0)
    objects = _Objects()
    given = orjson.dumps([_as_json(shared.channel, row, objects) for row in rows]).decode()
    return _write(shared, _GIVEN, {"rows": given, "objects": orjson.dumps(objects.found).decode()})


def write_selected(shared: Shared, select: str, parameters: Mapping[str, Any]) -> Written:
    """Like ``write_rows``, for rows that stand in a table: they do not leave the database.

    ``select`` is a statement of ours, with named parameters, that yields the columns of ``_GIVEN``: ``id, recipient,
    suppression_key, context, user_id, locale, content, metadata, category, template_version_id, due_at, event_id,
    withheld, waits``.
    Null means what None means in ``Row``; ``suppression_key``, ``context``, ``withheld``, ``waits`` are never null.
    """
    return _write(shared, select, parameters)


def _write(shared: Shared, source: str, parameters: Mapping[str, Any]) -> Written:
    tenant_id = current_tenant_id()
    ((recorded, suppressed),) = fetch_bound(
        _WRITE.format(source=source),
        {
            **parameters,
            "tenant": tenant_id,
            "channel": shared.channel,
            "content": orjson.dumps(shared.content).decode(),
            "template_version_id": shared.template_version_id,
            "metadata": orjson.dumps(shared.metadata).decode(),
            "category": category_of(shared.metadata),
            "lane": str(shared.lane),
            "mode": shared.mode,
            "status": str(shared.status),
            "max_retries": settings.RETRY_LIMIT,
            "due_at": shared.due_at,
            "expires_at": shared.expires_at,
            "campaign_id": shared.campaign_id,
            "batch_id": shared.batch_id,
            "event_id": shared.event_id,
            "created_by": shared.created_by[:255],
        },
    )
    if recorded:
        wake_after_commit(tenant_id, str(shared.lane))
    if suppressed and shared.batch_id is None and shared.campaign_id is None:
        announce_ends(list(NotificationRecord.objects.filter(id__in=suppressed)))
    return Written(recorded, len(suppressed or ()))


class _Objects:
    """The different objects that rows hold, in the order in which they turned up."""

    def __init__(self) -> None:
        self.found: list[Mapping[str, Any]] = []
        self._places: dict[int, int] = {}

    def place(self, value: Mapping[str, Any] | None) -> int | None:
        """Return the place of an object, None for None. It must live as long as this."""
        if value is None:
            return None
        place = self._places.get(id(value))
        if place is None:
            place = self._places[id(value)] = len(self.found)
            self.found.append(value)
        return place


def _as_json(channel: str, row: Row, objects: _Objects) -> dict[str, Any]:
    return {
        "id": row.id,
        "recipient": row.recipient,
        "suppression_key": suppression_key(channel, row.recipient),
        "context": row.context,
        "user_id": row.user_id,
        "locale": row.locale,
        "content": objects.place(row.content),
        "metadata": objects.place(row.metadata),
        "category": None if row.metadata is None else category_of(row.metadata),
        "template_version_id": row.template_version_id,
        "due_at": row.due_at,
        "event_id": row.event_id,
        "withheld": row.withheld[:255],
        "waits": row.waits[:255],
    }
