"""Streams: the one place that gives numbers to what happens in inboxes, in the transaction in which it happens.

Whoever writes locks the streams concerned first, in the order of their owners' ids, so that nobody waits in a circle
and every number is taken once. All functions need the tenant's scope.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final, NamedTuple
from uuid import UUID

import orjson
from django.db import connection
from django.utils import timezone

from notification_service.lib.ids import new_id
from notification_service.lib.scope import current_tenant_id
from notifications.inbox import live
from notifications.inbox.frames import encode, message_frame
from notifications.inbox.live import Streamed
from notifications.inbox.models import InboxChange

#: What makes a message count as unread. The stored counters are its number, at every commit.
UNREAD: Final = "read_at IS NULL AND archived_at IS NULL AND snoozed_until IS NULL AND deleted_at IS NULL"


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message for one inbox. ``content`` is as the in-app channel renders it."""

    user_id: str
    content: Mapping[str, Any]
    id: UUID = field(default_factory=new_id)
    category: str = ""
    priority: str = "normal"
    created_at: datetime = field(default_factory=timezone.now)
    expires_at: datetime | None = None
    broadcast_id: UUID | None = None
    # What has not happened to it yet.
    read_at: ClassVar[None] = None
    archived_at: ClassVar[None] = None
    snoozed_until: ClassVar[None] = None
    acknowledged_at: ClassVar[None] = None


# One statement: the streams of the whole batch move, and each message gets its number from where its stream stood.
_APPEND = """
WITH incoming AS MATERIALIZED (
    SELECT n.*, row_number() OVER (PARTITION BY user_id ORDER BY place) AS nth,
           count(*) OVER (PARTITION BY user_id) AS many
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS n (
        id uuid, place int, user_id text, category text, priority text, content jsonb, created_at timestamptz,
        expires_at timestamptz, broadcast_id uuid)
),
moved AS (
    INSERT INTO inbox_stream AS s (id, tenant_id, user_id, epoch, seq, unread, broadcast_seq, created_at, updated_at)
    SELECT gen_random_uuid(), %(tenant)s, user_id, gen_random_uuid(), count(*), count(*), 0, now(), now()
    FROM incoming GROUP BY user_id ORDER BY user_id
    ON CONFLICT (tenant_id, user_id) DO UPDATE
        SET seq = s.seq + excluded.seq, unread = s.unread + excluded.unread, updated_at = now()
    RETURNING user_id, seq, unread
),
stored AS (
    INSERT INTO inbox_message (id, tenant_id, user_id, seq, broadcast_id, content, category, priority, created_at,
                               expires_at, acknowledged_by, wake_at)
    SELECT i.id, %(tenant)s, i.user_id, m.seq - i.many + i.nth, i.broadcast_id, i.content, i.category, i.priority,
           i.created_at, i.expires_at, '', i.expires_at
    FROM incoming AS i JOIN moved AS m USING (user_id)
)
SELECT i.place, m.seq - i.many + i.nth, m.unread - i.many + i.nth
FROM incoming AS i JOIN moved AS m USING (user_id) ORDER BY i.place
"""


def append(messages: Sequence[NewMessage]) -> None:
    """Put messages into inboxes, and tell the sockets of their owners after the commit."""
    if not messages:
        return
    tenant_id = current_tenant_id()
    rows = [
        {
            "id": each.id,
            "place": place,
            "user_id": each.user_id,
            "category": each.category,
            "priority": each.priority,
            "content": each.content,
            "created_at": each.created_at,
            "expires_at": each.expires_at,
            "broadcast_id": each.broadcast_id,
        }
        for place, each in enumerate(messages)
    ]
    with connection.cursor() as cursor:
        cursor.execute(_APPEND, {"rows": orjson.dumps(rows).decode(), "tenant": tenant_id})
        numbers = cursor.fetchall()
    live.publish_streams(
        tenant_id,
        [
            (messages[place].user_id, seq, message_frame(messages[place], seq=seq, unread=unread))
            for place, seq, unread in numbers
        ],
    )


_ENSURE = """
INSERT INTO inbox_stream (id, tenant_id, user_id, epoch, seq, unread, broadcast_seq, created_at, updated_at)
SELECT gen_random_uuid(), %s, user_id, gen_random_uuid(), 0, 0, 0, now(), now()
FROM unnest(%s::text[]) AS u (user_id) ORDER BY user_id
ON CONFLICT (tenant_id, user_id) DO NOTHING
"""
_LOCK = """
SELECT user_id, seq, unread, broadcast_seq FROM inbox_stream
WHERE tenant_id = %s AND user_id = ANY (%s) ORDER BY user_id FOR UPDATE
"""


@dataclass(frozen=True, slots=True)
class Locked:
    """Where a stream stands, and nobody else can move it until the transaction ends."""

    user_id: str
    seq: int
    unread: int
    broadcast_seq: int


