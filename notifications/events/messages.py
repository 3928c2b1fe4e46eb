"""Messages about events: whom they go to, in which words, checked before they are written by the thousand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from notification_service.lib.errors import Conflict, InvalidInput, TooManyRequests
from notification_service.lib.ids import new_id
from notification_service.lib.scope import current_tenant_id
from notifications.channels.base import Channel, ContentError
from notifications.channels.registry import channels
from notifications.credentials.services import known_to_have_credential, require_credential
from notifications.events.happening import Happening
from notifications.events.people import Person
from notifications.recipients.preferences import ANY_TIME, Defer, Planned, Withhold, decide
from notifications.recipients.suppressions import category_of
from notifications.records.bulk import Row, Shared, write_rows
from notifications.records.categories import categorised
from notifications.records.preferred import can_be_gathered
from notifications.templates.models import MessageTemplateVersion
from notifications.templates.rendering import CompiledTemplate, compiled_version
from notifications.templates.services import resolve
from tenants import limits
from tenants.callers import Mode

#: What a channel's message says: content, or the key of a template.
Words = Mapping[str, Any] | str


@dataclass(frozen=True, slots=True)
class Draft:
    """One message that is to be written. ``recipient`` is in the channel's normal form."""

    channel: str
    lane: str
    mode: str
    row: Row


@dataclass(slots=True)
class Reaction:
    """What one rule, or the catalogue, made of an event. ``order`` is what it wants done otherwise than at once."""

    by: str
    matched: bool
    why: str
    drafts: list[Draft] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    rule_id: UUID | None = None
    order: Any = None
    cancels: str = ""

    def story(self) -> dict[str, Any]:
        """Return it as the event's row keeps it."""
        return {
            "by": self.by,
            **({"rule_id": str(self.rule_id)} if self.rule_id else {}),
            "matched": self.matched,
            "why": self.why,
            "records": [{"id": str(draft.row.id), "channel": draft.channel} for draft in self.drafts],
            "skipped": self.skipped,
            **({"waiting": True} if self.order else {}),
        }


@dataclass(slots=True)
class Ways:
    """What the tenant can send with, and its templates: asked once a batch."""

    _known: dict[tuple[str, str], str] = field(default_factory=dict)
    _templates: dict[tuple[str, str], CompiledTemplate | str] = field(default_factory=dict)
    _versions: dict[tuple[str, str], MessageTemplateVersion] = field(default_factory=dict)

    def obstacle(self, channel: str, mode: Mode) -> str:
        """Return why nothing can be sent on a channel, or nothing."""
        if (channel, mode) not in self._known:
            try:
                if not known_to_have_credential(current_tenant_id(), channel, mode):
                    require_credential(channel, mode)
                self._known[channel, mode] = ""
            except Conflict as error:
                self._known[channel, mode] = error.message
        return self._known[channel, mode]

    def template(self, key: str, channel: str) -> tuple[MessageTemplateVersion, CompiledTemplate]:
        """Return the published version of a template. Raises ``ContentError`` if there is none."""
        place = (key, channel)
        if place not in self._templates:
            try:
                version = resolve(key, channel=channel)
                self._versions[place], self._templates[place] = version, compiled_version(version.id)
            except InvalidInput as error:
                self._templates[place] = error.message
        found = self._templates[place]
        if isinstance(found, str):
            raise ContentError(found, field="template")
        return self._versions[place], found


def context_of(event: Happening, person: Person, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that words about an event may use.

    Its payload, field by field; ``name``, and ``user`` where the person is known to us; the event itself as ``event``.
    """
    about = {"id": str(event.id), "type": event.type, "source": event.source, "user_id": person.user_id}
    named = {"name": person.name} if person.name else {}
    known = {"user": person.about} if person.about else {}
    return {**defaults, **known, **named, "event": about, **event.payload}


def add_messages(
    reaction: Reaction,
    event: Happening,
    person: Person,
    wanted: Mapping[str, Words],
    context: Mapping[str, Any],
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
            reaction.skipped.append(_skip(key, "no_address", f"No address on the channel {key!r} is known."))
        elif obstacle := ways.obstacle(key, mode):
            reaction.skipped.append(_skip(key, "no_credential", obstacle))
        else:
            for address in person.addresses[key]:
                try:
                    row = _row(event, person, channels.get(key), address, words, context, ways, sound)
                except ContentError as error:
                    reaction.skipped.append(_skip(key, "content_error", error.message))
                else:
                    reaction.drafts.append(Draft(key, lane, event.mode, row))


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
        return compiled_version(row.template_version_id).render(row.context, locale=row.locale)
    return channels.get(draft.channel).prepare(row.content or {})[1].render(row.context)


def _row(
    event: Happening,
    person: Person,
    channel: Channel,
    address: str,
    words: Words,
    context: Mapping[str, Any],
    ways: Ways,
    sound: str,
) -> Row:
    """Return a message that was filled in once. Raises ``ContentError``."""
    recipient = channel.normalise_address(address, region=limits.default_region(event.tenant_id))
    version_id, content, category = None, None, ""
    if isinstance(words, str):
        version, template = ways.template(words, channel.key)
        version_id, category = version.id, version.template.category
        values = _used(template.placeholders, context)
        template.render(values, locale=person.locale)
    else:
        if sound and "sound" in channel.content.model_fields:
            words = {"sound": sound, **words}
        content, compiled = channel.prepare(words)
        values = _used(compiled.placeholders, context)
        compiled.render(values)
    return Row(
        new_id(),
        recipient,
        values,
        user_id=person.user_id,
        locale=person.locale,
        content=content if content is not None else {},
        metadata=categorised({"event_type": event.type, **({"sound": sound} if sound else {})}, category),
        template_version_id=version_id,
        event_id=event.id,
    )


def _used(placeholders: frozenset[str], context: Mapping[str, Any]) -> dict[str, Any]:
    """What the words do not use is not kept a second time."""
    names = {name for each in placeholders for name in (each, each.partition(".")[0])}
    return {name: context[name] for name in names if name in context}


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


def _skip(channel: str, code: str, detail: str) -> dict[str, str]:
    return {"channel": channel, "code": code, "detail": detail}
