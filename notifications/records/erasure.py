"""A person's messages: shown to them on request, and emptied when they are erased. What can be counted stays."""

from __future__ import annotations

from typing import Any, Final

from django.db import connection
from django.db.models import Q

from notification_service.lib.scope import current_tenant_id
from notifications.recipients.hooks import KnownAs
from notifications.records.models import NotificationRecord
from notifications.records.representation import represent
from notifications.records.states import WAITING

#: So many of the latest messages are in an export.
MAX_EXPORTED: Final = 1_000
ERASED: Final = "erased"

# What still waits must not go out any more; what is being sent can not be stopped, but nothing of it stays readable.
_ERASE: Final = """
WITH emptied AS (
    UPDATE notification_record SET recipient = %(erased)s, user_id = '', content = '{}', context = '{}',
        metadata = '{}', locale = '', provider_response = '', updated_at = now(),
        status = CASE WHEN status = ANY (%(waiting)s) THEN 'cancelled' ELSE status END
    WHERE tenant_id = %(tenant)s AND (user_id = ANY (%(user_ids)s) OR recipient = ANY (%(addresses)s))
    RETURNING id
),
attempts AS (
    UPDATE attempt SET response = '' WHERE tenant_id = %(tenant)s AND record_id IN (SELECT id FROM emptied)
),
receipts AS (
    UPDATE receipt SET payload = payload - 'address' - 'detail'
    WHERE tenant_id = %(tenant)s AND record_id IN (SELECT id FROM emptied)
),
answers AS (
    DELETE FROM idempotency_key WHERE tenant_id = %(tenant)s
        AND (response ->> 'user_id' = ANY (%(user_ids)s) OR response ->> 'recipient' = ANY (%(addresses)s)
            OR EXISTS (
                SELECT FROM jsonb_array_elements(CASE jsonb_typeof(response -> 'notifications')
                    WHEN 'array' THEN response -> 'notifications' ELSE '[]' END) AS n
                WHERE n ->> 'recipient' = ANY (%(addresses)s)))
)
SELECT count(*) FROM emptied
"""


def erase_messages(known: KnownAs) -> int:
    """Empty every record, attempt and receipt of a person; return how many records there were. Needs tenant scope.

    Reads all of the tenant's records once: an erasure is rare.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _ERASE,
            {
                "tenant": current_tenant_id(),
                "user_ids": list(known.user_ids),
                "addresses": list(known.addresses),
                "waiting": sorted(WAITING),
                "erased": ERASED,
            },
        )
        return int(cursor.fetchone()[0])


def export_messages(known: KnownAs) -> dict[str, Any]:
    """Return a person's latest messages as the API shows them, under ``notifications``. Needs the tenant's scope."""
    own = Q(user_id__in=known.user_ids) | Q(recipient__in=known.addresses)
    rows = NotificationRecord.objects.filter(own, deleted_at=None).order_by("-id")[:MAX_EXPORTED]
    return {"notifications": [represent(row) for row in rows]}
