"""Broadcasts: one row for a message to many. It gets into an inbox when its owner is connected or next looks.

``docs/adr`` says why: nobody's row is written before they turn up, and from then on a broadcast is a message like any
other, with a number in its owner's stream and a place in the unread counter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import Count, Q
from django.utils import timezone

from notification_service.lib.errors import ContentInvalid, InvalidInput, NotFound
from notification_service.lib.scope import current_tenant_id
from notifications.channels.base import ContentError
from notifications.channels.registry import channels
from notifications.inbox import live, streams
from notifications.inbox.models import Audience, Broadcast, InboxMessage, InboxStream, Priority
from notifications.inbox.streams import NewMessage
from notifications.recipients.people import people_by_user_id
from notifications.recipients.preferences import Planned, Withhold, decide
from tenants import audit
from tenants.callers import Caller

#: The stream without a person: its numbers are those of the tenant's broadcasts.
TENANT_STREAM: Final = ""
LASTS, LASTS_AT_MOST = timedelta(days=30), timedelta(days=366)
MOST_ROLES, MOST_USERS = 50, 10_000
_INAPP: Final = "inapp"


@dataclass(frozen=True, slots=True)
class Person:
    """Whose inbox it is, and which roles they have by their token."""

    user_id: str
    roles: frozenset[str] = frozenset()


def person_of(caller: Caller) -> Person:
    """Return the person who calls."""
    return Person(caller.actor_id, frozenset({caller.role} - {""}))


def create(
    caller: Caller,
    *,
    audience: str,
    content: Mapping[str, Any],
    roles: Sequence[str] = (),
    user_ids: Sequence[str] = (),
    category: str = "",
    expires_at: datetime | None = None,
) -> Broadcast:
    """Write a broadcast; who is connected gets it after the commit.

    It lasts 30 days if neither the call nor its content says otherwise, and a year at most. Raises ``InvalidInput``
    naming the field, and ``ContentInvalid``. Needs the tenant's scope.
    """
    now = timezone.now()
    rendered = _rendered(content)
    own_end = rendered.pop("expires_at", None)
    ends = expires_at or (datetime.fromisoformat(own_end) if own_end else now + LASTS)
    _check(audience, roles, user_ids, ends, now)
    tenant_id = current_tenant_id()
    seq = streams.lock([TENANT_STREAM])[TENANT_STREAM].seq + 1
    InboxStream.objects.filter(user_id=TENANT_STREAM).update(seq=seq, updated_at=now)
    made = Broadcast.objects.create(
        tenant_id=tenant_id,
        seq=seq,
        audience=audience,
        roles=sorted(set(roles)),
        user_ids=sorted(set(user_ids)),
        priority=rendered.pop("priority", Priority.NORMAL),
        content=rendered,
        category=category,
        expires_at=ends,
        created_by=caller.actor_label or caller.actor_id,
        created_at=now,
    )
    audit.record(caller, "broadcast.created", "broadcast", made.id, audience=audience)
    live.announce_broadcast(tenant_id)
    return made


def deliver(people: Collection[Person]) -> None:
    """Put the broadcasts that these people have not got yet into their inboxes. Needs the tenant's scope.

    Who has switched off a broadcast's category does not get it; quiet hours do not keep it back.
    """
    roles = {person.user_id: person.roles for person in people}
    tenant_id = current_tenant_id()
    # Read before the locks: a broadcast of a later number is delivered by whoever announces it.
    top = InboxStream.objects.filter(user_id=TENANT_STREAM).values_list("seq", flat=True).first() or 0
    behind = {user: each for user, each in streams.lock(list(roles)).items() if each.broadcast_seq < top}
    if not behind:
        return
    lowest = min(each.broadcast_seq for each in behind.values())
    waiting = Broadcast.objects.filter(
        seq__gt=lowest, seq__lte=top, retracted_at=None, expires_at__gt=timezone.now()
    ).order_by("seq")
    audiences = [(each, frozenset(each.user_ids), frozenset(each.roles)) for each in waiting]
    if any(each.audience == Audience.ROLE for each, _, _ in audiences):
        for user_id, known in people_by_user_id(list(behind)).items():
            roles[user_id] = roles[user_id].union(known.roles)
    meant_for = [
        (user_id, broadcast)
        for user_id, stream in behind.items()
        for broadcast, named, meant in audiences
        if broadcast.seq > stream.broadcast_seq
        and (
            broadcast.audience == Audience.TENANT
            or (broadcast.audience == Audience.USERS and user_id in named)
            or (broadcast.audience == Audience.ROLE and meant & roles[user_id])
        )
    ]
    streams.append([_copy(user_id, broadcast) for user_id, broadcast in _wanted(meant_for)])
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE inbox_stream SET broadcast_seq = %s WHERE tenant_id = %s AND user_id = ANY (%s)",
            [top, tenant_id, list(behind)],
        )


def _wanted(meant_for: Sequence[tuple[str, Broadcast]]) -> Iterator[tuple[str, Broadcast]]:
    """Yield those broadcasts that their readers have not switched off."""
    wishes = decide([Planned(user_id, _INAPP, each.created_at, each.category, "normal") for user_id, each in meant_for])
    for meant, wish in zip(meant_for, wishes, strict=True):
        if not isinstance(wish, Withhold):
            yield meant


def _copy(user_id: str, broadcast: Broadcast) -> NewMessage:
    return NewMessage(
        user_id=user_id,
        content=broadcast.content,
        category=broadcast.category,
        priority=broadcast.priority,
        created_at=broadcast.created_at,
        expires_at=broadcast.expires_at,
        broadcast_id=broadcast.id,
    )


def get(broadcast_id: UUID) -> Broadcast:
    """Return a broadcast. Raises ``NotFound``."""
    found = Broadcast.objects.filter(id=broadcast_id).first()
    if found is None:
        raise NotFound
    return found


def holders(broadcast_id: UUID) -> list[str]:
    """Return whose inboxes hold a broadcast."""
    rows = InboxMessage.objects.filter(broadcast_id=broadcast_id, deleted_at=None)
    return sorted(set(rows.values_list("user_id", flat=True)))


def reception(broadcast_id: UUID) -> dict[str, int]:
    """Return in how many inboxes a broadcast has been put so far, and in how many of them it was read."""
    return InboxMessage.objects.filter(broadcast_id=broadcast_id).aggregate(
        reached=Count("id"), read=Count("id", filter=Q(read_at__isnull=False))
    )


def mark_retracted(caller: Caller, broadcast_id: UUID) -> Broadcast:
    """Let nobody else get a broadcast. Raises ``NotFound``."""
    found = get(broadcast_id)
    if found.retracted_at is None:
        found.retracted_at = timezone.now()
        found.save(update_fields=["retracted_at"])
        audit.record(caller, "broadcast.retracted", "broadcast", found.id)
    return found


def _check(audience: str, roles: Sequence[str], user_ids: Sequence[str], ends: datetime, now: datetime) -> None:
    errors: dict[str, list[str]] = {}
    for name, kind, given, most in (
        ("roles", Audience.ROLE, roles, MOST_ROLES),
        ("user_ids", Audience.USERS, user_ids, MOST_USERS),
    ):
        if (audience == kind) != bool(given):
            errors[name] = [f"Give it if, and only if, the audience is {kind.value}."]
        elif len(given) > most:
            errors[name] = [f"At most {most:,}."]
    if not now < ends <= now + LASTS_AT_MOST:
        errors["expires_at"] = ["Must be a moment within the next year."]
    if errors:
        name, (message, *_) = next(iter(errors.items()))
        raise InvalidInput(f"{name}: {message}", errors=errors)


def _rendered(content: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return channels.get(_INAPP).prepare(content)[1].render({})
    except ContentError as error:
        field = f"content.{error.field}" if error.field else "content"
        raise ContentInvalid(error.message, errors={field: [error.message]}) from None
