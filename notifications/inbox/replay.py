"""What a socket has missed, read again from the stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from django.db import connection
from django.utils import timezone

from notification_service.lib.scope import tenant_scope
from notifications.inbox.frames import encode, message_frame
from notifications.inbox.models import InboxChange, InboxMessage, InboxStream

#: Who missed more loads the list instead.
MOST: Final = 300


def frames_between(
    tenant_id: UUID, user_id: str, after: int, upto: int, *, replay: bool = True
) -> list[tuple[int, str]] | None:
    """Return the frames numbered ``after + 1`` to ``upto``, or None if they are too many or not all there any more.

    Messages are shown as they are now, with the unread count of now; those that are gone are ``removed``. ``replay``
    marks them as sent again.
    """
    marks = {"replay": True} if replay else {}
    if upto - after > MOST:
        return None
    with tenant_scope(tenant_id):
        mine = {"user_id": user_id, "seq__gt": after, "seq__lte": upto}
        unread = InboxStream.objects.filter(user_id=user_id).values_list("unread", flat=True).first() or 0
        found = {row.seq: _frame_of(row, unread, marks) for row in InboxMessage.objects.filter(**mine)}
        found.update(InboxChange.objects.filter(**mine).values_list("seq", "frame"))
    if len(found) != upto - after:
        return None
    return sorted(found.items())


def _frame_of(message: InboxMessage, unread: int, marks: Mapping[str, bool]) -> str:
    has_expired = message.expires_at is not None and message.expires_at <= timezone.now()
    if message.deleted_at is None and not has_expired:
        return message_frame(message, seq=message.seq, unread=unread, **marks)
    reason = "expired" if has_expired else "deleted"
    return encode(
        {
            "type": "removed",
            "seq": message.seq,
            "unread": unread,
            "reason": reason,
            "ids": [message.id],
            **marks,
        }
    )


_TOPS = """
SELECT s.tenant_id, s.user_id, s.epoch, s.seq, s.unread
FROM unnest(%s::uuid[], %s::text[]) AS n (tenant_id, user_id)
JOIN inbox_stream AS s ON s.tenant_id = n.tenant_id AND s.user_id = n.user_id
"""


def tops(people: Sequence[tuple[UUID, str]]) -> Mapping[tuple[UUID, str], tuple[UUID, int, int]]:
    """Return epoch, top number and unread count of many streams. Needs ``platform_scope``."""
    with connection.cursor() as cursor:
        cursor.execute(_TOPS, [[tenant_id for tenant_id, _ in people], [user_id for _, user_id in people]])
        return {(row[0], row[1]): (row[2], row[3], row[4]) for row in cursor.fetchall()}
