"""What campaigns hold of a person: told on request, blanked when the person is erased (GDPR, articles 15 and 17)."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.models import Q

from notification_service.lib.scope import current_tenant_id
from notifications.campaigns import tallies
from notifications.campaigns.models import CampaignRecipient
from notifications.campaigns.tallies import Counted
from notifications.recipients.hooks import KnownAs

_TIMES = ("recorded_at", "delivered_at", "opened_at", "clicked_at", "bounced_at", "complained_at")
# The key is the row's id from now on: nothing is left that the address could be guessed by, and it stays unique.
_ERASE = """
WITH found AS (
    SELECT id, state FROM campaign_recipient WHERE tenant_id = %s
        AND ((user_id = ANY (%s) AND user_id > '') OR (address = ANY (%s) AND address > ''))
    ORDER BY id FOR UPDATE
)
UPDATE campaign_recipient AS r SET address = '', address_key = uuid_send(r.id), user_id = '', locale = '',
    timezone = '', context = '{}', reason = 'erased',
    state = CASE WHEN found.state = 'staged' THEN 'cancelled' ELSE found.state END
FROM found WHERE found.id = r.id RETURNING r.campaign_id, found.state
"""


def erase_people(known: KnownAs) -> None:
    """Blank what campaigns hold of a person; who still waited gets nothing, the numbers stay. Needs tenant scope."""
    with connection.cursor() as cursor:
        cursor.execute(_ERASE, [current_tenant_id(), list(known.user_ids), list(known.addresses)])
        rows = cursor.fetchall()
    for campaign_id in sorted({row[0] for row in rows}):
        waited = sum(state == "staged" for of, state in rows if of == campaign_id)
        tallies.add(campaign_id, {Counted(tallies.CANCELLED): waited})


def export_people(known: KnownAs) -> dict[str, Any]:
    """Return in which campaigns a person is or was. Needs the tenant's scope."""
    own = Q(user_id__in=known.user_ids, user_id__gt="") | Q(address__in=known.addresses, address__gt="")
    rows = CampaignRecipient.objects.filter(own).order_by("id")
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
