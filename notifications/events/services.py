"""Verbs of events: submit, look up, react differently, and the trigger from outside."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from typing import Any, Final
from uuid import UUID

from notification_service.lib.errors import InvalidInput, NotFound, ServiceError, TooManyRequests
from notification_service.lib.ids import new_id
from notifications.channels.base import ContentError
from notifications.channels.registry import channels
from notifications.events.catalogue import KnownEvent, check_payload, known_events
from notifications.events.happening import Happening
from notifications.events.intake import Accepted, accept_events
from notifications.events.messages import Reaction
from notifications.events.models import Event, EventSetting, EventStatus
from notifications.events.secrets import record_ids
from notifications.events.settings_of import settings_changed
from notifications.events.shapes import NewEvent, check_storable
from notifications.records.intake import NewRecord, accept
from notifications.records.models import NotificationRecord
from notifications.records.states import Lane
from notifications.templates.services import resolve
from tenants import audit, limits
from tenants.callers import Caller

#: Events of one batch.
MAX_BATCH: Final = 1000
#: The type of events that ask for one message by name (``POST /api/notifications/webhook/``).
REQUESTED: Final = "notification.requested"


@dataclass(frozen=True, slots=True)
class Trigger:
    """One message that an outside system asks for. ``event_id`` is its own id for the request, if it has one."""

    channel: str
    recipient: str
    content: Mapping[str, Any]
    context: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    lane: str = Lane.NORMAL
    event_id: str | None = None
    source: str = "webhook"


def submit(caller: Caller, new: NewEvent) -> Accepted:
    """Accept one event; the same again returns the first. Needs the tenant's scope.

    Raises ``InvalidInput`` naming the field, ``TooManyRequests``.
    """
    limits.admit(caller.required_tenant_id(), caller.mode, notifications=0)
    _check(new)
    limits.admit_events(caller.required_tenant_id(), caller.mode, 1)
    return accept_events([replace(new, mode=caller.mode)])[0]


def submit_batch(caller: Caller, batch: Sequence[NewEvent | ServiceError]) -> list[Accepted | ServiceError]:
    """Accept events together, each on its own merits; return for each what became of it. Needs the tenant's scope.

    What is an error already stays one. Raises ``TooManyRequests``.
    """
    limits.admit(caller.required_tenant_id(), caller.mode, notifications=0)
    good: list[NewEvent] = []
    answers: list[Accepted | ServiceError | None] = []
    for new in batch:
        if isinstance(new, ServiceError):
            answers.append(new)
            continue
        try:
            _check(new)
        except ServiceError as error:
            answers.append(error)
        else:
            answers.append(None)
            good.append(replace(new, mode=caller.mode))
    room = limits.admit_events(caller.required_tenant_id(), caller.mode, len(good)) if good else 0
    # Those that are too many are refused one by one: the first ones are in.
    refused = TooManyRequests("More events than may come in now: send this one again later.")
    outcomes: Iterator[Accepted | ServiceError] = chain(accept_events(good[:room]), repeat(refused))
    return [next(outcomes) if answer is None else answer for answer in answers]


def get_event(event_id: UUID) -> Event:
    """Return one of the tenant's events. Raises ``NotFound``."""
    event = Event.objects.filter(id=event_id).first()
    if event is None:
        raise NotFound
    return event


def records_of(event: Event | Happening) -> list[NotificationRecord]:
    """Return the records that came of an event, in the order in which they were made."""
    ids = record_ids(event.reactions)
    return list(NotificationRecord.objects.filter(id__in=ids, deleted_at=None).order_by("id"))


