"""What an event comes to: which rules (or the catalogue) want what of it, and the messages that are to be written.

Deciding reads and writes nothing but what it says; ``carry_out`` writes, many events at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from notification_service.lib.errors import Conflict, TooManyRequests
from notification_service.lib.ids import new_id
from notification_service.lib.scope import current_tenant_id
from notifications.channels.base import ContentError
from notifications.channels.registry import channels
from notifications.credentials.services import require_credential
from notifications.events.catalogue import KnownEvent, known_events
from notifications.events.happening import Happening
from notifications.events.models import EventStatus
from notifications.events.people import Person, people_of
from notifications.events.settings_of import settings_by_type
from notifications.records.bulk import Row, Shared, write_rows
from notifications.records.states import Lane
from tenants import limits
from tenants.callers import Mode


@dataclass(frozen=True, slots=True)
class Draft:
    """One message that is to be written. ``recipient`` is in the channel's normal form."""

    channel: str
    lane: str
    mode: str
    row: Row


@dataclass(slots=True)
class Reaction:
    """What one rule, or the catalogue, made of an event."""

    by: str
    matched: bool
    why: str
    drafts: list[Draft] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def story(self) -> dict[str, Any]:
        """Return it as the event's row keeps it."""
        records = [{"id": str(draft.row.id), "channel": draft.channel} for draft in self.drafts]
        told = {"by": self.by, "matched": self.matched, "why": self.why, "records": records, "skipped": self.skipped}
        return told | self.extra


@dataclass(slots=True)
class Ways:
    """Which channels the tenant can send on: asked once a batch."""

    _known: dict[tuple[str, str], str] = field(default_factory=dict)

    def obstacle(self, channel: str, mode: Mode) -> str:
        """Return why nothing can be sent on a channel, or nothing."""
        if (channel, mode) not in self._known:
            try:
                require_credential(channel, mode)
                self._known[channel, mode] = ""
            except Conflict as error:
                self._known[channel, mode] = error.message
        return self._known[channel, mode]


def react(events: Sequence[Happening]) -> list[list[Reaction]]:
    """Return the reactions to each event, in one pass. Needs the tenant's scope. Writes nothing."""
    ways = Ways()
    wanted = settings_by_type()
    found = []
    for event, person in zip(events, people_of(events), strict=True):
        known = known_events().get(event.type)
        reactions = []
        if event.depth > settings.EVENT_MAX_DEPTH:
            reactions = [Reaction("loop_guard", matched=False, why=f"{event.depth} events led to each other.")]
        elif known is not None:
            reactions = [_by_catalogue(event, person, known, wanted.get(event.type), ways)]
        found.append(reactions)
    return found


def conclude(event: Happening, reactions: Sequence[Reaction], now: datetime) -> None:
    """Write into the event (unsaved) what came of it."""
    drafts = [draft for reaction in reactions for draft in reaction.drafts]
    wanted = [reaction for reaction in reactions if reaction.matched]
    waiting = any(reaction.extra.get("waiting") for reaction in wanted)
    event.reactions = [reaction.story() for reaction in reactions]
    event.processed_at = now
    if drafts or waiting or (wanted and not any(reaction.skipped for reaction in wanted)):
        event.status = str(EventStatus.PROCESSED)
    elif wanted:
        event.status = str(EventStatus.FAILED)
        event.detail = "Nobody could be reached: " + " ".join(
            dict.fromkeys(skip["detail"] for reaction in wanted for skip in reaction.skipped)
        )
    else:
        event.status = str(EventStatus.IGNORED)
        event.detail = reactions[0].why if reactions else "No rule, and no event that the service knows."


def carry_out(concluded: Sequence[tuple[Happening, Sequence[Reaction]]]) -> int:
    """Write the messages of concluded events; return how many. Needs the tenant's scope."""
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for _, reactions in concluded:
        for reaction in reactions:
            for draft in reaction.drafts:
                groups[draft.channel, draft.lane, draft.mode].append(draft.row)
    now = timezone.now()
    for (channel, lane, mode), rows in groups.items():
        shared = Shared(
            channel,
            due_at=now,
            expires_at=now + settings.LANE_DEADLINES[lane],
            lane=lane,
            mode=mode,
            created_by="events",
        )
        write_rows(shared, rows)
    return sum(map(len, groups.values()))


