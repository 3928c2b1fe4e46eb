"""Verbs of the inbox. Each change is one number in its owner's stream, and every device hears of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from notification_service.lib.errors import InvalidInput, NotFound
from notification_service.lib.scope import current_tenant_id
from notifications.inbox import broadcasts, streams
from notifications.inbox.broadcasts import Person
from notifications.inbox.frames import represent_message
from notifications.inbox.models import InboxChange, InboxMessage, InboxStream
from notifications.inbox.streams import Changed
from notifications.recipients.hooks import KnownAs
from notifications.records.erasure import MAX_EXPORTED
from notifications.records.in_app import record_reading
from notifications.records.states import DeliveryState

#: Messages that one call may name.
MOST_IDS: Final = 500


@dataclass(frozen=True, slots=True)
class Position:
    """Where a person's stream stands."""

    epoch: UUID
    seq: int
    unread: int


_LOOK = """
SELECT s.epoch, s.seq, s.unread,
       s.broadcast_seq < coalesce((SELECT seq FROM inbox_stream WHERE tenant_id = %(tenant)s AND user_id = ''), 0),
       EXISTS (SELECT FROM inbox_message
               WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND wake_at <= now() AND wake_at IS NOT NULL)
FROM inbox_stream AS s WHERE s.tenant_id = %(tenant)s AND s.user_id = %(user)s
"""


def look(person: Person) -> Position:
    """Return where a person's stream stands, after bringing it up to date; a few index probes if it is.

    Whoever looks at an inbox looks through this: broadcasts that wait get in, snoozes and lives that are over end.
    """
    found = _look(person.user_id)
    if found is None:
        streams.lock([person.user_id])
        found = _look(person.user_id)
    assert found is not None  # noqa: S101 - locked is there
    if found[3]:
        broadcasts.deliver([person])
    if found[4]:
        wake_due([person.user_id])
    if found[3] or found[4]:
        found = _look(person.user_id)
        assert found is not None  # noqa: S101
    return Position(found[0], found[1], found[2])


def _look(user_id: str) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(_LOOK, {"tenant": current_tenant_id(), "user": user_id})
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row


def messages_of(user_id: str, *, snoozed: bool = False) -> QuerySet[InboxMessage]:
    """Return what a person can see, the newest first: nothing deleted or expired; snoozed ones only if asked for."""
    rows = visible().filter(user_id=user_id)
    return rows if snoozed else rows.filter(snoozed_until=None)


def visible() -> QuerySet[InboxMessage]:
    """Return the tenant's messages that are neither deleted nor expired."""
    lasting = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return InboxMessage.objects.filter(lasting, deleted_at=None).order_by("-id")


def get_message(message_id: UUID, user_id: str | None = None) -> InboxMessage:
    """Return a message, of one person if that is said. Raises ``NotFound``."""
    rows = visible() if user_id is None else messages_of(user_id, snoozed=True)
    found = rows.filter(id=message_id).first()
    if found is None:
        raise NotFound
    return found


_THESE = "id = ANY (%(ids)s)"


def mark_read(user_id: str, *, ids: Collection[UUID] | None = None, read: bool = True) -> Changed:
    """Mark messages as read or unread: these, or all. Their records say ``read``, for good."""
    now = timezone.now()
    shown = {"read": read, "read_at": now if read else None}

    def describe(changed: Sequence[UUID]) -> dict[str, Any]:
        return {"type": "read", **shown, **({"all": True} if ids is None else {"ids": changed})}

    changed = _change(
        user_id,
        ids,
        condition="read_at IS NULL" if read else "read_at IS NOT NULL",
        assignments="read_at = %(read_at)s",
        describe=describe,
        read_at=shown["read_at"],
    )
    if read:
        record_reading(changed.record_ids, DeliveryState.READ, by=user_id, at=now)
    return changed


def archive(user_id: str, *, ids: Collection[UUID], archived: bool = True) -> Changed:
    """Put messages into the archive, or back into the inbox."""
    at = timezone.now() if archived else None
    return _change(
        user_id,
        ids,
        condition="archived_at IS NULL" if archived else "archived_at IS NOT NULL",
        assignments="archived_at = %(at)s",
        describe=partial(_updated, {"archived_at": at}),
        at=at,
    )


def snooze(user_id: str, *, ids: Collection[UUID], until: datetime | None) -> Changed:
    """Hide messages until a moment, or (None) show them again now. Raises ``InvalidInput`` for a moment that is past.

    A message that expires sooner goes then.
    """
    if until is not None and until <= timezone.now():
        raise InvalidInput.at("until", "This moment is past.")
    return _change(
        user_id,
        ids,
        condition="true" if until else "snoozed_until IS NOT NULL",
        assignments="snoozed_until = %(until)s, wake_at = least(expires_at, %(until)s)",
        describe=partial(_updated, {"snoozed_until": until}),
        until=until,
    )


