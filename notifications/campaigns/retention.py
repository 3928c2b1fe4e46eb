"""Retention: the recipients of campaigns that are over go when their tenant's time for them is; the counters stay.

A tenant says how long by ``retention_days``: with the key ``campaigns``, else with that of a campaign's channel, else
with ``*``. Its age counts from the campaign's end.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection
from psycopg.types.json import Jsonb

from notification_service.lib.scope import tenant_scope
from notifications.campaigns import tallies
from notifications.campaigns.states import FINAL
from tenants.models import Tenant

KEY: Final = "campaigns"
#: Recipients in one transaction.
BATCH: Final = 2_000
#: A run stops after so many seconds; the next one goes on.
RUN_SECONDS: Final = 120.0

# One that still takes turns is not proved to be over.
_OVER: Final = """
SELECT id FROM campaign AS c
WHERE tenant_id = %(tenant)s AND status = ANY (%(final)s) AND next_turn_at IS NULL AND finished_at < %(now)s
    - make_interval(days => coalesce((%(days)s::jsonb ->> %(key)s), (%(days)s::jsonb ->> channel),
        (%(days)s::jsonb ->> '*'))::integer)
    AND EXISTS (SELECT FROM campaign_recipient AS r WHERE r.campaign_id = c.id)
ORDER BY id
"""
_DELETE: Final = """
DELETE FROM campaign_recipient WHERE id = ANY (ARRAY(
    SELECT id FROM campaign_recipient WHERE campaign_id = %s ORDER BY id LIMIT %s))
"""


def delete_old(*, now: datetime, seconds: float = RUN_SECONDS) -> int:
    """Delete the recipients of campaigns that ended before their tenants' time; return how many.

    What was counted of a campaign is added up to one row a counter, and stays with it. Runs in transactions of its own.
    """
    ends, deleted = time.monotonic() + seconds, 0
    chosen = Tenant.objects.filter(settings__has_key="retention_days").values_list("id", "settings__retention_days")
    for tenant_id, days in list(chosen):
        for campaign_id in _over(tenant_id, days or {}, now):
            while (count := _delete_batch(tenant_id, campaign_id)) > 0:
                deleted += count
                if time.monotonic() > ends:
                    return deleted
    return deleted


def _over(tenant_id: UUID, days: Mapping[str, int], now: datetime) -> list[UUID]:
    with tenant_scope(tenant_id), connection.cursor() as cursor:
        asked: dict[str, Any] = {
            "tenant": tenant_id,
            "final": sorted(FINAL),
            "now": now,
            "days": Jsonb(dict(days)),
            "key": KEY,
        }
        cursor.execute(_OVER, asked)
        return [row[0] for row in cursor.fetchall()]


def _delete_batch(tenant_id: UUID, campaign_id: UUID) -> int:
    with tenant_scope(tenant_id), connection.cursor() as cursor:
        cursor.execute(_DELETE, [campaign_id, BATCH])
        count = int(cursor.rowcount)
        if count < BATCH:
            tallies.fold(campaign_id, above=0)
        return count