def trigger(caller: Caller, wanted: Trigger) -> Accepted:
    """Accept one message asked for by an outside system, as an event that is its own reaction.

    Raises ``InvalidInput`` and ``ContentInvalid`` naming the field, ``Conflict`` if there is nothing to send with.
    """
    payload = {"channel": wanted.channel, "recipient": wanted.recipient, "metadata": dict(wanted.metadata)}
    check_storable({"metadata": wanted.metadata, "context": wanted.context})
    new = NewEvent(REQUESTED, payload, source=wanted.source, client_event_id=wanted.event_id, mode=caller.mode)
    (accepted,) = accept_events([new], process=True)
    if accepted.duplicate:
        return accepted
    limits.admit(caller.required_tenant_id(), caller.mode)
    record = accept(
        caller,
        NewRecord(wanted.channel, wanted.recipient, wanted.content, wanted.context, wanted.metadata, wanted.lane),
    )
    NotificationRecord.objects.filter(id=record.id).update(event_id=accepted.event.id)
    reaction = Reaction("webhook", matched=True, why="The event asks for this message.").story()
    event = accepted.event
    event.reactions = [*event.reactions, {**reaction, "records": [{"id": str(record.id), "channel": record.channel}]}]
    event.status, event.detail = str(EventStatus.PROCESSED), ""
    Event.objects.filter(id=event.id).update(status=event.status, detail="", reactions=event.reactions)
    return accepted


def key_of_signature(signature: str) -> str:
    """Return the event id of a signed call that brings none: the same call again is the same event."""
    return "signed:" + hashlib.sha256(signature.encode()).hexdigest()


def get_known(event_type: str) -> KnownEvent:
    """Return a known event. Raises ``NotFound``."""
    if event_type not in known_events():
        raise NotFound
    return known_events()[event_type]


def get_setting(event_type: str) -> EventSetting | None:
    """Return how the tenant reacts to a known event, if it differs from the catalogue. Needs the tenant's scope."""
    return EventSetting.objects.filter(type=get_known(event_type).type).first()


def change_setting(caller: Caller, event_type: str, changes: Mapping[str, Any]) -> EventSetting:
    """Change how the tenant reacts to a known event: ``enabled``, ``channels``, ``priority``, ``templates``.

    Raises ``NotFound``, ``InvalidInput`` naming the field.
    """
    known = get_known(event_type)
    tenant_id = caller.required_tenant_id()
    setting = EventSetting.objects.filter(type=event_type).first() or EventSetting(
        id=new_id(), tenant_id=tenant_id, type=event_type
    )
    before = _described(setting)
    for name, value in changes.items():
        setattr(setting, name, value)
    _check_setting(known, setting)
    setting.save()
    settings_changed(tenant_id)
    audit.record(caller, "event_setting.updated", "event_setting", event_type, before=before, after=_described(setting))
    return setting


def reset_setting(caller: Caller, event_type: str) -> None:
    """React as the catalogue says again. Raises ``NotFound``."""
    get_known(event_type)
    if EventSetting.objects.filter(type=event_type).delete()[0]:
        audit.record(caller, "event_setting.reset", "event_setting", event_type)
    settings_changed(caller.required_tenant_id())


def _check(new: NewEvent) -> None:
    check_storable({"payload": new.payload, "metadata": new.metadata})
    check_payload(new.type, new.payload)


def _described(setting: EventSetting) -> dict[str, Any]:
    return {name: getattr(setting, name) for name in ("enabled", "channels", "priority", "templates")}


def _check_setting(known: KnownEvent, setting: EventSetting) -> None:
    for key in [*(setting.channels or ()), *setting.templates]:
        if key not in channels:
            _refuse("channels", f"Unknown channel {key!r}; known: {', '.join(channels.keys())}.")
    for key, content in setting.templates.items():
        if isinstance(content, str):
            try:
                resolve(content, channel=key)
            except InvalidInput as error:
                _refuse(f"templates.{key}", error.message)
            continue
        if not isinstance(content, Mapping):
            _refuse(f"templates.{key}", "Must be the channel's content, or the key of a template.")
        try:
            channels.get(key).prepare(content)
        except ContentError as error:
            _refuse(f"templates.{key}.{error.field}", error.message)
    for key in setting.channels or ():
        if key not in setting.templates and key not in known.templates:
            _refuse("channels", f"There are no words for {key!r}: give them in templates.{key}.")


def _refuse(name: str, message: str) -> None:
    raise InvalidInput.at(name, message)
