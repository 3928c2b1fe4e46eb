"""The one intake of events for all doors: REST, batches, webhooks and Kafka.

Events of a tenant are written by one statement; an event that was there already changes nothing. They are processed at
once, in the same transaction (Kafka, whose batches are large), or left ``pending`` for the workers (REST).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import compress
from operator import attrgetter
from typing import Final

import orjson
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from notification_service.lib.ids import new_id
from notification_service.lib.scope import current_tenant_id
from notification_service.lib.sql import fetch_bound
from notifications.events.happening import Happening
from notifications.events.messages import Reaction, carry_out, within_quota
from notifications.events.models import Event, EventStatus
from notifications.events.reactions import conclude, react
from notifications.events.rules.steps import cancel_steps, place_orders
from notifications.events.secrets import seal, take_out
from notifications.events.shapes import NewEvent
from notifications.events.wake import wake_after_commit
from notifications.records.models import NotificationRecord
from tenants import limits
from tenants.callers import Mode


@dataclass(slots=True)
class Accepted:
    """An event as it stands, and whether it had come before."""

    event: Happening | Event
    duplicate: bool

    @property
    def row(self) -> Event:
        """The event as a row of the table."""
        return self.event.as_event() if isinstance(self.event, Happening) else self.event


_COLUMNS: Final = (
    ("id", "uuid"),
    ("type", "text"),
    ("payload", "jsonb"),
    ("metadata", "jsonb"),
    ("user_id", "text"),
    ("source", "text"),
    ("client_event_id", "text"),
    ("client_timestamp", "timestamptz"),
    ("mode", "text"),
    ("depth", "int"),
    ("status", "text"),
    ("reactions", "jsonb"),
    ("detail", "text"),
    ("processed_at", "timestamptz"),
    ("secrets_encrypted", "bytea"),
)
_values_of: Final = attrgetter(*(name for name, _ in _COLUMNS))


def _taken(place: int, kind: str) -> str:
    """SQL that takes one column's value out of an event's array ``v``."""
    return f"v -> {place}" if kind == "jsonb" else f"(v ->> {place})::{kind}"


# An event is an array, in the order of ``_COLUMNS``: names would be a quarter of what is sent. Nearly always all of
# them are new, and nobody has to be told which.
_INSERT: Final = f"""
WITH written AS (
    INSERT INTO event (tenant_id, received_at, {", ".join(name for name, _ in _COLUMNS)})
    SELECT %(tenant)s, %(now)s, {", ".join(_taken(place, kind) for place, (_, kind) in enumerate(_COLUMNS))}
    FROM jsonb_array_elements(%(events)s::jsonb) AS b(v)
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT CASE WHEN count(*) < %(count)s THEN coalesce(array_agg(id), '{{}}') END FROM written
"""


def accept_events(batch: Sequence[NewEvent], *, process: bool = False) -> list[Accepted]:
    """Accept a tenant's events, payloads checked; return each as it stands. Needs the tenant's scope.

    With ``process`` the messages that come of them are written in the same transaction; otherwise a worker does that.
    """
    now = timezone.now()
    events = [_happening(new, now) for new in batch]
    _count_depths(batch, events)
    concluded: list[tuple[Happening, list[Reaction]]] = []
    if process:
        concluded = list(zip(events, react(events), strict=True))
        for event, reactions in concluded:
            conclude(event, reactions, now)
    fresh = _insert(events, now)
    new = list(compress(events, fresh))
    _count_after_commit(new)
    if process:
        carry_out_within_quota(list(compress(concluded, fresh)))
    elif new:
        wake_after_commit(current_tenant_id())
    return _answers(events, fresh)


def known_among(batch: Sequence[NewEvent]) -> list[bool]:
    """Say of each event that brings its id whether it has come before. Needs the tenant's scope."""
    keys = {new.client_event_id for new in batch if new.client_event_id}
    known = set(Event.objects.filter(client_event_id__in=keys).values_list("client_event_id", flat=True))
    ids = set(Event.objects.filter(id__in={new.id for new in batch if new.id}).values_list("id", flat=True))
    return [new.client_event_id in known or new.id in ids for new in batch]


def _count_after_commit(events: Sequence[Happening]) -> None:
    for mode, count in Counter(event.mode for event in events).items():
        transaction.on_commit(partial(limits.count_events, current_tenant_id(), mode, count))


def carry_out_within_quota(concluded: Sequence[tuple[Happening, Sequence[Reaction]]]) -> None:
    """Do what concluded and stored events came to; messages beyond the tenant's month fail, and say so."""
    modes: tuple[Mode, ...] = ("live", "test")
    for mode in modes:
        of_mode = [pair for pair in concluded if pair[0].mode == mode]
        drafts = [draft for _, reactions in of_mode for reaction in reactions for draft in reaction.drafts]
        if within_quota(mode, len(drafts)):
            carry_out(drafts)
            continue
        for event, reactions in of_mode:
            if any(reaction.drafts for reaction in reactions):
                refused = [{**reaction.story(), "records": []} for reaction in reactions]
                detail = "This month's quota of notifications is used up."
                Event.objects.filter(id=event.id).update(status=EventStatus.FAILED, detail=detail, reactions=refused)
    reactions_of = [(event, reaction) for event, reactions in concluded for reaction in reactions]
    for event, reaction in reactions_of:
        if reaction.cancels:
            cancel_steps(reaction.cancels, why=f"Cancelled by event {event.id}.")
    if orders := [(event, reaction.order) for event, reaction in reactions_of if reaction.order]:
        place_orders(orders)


def _happening(new: NewEvent, now: datetime) -> Happening:
    payload, secrets = take_out(new.type, new.payload)
    metadata, more = take_out("", new.metadata) if new.metadata else ({}, {})
    happening = Happening(
        id=new.id or new_id(),
        tenant_id=current_tenant_id(),
        type=new.type,
        payload=payload,
        metadata=metadata,
        user_id=new.user_id,
        source=new.source,
        client_event_id=new.client_event_id,
        client_timestamp=new.timestamp,
        mode=new.mode,
        received_at=now,
    )
    seal(happening, {**more, **secrets})
    return happening


def _count_depths(batch: Sequence[NewEvent], events: Sequence[Happening]) -> None:
    """Give each event that another one caused (through a notification of ours) one more than that had."""
    causes = {new.caused_by for new in batch if new.caused_by}
    if not causes:
        return
    through = dict(NotificationRecord.objects.filter(id__in=causes).values_list("id", "event_id"))
    origins = {*causes, *(event_id for event_id in through.values() if event_id)}
    depths = dict(Event.objects.filter(id__in=origins).values_list("id", "depth"))
    for new, event in zip(batch, events, strict=True):
        if new.caused_by:
            origin = through.get(new.caused_by) or new.caused_by
            event.depth = min(depths.get(origin, -1) + 1, settings.EVENT_MAX_DEPTH + 1)


def _insert(events: Sequence[Happening], now: datetime) -> list[bool]:
    """Write events that came now; say of each whether it is new."""
    if not events:
        return []
    rows = orjson.dumps([_values_of(event) for event in events], default=_hex).decode()
    values = {"tenant": current_tenant_id(), "now": now, "count": len(events), "events": rows}
    ((written,),) = fetch_bound(_INSERT, values)
    if written is None:
        return [True] * len(events)
    fresh, left = [], set(written)
    for event in events:
        fresh.append(event.id in left)
        left.discard(event.id)  # twice in one batch: the second is none of the written ones
    return fresh


def _hex(value: object) -> str:
    """Return bytes as PostgreSQL reads them."""
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    raise TypeError


def _answers(events: Sequence[Happening], fresh: Sequence[bool]) -> list[Accepted]:
    repeated = [event for event, new in zip(events, fresh, strict=True) if not new]
    if not repeated:
        return [Accepted(event, duplicate=False) for event in events]
    keys = {event.client_event_id for event in repeated if event.client_event_id}
    rows = Event.objects.defer("secrets_encrypted")
    by_key = {row.client_event_id: row for row in rows.filter(client_event_id__in=keys)}
    by_id = rows.in_bulk([event.id for event in repeated if event.client_event_id not in by_key])
    return [
        Accepted(event, duplicate=False)
        if new
        else Accepted(by_key.get(event.client_event_id) or by_id.get(event.id) or event, duplicate=True)
        for event, new in zip(events, fresh, strict=True)
    ]