def lock(user_ids: Collection[str]) -> dict[str, Locked]:
    """Lock streams; make those that are not there yet."""
    tenant_id, wanted = current_tenant_id(), sorted(set(user_ids))
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [tenant_id, wanted])
        found = {row[0]: Locked(*row) for row in cursor.fetchall()}
        if missing := [user_id for user_id in wanted if user_id not in found]:
            cursor.execute(_ENSURE, [tenant_id, missing])
            cursor.execute(_LOCK, [tenant_id, missing])
            found.update({row[0]: Locked(*row) for row in cursor.fetchall()})
    return found


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change came to for one person: the messages it concerned, and where their stream stands now."""

    ids: tuple[UUID, ...]
    seq: int
    unread: int
    #: Those of the messages that are notification records, too.
    record_ids: tuple[UUID, ...] = ()


#: Makes the body of a change's frame for one person out of the ids of the messages that changed.
Describe = Callable[[Sequence[UUID]], Mapping[str, Any]]

_CHANGE = f"""
WITH hit AS MATERIALIZED (
    SELECT id, ({UNREAD}) AS was_unread FROM inbox_message
    WHERE tenant_id = %(tenant)s AND user_id = ANY (%(users)s) AND deleted_at IS NULL AND ({{condition}})
    ORDER BY id LIMIT %(most)s FOR UPDATE
)
UPDATE inbox_message AS m SET {{assignments}} FROM hit WHERE m.id = hit.id
RETURNING m.id, m.user_id, m.broadcast_id, hit.was_unread, ({UNREAD}) AS is_unread
"""
_ADVANCE = """
UPDATE inbox_stream AS s SET seq = s.seq + n.steps, unread = s.unread + n.delta, updated_at = now()
FROM unnest(%s::text[], %s::int[], %s::int[]) AS n (user_id, steps, delta)
WHERE s.tenant_id = %s AND s.user_id = n.user_id
RETURNING s.user_id, s.seq, s.unread
"""


class _Hit(NamedTuple):
    """A message that a change concerned, and what that does to the counter."""

    id: UUID
    delta: int
    is_record: bool


def change(
    user_ids: Collection[str],
    *,
    condition: str,
    assignments: str,
    describe: Describe,
    most: int | None = None,
    named: int | None = None,
    **parameters: Any,
) -> dict[str, Changed]:
    """Change the messages of these people that fulfil a condition; return what came of it, by person.

    ``condition`` and ``assignments`` are SQL of ours, with ``parameters`` by name. Each person concerned gets one
    number and one frame, or several if a frame may name only so many messages (``named``). ``most`` limits how many
    messages change at once. Somebody without such a message is left out, and their stream stays where it is.
    """
    tenant_id = current_tenant_id()
    streams = lock(user_ids)
    given = {"tenant": tenant_id, "users": list(streams), "most": most, **parameters}
    hits: dict[str, list[_Hit]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_CHANGE.format(condition=condition, assignments=assignments), given)
        for message_id, user_id, broadcast_id, was_unread, is_unread in cursor.fetchall():
            hits[user_id].append(_Hit(message_id, is_unread - was_unread, broadcast_id is None))
        if not hits:
            return {}
        parts = {user_id: _parts(every, named or len(every)) for user_id, every in hits.items()}
        deltas = [sum(hit.delta for hit in every) for every in hits.values()]
        cursor.execute(_ADVANCE, [list(hits), [len(each) for each in parts.values()], deltas, tenant_id])
        moved = cursor.fetchall()
    changed, frames = {}, []
    for user_id, seq, unread in moved:
        every = hits[user_id]
        records = tuple(hit.id for hit in every if hit.is_record)
        changed[user_id] = Changed(tuple(hit.id for hit in every), seq, unread, records)
        frames += _frames_of(user_id, parts[user_id], seq, unread, describe)
    InboxChange.objects.bulk_create(
        InboxChange(tenant_id=tenant_id, user_id=user_id, seq=seq, frame=frame) for user_id, seq, frame in frames
    )
    live.publish_streams(tenant_id, frames)
    return changed


def _parts(hits: Sequence[_Hit], most: int) -> list[Sequence[_Hit]]:
    return [hits[start : start + most] for start in range(0, len(hits), most)]


def _frames_of(
    user_id: str, parts: Sequence[Sequence[_Hit]], seq: int, unread: int, describe: Describe
) -> list[Streamed]:
    """Return a frame for each part, the last one numbered ``seq``, with what is unread after it."""
    frames = []
    for part in reversed(parts):
        body = describe([hit.id for hit in part])
        frames.append((user_id, seq, encode({**body, "seq": seq, "unread": unread})))
        seq, unread = seq - 1, unread - sum(hit.delta for hit in part)
    return frames[::-1]
