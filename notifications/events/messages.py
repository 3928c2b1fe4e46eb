"""Messages about events: whom they go to, in which words, checked before they are written by the thousand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from notification_service.lib.errors import Conflict, InvalidInput, TooManyRequests
from notification_service.lib.ids import new_id
from notification_service.lib.scope import current_tenant_id
from notifications.channels.base import Channel, CompiledContent, ContentError
from notifications.channels.registry import channels
from notifications.credentials.services import known_to_have_credential, require_credential
from notifications.events.happening import Happening
from notifications.events.people import Person
from notifications.recipients.preferences import ANY_TIME, Defer, Planned, Withhold, decide
from notifications.recipients.suppressions import category_of
from notifications.records.bulk import Row, Shared, write_rows
from notifications.records.categories import categorised
from notifications.records.preferred import can_be_gathered
from notifications.records.roster import unanswered
from notifications.records.words import provable
from notifications.templates.rendering import CompiledTemplate, compiled_version
from notifications.templates.services import resolve
from tenants import limits
from tenants.callers import Mode

#: What a channel's message says: content, or the key of a template.
Words = Mapping[str, Any] | str
_NOTHING: Final = object()


@dataclass(slots=True)
class Draft:
    """One message that is to be written. ``recipient`` is in the channel's normal form."""

    channel: str
    lane: str
    mode: str
    row: Row


@dataclass(slots=True)
class Reaction:
    """What one rule, or the catalogue, made of an event. ``order`` is what it wants done otherwise than at once.

    ``patience`` is how long a message may wait for who its person is, if nobody said so; ``waits``: it does.
    """

    by: str
    matched: bool
    why: str
    drafts: list[Draft] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    rule_id: UUID | None = None
    order: Any = None
    cancels: str = ""
    patience: timedelta | None = None
    waits: bool = False

    def story(self) -> dict[str, Any]:
        """Return it as the event's row keeps it."""
        told: dict[str, Any] = {
            "by": self.by,
            "matched": self.matched,
            "why": self.why,
            "records": [{"id": str(draft.row.id), "channel": draft.channel} for draft in self.drafts],
            "skipped": self.skipped,
        }
        if self.rule_id:
            told["rule_id"] = str(self.rule_id)
        if self.order or self.waits:
            told["waiting"] = True
        return told


@dataclass(slots=True)
class Wording:
    """What all messages in the same words have in common; ``content`` is empty where a template's version has it."""

    channel: Channel
    content: Mapping[str, Any]
    metadata: Mapping[str, Any]
    #: What of a context the words use: names of placeholders, and the objects into which dotted names look.
    names: tuple[str, ...]
    compiled: CompiledContent | CompiledTemplate
    version_id: UUID | None = None

    def prove(self, values: Mapping[str, Any], locale: str) -> None:
        """See to it that the words can be filled in. Raises ``ContentError``."""
        values = provable(self.compiled, values)
        if isinstance(self.compiled, CompiledTemplate):
            self.compiled.render(values, locale=locale)
        elif not self.compiled.surely_renders(values):
            self.compiled.render(values)


class Ways:
    """What the tenant can send with, and in which words: asked once a batch. Needs the tenant's scope."""

    def __init__(self) -> None:
        self._obstacles: dict[tuple[str, str], str] = {}
        # The words stand beside what was made of them: as long as they live, nothing else has their ``id``.
        self._wordings: dict[tuple[str, str, str, str | int], tuple[Words, Wording | ContentError]] = {}
        self.region = limits.default_region(current_tenant_id())

    def obstacle(self, channel: str, mode: Mode) -> str:
        """Return why nothing can be sent on a channel, or nothing."""
        if (channel, mode) not in self._obstacles:
            try:
                if not known_to_have_credential(current_tenant_id(), channel, mode):
                    require_credential(channel, mode)
                self._obstacles[channel, mode] = ""
            except Conflict as error:
                self._obstacles[channel, mode] = error.message
        return self._obstacles[channel, mode]

    def wording(self, words: Words, channel: str, event_type: str, sound: str) -> Wording:
        """Return words made ready. Raises ``ContentError``, also if they name a template that there is not."""
        place = (channel, event_type, sound, words if isinstance(words, str) else id(words))
        if place not in self._wordings:
            try:
                self._wordings[place] = (words, _made_ready(words, channels.get(channel), event_type, sound))
            except ContentError as error:
                self._wordings[place] = (words, error)
        found = self._wordings[place][1]
        if isinstance(found, ContentError):
            raise found
        return found