def within_quota(mode: Mode, notifications: int) -> bool:
    """Count messages against the tenant's month; False if it is used up. Rates are the doors' business."""
    if not notifications:
        return True
    try:
        limits.admit(current_tenant_id(), mode, notifications=notifications)
    except TooManyRequests as error:
        return error.error_code != "quota_exceeded"
    return True


def context_of(event: Happening, person: Person, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that words about an event may use: its payload, its person's name, and itself as ``event``."""
    about = {"id": str(event.id), "type": event.type, "source": event.source, "user_id": person.user_id}
    named = {"name": person.name} if person.name else {}
    return {**defaults, **named, "event": about, **event.payload}


@dataclass(frozen=True, slots=True)
class Words:
    """What a message says on a channel."""

    content: Mapping[str, Any]


def draft(
    event: Happening,
    person: Person,
    channel: str,
    address: str,
    words: Words,
    context: Mapping[str, Any],
    *,
    lane: str,
    due_at: datetime | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Draft:
    """Return a checked message that is not written yet. Raises ``ContentError``."""
    way = channels.get(channel)
    recipient = way.normalise_address(address, region=limits.default_region(event.tenant_id))
    content, compiled = way.prepare(words.content)
    # What the words do not use is not kept a second time.
    used = {name for each in compiled.placeholders for name in (each, each.partition(".")[0])}
    values = {name: context[name] for name in used if name in context}
    compiled.render(values)
    row = Row(
        new_id(),
        recipient,
        values,
        user_id=person.user_id,
        content=content,
        metadata={"event_type": event.type, **(metadata or {})},
        due_at=due_at,
        event_id=event.id,
    )
    return Draft(channel, lane, event.mode, row)


def add_messages(
    reaction: Reaction,
    event: Happening,
    person: Person,
    wanted: Mapping[str, Words],
    context: Mapping[str, Any],
    ways: Ways,
    **options: Any,
) -> None:
    """Add a message to each address of a person on each channel, and why there is none where there is none."""
    for channel, words in wanted.items():
        mode: Mode = "test" if event.mode == "test" else "live"
        if channel not in channels:
            reaction.skipped.append(_skip(channel, "unknown_channel", f"There is no channel {channel!r}."))
        elif not person.addresses.get(channel):
            reaction.skipped.append(_skip(channel, "no_address", f"No address on the channel {channel!r} is known."))
        elif obstacle := ways.obstacle(channel, mode):
            reaction.skipped.append(_skip(channel, "no_credential", obstacle))
        else:
            for address in person.addresses[channel]:
                try:
                    reaction.drafts.append(draft(event, person, channel, address, words, context, **options))
                except ContentError as error:
                    reaction.skipped.append(_skip(channel, "content_error", error.message))


def _by_catalogue(event: Happening, person: Person, known: KnownEvent, setting: Any, ways: Ways) -> Reaction:
    """The reaction to a known event for which there is no rule."""
    if setting is not None and not setting.enabled:
        return Reaction("catalogue", matched=False, why="The tenant has switched this event off.")
    reaction = Reaction("catalogue", matched=True, why="The service knows this event.")
    own = setting.templates if setting is not None else {}
    chosen = setting.channels if setting is not None and setting.channels is not None else known.channels
    priority = (setting.priority if setting is not None else None) or known.priority
    wanted = {key: Words(own.get(key) or known.templates.get(key) or {}) for key in chosen}
    context = context_of(event, person, known.defaults)
    add_messages(reaction, event, person, wanted, context, ways, lane=str(Lane(priority)))
    return reaction


def _skip(channel: str, code: str, detail: str) -> dict[str, str]:
    return {"channel": channel, "code": code, "detail": detail}
