"""What campaigns hold of a person: told on request, blanked when the person is erased (GDPR, articles 15 and 17)."""

from __future__ import annotations

from typing import Any

from django.db import connection

from notification_service.lib.scope import current_tenant_id
from notifications.campaigns import tallies
from notifications.campaigns.models import CampaignRecipient
from notifications.campaigns.staging import address_key
from notifications.campaigns.tallies import Counted
from notifications.recipients.hooks import KnownAs

_TIMES = ("recorded_at", "delivered_at", "opened_at", "clicked_at", "bounced_at", "complained_at")
# By id and by address: each campaign's unique index answers for its addresses.
_THEIRS = """
SELECT id FROM campaign_recipient WHERE tenant_id = %(tenant)s AND user_id = ANY (%(users)s) AND user_id > ''
UNION
SELECT r.id FROM campaign AS c JOIN campaign_recipient AS r ON r.campaign_id = c.id AND r.address_key = ANY (%(keys)s)
WHERE c.tenant_id = %(tenant)s
"""
# The key is the row's id from now on: nothing is left that the address could be guessed by, and it stays unique.
_ERASE = f"""
WITH found AS (SELECT id, state FROM campaign_recipient WHERE id IN ({_THEIRS}) ORDER BY id FOR UPDATE)
UPDATE campaign_recipient AS r SET address = '', address_key = uuid_send(r.id), user_id = '', locale = '',
    timezone = '', context = '{{}}', reason = 'erased',
    state = CASE WHEN found.state = 'staged' THEN 'cancelled' ELSE found.state END
FROM found WHERE found.id = r.id RETURNING r.campaign_id, found.state
"""


def erase_people(known: KnownAs) -> None:
    """Blank what campaigns hold of a person; who still waited gets nothing, the numbers stay. Needs tenant scope."""
    with connection.cursor() as cursor:
        cursor.execute(_ERASE, _of(known))
        rows = cursor.fetchall()
    for campaign_id in sorted({row[0] for row in rows}):
        waited = sum(state == "staged" for of, state in rows if of == campaign_id)
        tallies.add(campaign_id, {Counted(tallies.CANCELLED): waited})


def export_people(known: KnownAs) -> dict[str, Any]:
    """Return in which campaigns a person is or was. Needs the tenant's scope."""
    with connection.cursor() as cursor:
        cursor.execute(_THEIRS, _of(known))
        ids = [row[0] for row in cursor.fetchall()]
    rows = CampaignRecipient.objects.filter(id__in=ids).order_by("id")
    return {
        "campaigns": [
            {
                "campaign_id": row.campaign_id,
                "address": row.address,
                "context": row.context,
                "state": row.state,
                **{name: getattr(row, name) for name in _TIMES},
            }
            for row in rows
        ]
    }


def _of(known: KnownAs) -> dict[str, Any]:
    # Keys differ between channels only in whether spelling counts.
    keys = {address_key(channel, address) for address in known.addresses if address for channel in ("email", "")}
    return {"tenant": current_tenant_id(), "users": list(known.user_ids), "keys": list(keys)}