def acknowledge(user_id: str, *, ids: Collection[UUID], by: str) -> Changed:
    """Confirm that messages were taken note of, which reads them, too. Their records say ``acknowledged``."""
    now = timezone.now()
    changed = _change(
        user_id,
        ids,
        condition="acknowledged_at IS NULL",
        assignments="acknowledged_at = %(at)s, acknowledged_by = %(by)s, read_at = coalesce(read_at, %(at)s)",
        describe=partial(_updated, {"acknowledged_at": now, "read_at": now}),
        at=now,
        by=by[:255],
    )
    record_reading(changed.record_ids, DeliveryState.ACKNOWLEDGED, by=by, at=now)
    return changed


def delete(user_id: str, *, ids: Collection[UUID] | None = None, only_read: bool = False) -> Changed:
    """Delete messages: these, or all, or all that are read. Their contents are gone at once."""
    if only_read:
        changed = _remove([user_id], "read_at IS NOT NULL", reason="deleted")
    elif ids is None:
        changed = _remove([user_id], "true", reason="deleted", names_all=True)
    else:
        changed = _remove([user_id], _THESE, reason="deleted", ids=_limited(ids))
    return changed.get(user_id) or _unchanged(user_id)


def delete_anybodys(ids: Collection[UUID]) -> int:
    """Delete messages, whosever they are; return how many there were."""
    owners = set(visible().filter(id__in=_limited(ids)).values_list("user_id", flat=True))
    changed = _remove(owners, _THESE, reason="deleted", ids=list(ids)) if owners else {}
    return sum(len(each.ids) for each in changed.values())


def retract(user_ids: Collection[str], broadcast_id: UUID) -> None:
    """Take a broadcast out of these people's inboxes."""
    _remove(user_ids, "broadcast_id = %(broadcast)s", reason="retracted", broadcast=broadcast_id)


def expire_before(user_ids: Collection[str], message_id: UUID, *, most: int) -> None:
    """Let the oldest messages of these people go."""
    _remove(user_ids, "id < %(before)s", reason="expired", most=most, before=message_id)


def wake_due(user_ids: Collection[str]) -> None:
    """Let go what has expired, and bring back, as unread, what was snoozed until now."""
    _remove(user_ids, "wake_at <= now() AND expires_at <= now()", reason="expired")
    awake = InboxMessage.objects.filter(
        user_id__in=list(user_ids), wake_at__lte=timezone.now(), snoozed_until__isnull=False, deleted_at=None
    )
    for message in awake.order_by("user_id", "id"):
        _change(
            message.user_id,
            [message.id],
            condition="snoozed_until <= now()",
            assignments="snoozed_until = NULL, wake_at = expires_at, read_at = NULL",
            describe=partial(_again, message),
        )


def forget_changes(before: UUID) -> int:
    """Really delete changes and deleted messages older than an id; return how many. Needs ``platform_scope``."""
    gone = InboxChange.objects.filter(id__lt=before).delete()[0]
    return gone + InboxMessage.objects.filter(id__lt=before, deleted_at__isnull=False).delete()[0]


def erase_person(known: KnownAs) -> None:
    """Delete all that a person's inbox holds, its stream too: who resumes has to load anew, and finds nothing."""
    for model in (InboxMessage, InboxChange, InboxStream):
        model._default_manager.filter(user_id__in=known.user_ids).delete()


def export_person(known: KnownAs) -> dict[str, Any]:
    """Return the latest messages of a person's inbox."""
    rows = InboxMessage.objects.filter(user_id__in=known.user_ids, deleted_at=None).order_by("-id")[:MAX_EXPORTED]
    return {"inbox": [represent_message(row) for row in rows]}


def _change(user_id: str, ids: Collection[UUID] | None, *, condition: str, **rest: Any) -> Changed:
    if ids is not None:
        condition, rest = f"{_THESE} AND {condition}", {**rest, "ids": _limited(ids)}
    return streams.change([user_id], condition=condition, **rest).get(user_id) or _unchanged(user_id)


def _unchanged(user_id: str) -> Changed:
    return Changed((), *InboxStream.objects.values_list("seq", "unread").get(user_id=user_id))


def _remove(
    user_ids: Collection[str], condition: str, *, reason: str, names_all: bool = False, **parameters: Any
) -> dict[str, Changed]:
    def describe(changed: Sequence[UUID]) -> dict[str, Any]:
        return {"type": "removed", "reason": reason, **({"all": True} if names_all else {"ids": changed})}

    return streams.change(
        user_ids,
        condition=condition,
        assignments="deleted_at = now(), wake_at = NULL, content = '{}'",
        describe=describe,
        named=None if names_all else MOST_IDS,
        **parameters,
    )


def _limited(ids: Collection[UUID]) -> list[UUID]:
    if len(ids) > MOST_IDS:
        raise InvalidInput.at("ids", f"At most {MOST_IDS} at once.")
    return list(ids)


def _updated(changes: dict[str, Any], ids: Sequence[UUID]) -> dict[str, Any]:
    return {"type": "updated", "ids": ids, "changes": changes}


def _again(message: InboxMessage, _: Sequence[UUID]) -> dict[str, Any]:
    message.snoozed_until = message.read_at = None
    return {"type": "notification", "snooze_over": True, **represent_message(message)}