class Context(Mapping[str, Any]):
    """The values that words about an event may use, looked up when they are used.

    Its payload, field by field; ``name``, and ``user`` where the person is known to us; the event itself as ``event``;
    and what the payload need not say.
    """

    __slots__ = ("_defaults", "_event", "_person")

    def __init__(self, event: Happening, person: Person, defaults: Mapping[str, Any]) -> None:
        self._event, self._person, self._defaults = event, person, defaults

    def __getitem__(self, name: str) -> Any:
        if (value := self.get(name, _NOTHING)) is _NOTHING:
            raise KeyError(name)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a name; the payload's own words count before ours."""
        event, person = self._event, self._person
        if name in event.payload:
            return event.payload[name]
        if name == "name" and person.name:
            return person.name
        if name == "event":
            return {"id": str(event.id), "type": event.type, "source": event.source, "user_id": person.user_id}
        if name == "user" and person.about:
            return person.about
        return self._defaults.get(name, default)

    def __iter__(self) -> Iterator[str]:
        own = ("event", *(("name",) if self._person.name else ()), *(("user",) if self._person.about else ()))
        return iter(dict.fromkeys((*self._defaults, *own, *self._event.payload)))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def used(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the values that there are under these names: what words do not use is not kept a second time."""
        found, payload = {}, self._event.payload
        for name in names:
            if name in payload:
                found[name] = payload[name]
            elif (value := self.get(name, _NOTHING)) is not _NOTHING:
                found[name] = value
        return found


def add_messages(
    reaction: Reaction,
    event: Happening,
    person: Person,
    wanted: Mapping[str, Words],
    context: Context,
    ways: Ways,
    *,
    lane: str,
    sound: str = "",
) -> None:
    """Add a message to each address of a person on each channel, and why there is none where there is none."""
    mode: Mode = "test" if event.mode == "test" else "live"
    for key, words in wanted.items():
        if key not in channels:
            reaction.skipped.append(_skip(key, "unknown_channel", f"There is no channel {key!r}."))
        elif not person.addresses.get(key):
            _miss(reaction, person, lane, _no_address(key))
        elif obstacle := ways.obstacle(key, mode):
            reaction.skipped.append(_skip(key, "no_credential", obstacle))
        else:
            for address in person.addresses[key]:
                try:
                    row = _row(event, person, address, ways.wording(words, key, event.type, sound), context, ways)
                except ContentError as error:
                    _miss(reaction, person, lane, _skip(key, "content_error", error.message))
                else:
                    reaction.drafts.append(Draft(key, lane, event.mode, row))


def _miss(reaction: Reaction, person: Person, lane: str, skip: dict[str, str]) -> None:
    """Say why there is no message; of somebody about whom nobody answered, that is why."""
    if person.unanswered:
        skip = _skip(skip["channel"], "user_service", unanswered(person.user_id))
        reaction.patience = settings.LANE_DEADLINES[lane]
    reaction.skipped.append(skip)


def carry_out(drafts: Sequence[Draft]) -> int:
    """Write messages, preferences heeded; return how many. Needs the tenant's scope."""
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    now = timezone.now()
    for draft in _preferred(drafts, now):
        groups[draft.channel, draft.lane, draft.mode].append(draft.row)
    for (channel, lane, mode), rows in groups.items():
        expires = now + settings.LANE_DEADLINES[lane]
        write_rows(Shared(channel, due_at=now, expires_at=expires, lane=lane, mode=mode, created_by="events"), rows)
    return len(drafts)


def within_quota(mode: Mode, notifications: int) -> bool:
    """Count messages against the tenant's month; False if it is used up. Rates are the doors' business."""
    if not notifications:
        return True
    try:
        limits.admit(current_tenant_id(), mode, notifications=notifications)
    except TooManyRequests as error:
        return error.error_code != "quota_exceeded"
    return True


def rendered(draft: Draft) -> dict[str, Any]:
    """Return what a message will say. Needs the tenant's scope."""
    row = draft.row
    if row.template_version_id:
        template = compiled_version(row.template_version_id)
        return template.render(provable(template, row.context), locale=row.locale)
    compiled = channels.get(draft.channel).prepare(row.content or {})[1]
    return compiled.render(provable(compiled, row.context))


def _made_ready(words: Words, channel: Channel, event_type: str, sound: str) -> Wording:
    """Return words made ready for many messages. Raises ``ContentError``."""
    metadata = {"event_type": event_type, **({"sound": sound} if sound else {})}
    if isinstance(words, str):
        try:
            version = resolve(words, channel=channel.key)
        except InvalidInput as error:
            raise ContentError(error.message, field="template") from None
        template = compiled_version(version.id)
        metadata = categorised(metadata, version.template.category)
        return Wording(channel, {}, metadata, _names(template.placeholders), template, version.id)
    if sound and "sound" in channel.content.model_fields:
        words = {"sound": sound, **words}
    content, compiled = channel.prepare(words)
    return Wording(channel, content, metadata, _names(compiled.placeholders), compiled)


def _names(placeholders: Iterable[str]) -> tuple[str, ...]:
    return tuple({name for each in placeholders for name in (each, each.partition(".")[0])})


def _row(event: Happening, person: Person, address: str, wording: Wording, context: Context, ways: Ways) -> Row:
    """Return a message that is known to have all that its words ask for. Raises ``ContentError``."""
    recipient = wording.channel.normalise_address(address, region=ways.region)
    values = context.used(wording.names)
    wording.prove(values, person.locale)
    return Row(
        new_id(),
        recipient,
        values,
        user_id=person.user_id,
        locale=person.locale,
        content=wording.content,
        metadata=wording.metadata,
        template_version_id=wording.version_id,
        event_id=event.id,
    )


def _preferred(drafts: Sequence[Draft], now: datetime) -> list[Draft]:
    """Heed what people have chosen: what they do not want is written and never sent, what is too early waits."""
    planned = [
        Planned(
            draft.row.user_id,
            draft.channel,
            now,
            category_of(draft.row.metadata or {}),
            draft.lane,
            ANY_TIME if can_be_gathered(draft.channel, draft.row.content or {}) else None,
        )
        for draft in drafts
        if draft.row.user_id
    ]
    decisions = iter(decide(planned) if planned else [])
    found = []
    for draft in drafts:
        match next(decisions) if draft.row.user_id else None:
            case Withhold(reason):
                found.append(replace(draft, row=replace(draft.row, withheld=reason)))
            case Defer() as wait:
                found.append(replace(draft, row=replace(draft.row, due_at=wait.due_at, waits=wait.reason)))
            case _:
                found.append(draft)
    return found


@cache
def _no_address(channel: str) -> dict[str, str]:
    return _skip(channel, "no_address", f"No address on the channel {channel!r} is known.")


def _skip(channel: str, code: str, detail: str) -> dict[str, str]:
    return {"channel": channel, "code": code, "detail": detail}
