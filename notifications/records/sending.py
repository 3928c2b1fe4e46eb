"""One call, several channels and people: turned into records that are accepted together or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from django.utils import timezone

from notification_service.lib.errors import ContentInvalid, InvalidInput, ServiceError, Unavailable
from notifications.channels.registry import channels as known_channels
from notifications.recipients.people import barred_among
from notifications.recipients.services import PUSH, devices_of
from notifications.recipients.user_service import OPEN_SECONDS
from notifications.records.intake import NewRecord, accept_many, build_record, channel_of
from notifications.records.models import NotificationRecord
from notifications.records.roster import NAMES, Roster, id_in, roster_of, unanswered
from notifications.records.states import Lane
from notifications.templates import lookups
from tenants import limits
from tenants.callers import Caller

#: Notifications that one call may bring, after people are resolved to their devices.
MAX_NOTIFICATIONS: Final = 1000
#: Under which other name than its own a person's address on a channel may be given.
_ADDRESS_FIELDS: Final[Mapping[str, str]] = {"sms": "phone", "whatsapp": "phone", "push": "token", "inapp": "user_id"}
_MAX_ERRORS = 50
INAPP: Final = "inapp"
_UNANSWERED: Final = "user_service"

Errors = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class SendCall:
    """What a caller asks for. ``recipients`` are addresses, or objects that name a person's addresses.

    ``content`` is the content by channel, or the content itself if there is one channel.
    """

    channels: Sequence[str]
    recipients: Sequence[Any]
    content: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    lane: str = Lane.NORMAL
    scheduled_at: datetime | None = None
    expires_at: datetime | None = None
    #: Instead of content: slug or id of a template. Of several channels each takes its own (``welcome.email``).
    template: str = ""
    locale: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Somebody whom a channel can not reach although nothing is wrong with the call."""

    index: int
    channel: str
    code: str
    detail: str
    user_id: str = ""


@dataclass(frozen=True, slots=True)
class _Target:
    """One message: to whom (the index in the call, the person if known), and where."""

    index: int
    channel: str
    address: str
    user_id: str
    context: Mapping[str, Any]
    locale: str = ""
    by_role: bool = False


def send(caller: Caller, call: SendCall) -> tuple[list[NotificationRecord], list[Skipped]]:
    """Accept every message of a call, or none; return the records, and who has no device. Needs the tenant's scope.

    Raises ``InvalidInput`` and ``ContentInvalid`` naming fields (``recipients.3.email``, ``content.sms.body``),
    ``Conflict`` if there is nothing to send with, ``TooManyRequests``, and ``Unavailable`` if nobody is reached and the
    tenant's own service did not say who somebody is.
    """
    contents = _contents(call)
    targets, skipped = _targets(call)
    if len(targets) > MAX_NOTIFICATIONS:
        message = f"Makes {len(targets)} notifications; at most {MAX_NOTIFICATIONS} are allowed in a call."
        raise InvalidInput.at("recipients", message)
    if not targets:
        asked = next((skip for skip in skipped if skip.code == _UNANSWERED), None)
        if asked:
            raise Unavailable(asked.detail, retry_after=OPEN_SECONDS)
        errors = {f"recipients.{skip.index}": [skip.detail] for skip in skipped[:_MAX_ERRORS]}
        raise InvalidInput("None of the recipients can be reached.", code="no_recipient", errors=errors)
    limits.admit(caller.required_tenant_id(), caller.mode, notifications=len(targets))
    news = [_new(call, contents, target) for target in targets]
    try:
        return accept_many(caller, news), skipped
    except (InvalidInput, ContentInvalid) as error:
        raise _explained(caller, call, targets, news) or error from None


def _contents(call: SendCall) -> dict[str, Mapping[str, Any]]:
    """Return the content of each channel."""
    for key in call.channels:
        channel_of(key)
    if call.template:
        return {key: {} for key in call.channels}
    keyed = call.content.keys() <= set(known_channels.keys()) and all(
        isinstance(value, Mapping) for value in call.content.values()
    )
    if len(call.channels) == 1 and not (keyed and call.channels[0] in call.content):
        return {call.channels[0]: call.content}
    errors: Errors = {}
    for key in call.channels:
        if not isinstance(call.content.get(key), Mapping):
            errors[f"content.{key}"] = [f"The content for channel {key!r} is required."]
    for key in call.content.keys() - set(call.channels):
        errors[f"content.{key}"] = ["Is none of the channels of this call."]
    _refuse(errors)
    return dict(call.content)


def _targets(call: SendCall) -> tuple[list[_Target], list[Skipped]]:
    """Return where everything goes, people resolved to their devices."""
    errors: Errors = {}
    targets: list[_Target] = []
    skipped: list[Skipped] = []
    for index, recipient in enumerate(call.recipients):
        if isinstance(recipient, Mapping):
            errors.update(_shape_errors(recipient, f"recipients.{index}"))
    roster = Roster() if errors else roster_of(call.recipients, call.channels)
    for index, recipient in enumerate(call.recipients):
        where = f"recipients.{index}"
        if isinstance(recipient, Mapping):
            if any(recipient.get(name) for name in NAMES):
                if errors:
                    continue
                for channel in call.channels:
                    reached, missed = _of_people(index, channel, recipient, roster)
                    targets += reached
                    skipped += missed
                continue
            for channel in call.channels:
                target = _target_of(index, channel, recipient)
                if target is None:
                    name = _ADDRESS_FIELDS.get(channel, channel)
                    errors.setdefault(f"{where}.{name}", [f"Required for channel {channel!r}."])
                else:
                    targets.append(target)
        elif not isinstance(recipient, str) or not recipient.strip():
            errors[where] = ['Must be an address, or an object such as {"email": …, "phone": …, "user_id": …}.']
        elif len(call.channels) > 1:
            errors[where] = ['With several channels a recipient is an object: {"email": …, "phone": …}.']
        else:
            # A push recipient may be a person: whoever has devices is one, the rest are tokens.
            user_id = recipient if call.channels[0] == PUSH else ""
            targets.append(_Target(index, call.channels[0], recipient, user_id, {}))
    _refuse(errors)
    resolved, without_device = _fan_out(targets)
    return _once(resolved), sorted([*skipped, *without_device], key=lambda skip: skip.index)


def _of_people(
    index: int, channel: str, recipient: Mapping[str, Any], roster: Roster
) -> tuple[list[_Target], list[Skipped]]:
    """Return where a message to whom a recipient names goes on a channel, and who is not reached and why."""
    name, role, context = id_in(recipient), recipient.get("role"), recipient.get("context") or {}
    given = recipient.get(channel) or (recipient.get(_ADDRESS_FIELDS.get(channel, channel)) if channel != INAPP else "")
    if name in roster.barred:
        return [], [Skipped(index, channel, "not_active", f"{name!r} is not active.", name)]
    people = roster.named(recipient)
    if not people and role:
        return [], [Skipped(index, channel, "nobody", f"Nobody has the role {role!r}.")]
    if not people:
        if given or channel in (PUSH, INAPP):  # of an unknown person we may have a device, and there is an inbox
            given = given or (name if channel == INAPP else "")
            return [_Target(index, channel, given, name, context, recipient.get("locale") or "")], []
        if name in roster.unanswered:
            return [], [Skipped(index, channel, _UNANSWERED, unanswered(name), name)]
        return [], [Skipped(index, channel, "unknown_user", f"{name!r} is unknown.", name)]
    targets: list[_Target] = []
    skipped: list[Skipped] = []
    for person in people:
        about = {"user": person.context, **context}
        locale = recipient.get("locale") or person.locale
        addresses = [given] if given and not role else roster.of(person, channel)
        targets += [
            _Target(index, channel, address, person.user_id, about, locale, bool(role)) for address in addresses
        ]
        if not addresses:
            code = "no_device" if channel == PUSH else "no_address"
            detail = f"{person.user_id!r} has no {'active device' if channel == PUSH else 'address'} on {channel!r}."
            skipped.append(Skipped(index, channel, code, detail, person.user_id))
    return targets, skipped


def _once(targets: Sequence[_Target]) -> list[_Target]:
    """Return targets without those who are reached by a role although they are named otherwise, too."""
    seen = {(target.channel, target.address) for target in targets if not target.by_role}
    once: list[_Target] = []
    for target in targets:
        key = (target.channel, target.address)
        if not target.by_role or key not in seen:
            once.append(target)
        seen.add(key)
    return once


def _target_of(index: int, channel: str, recipient: Mapping[str, Any]) -> _Target | None:
    address = recipient.get(channel) or recipient.get(_ADDRESS_FIELDS.get(channel, channel)) or ""
    user_id = recipient.get("user_id") or ""
    if not address and not (channel == PUSH and user_id):
        return None
    return _Target(index, channel, address, user_id, recipient.get("context") or {}, recipient.get("locale") or "")


def _shape_errors(recipient: Mapping[str, Any], where: str) -> Errors:
    addresses = {*known_channels.keys(), *_ADDRESS_FIELDS.values(), *NAMES, "locale"}
    errors: Errors = {}
    for name, value in recipient.items():
        if name == "context":
            if not isinstance(value, Mapping):
                errors[f"{where}.context"] = ["Must be an object."]
        elif name not in addresses:
            errors[f"{where}.{name}"] = [f"Unknown field; known: {', '.join(sorted(addresses))}, context."]
        elif not isinstance(value, str):
            errors[f"{where}.{name}"] = ["Must be a text."]
        elif name in (*NAMES, "locale") and (len(value) > 255 or not value.isprintable()):
            errors[f"{where}.{name}"] = ["Has at most 255 characters, none of them a control character."]
        elif name == "locale" and value:
            errors |= _locale_errors(value, f"{where}.{name}")
    return errors


def _locale_errors(tag: str, where: str) -> Errors:
    try:
        lookups.check_locale(tag, field=where)
    except InvalidInput as error:
        return error.errors
    return {}


def _fan_out(targets: Sequence[_Target]) -> tuple[list[_Target], list[Skipped]]:
    people = {target.user_id for target in targets if target.channel == PUSH and target.user_id}
    devices = devices_of(people) if people else {}
    barred = barred_among(devices.keys())
    resolved: list[_Target] = []
    skipped: list[Skipped] = []
    for target in targets:
        is_named = target.channel == PUSH and target.user_id in devices and target.address in ("", target.user_id)
        if is_named and target.user_id in barred:
            detail = f"{target.user_id!r} is not active."
            skipped.append(Skipped(target.index, PUSH, "not_active", detail, target.user_id))
        elif is_named:
            resolved += [
                _Target(
                    target.index, PUSH, device.token, target.user_id, target.context, target.locale or device.locale
                )
                for device in devices[target.user_id]
            ]
        elif target.address:
            # What is no person's id is a token, and nobody knows whose.
            is_token = target.channel == PUSH and target.address == target.user_id
            resolved.append(replace(target, user_id="") if is_token else target)
        else:
            detail = f"No active device of {target.user_id!r} is registered."
            skipped.append(Skipped(target.index, PUSH, "no_device", detail, target.user_id))
    return resolved, skipped


def _new(call: SendCall, contents: Mapping[str, Mapping[str, Any]], target: _Target) -> NewRecord:
    return NewRecord(
        channel=target.channel,
        recipient=target.address,
        content=contents[target.channel],
        context={**call.context, **target.context},
        metadata=call.metadata,
        lane=call.lane,
        scheduled_at=call.scheduled_at,
        expires_at=call.expires_at,
        template=call.template,
        locale=target.locale or call.locale,
        user_id=target.user_id,
    )


def _explained(
    caller: Caller, call: SendCall, targets: Sequence[_Target], news: Sequence[NewRecord]
) -> ServiceError | None:
    """Return what is wrong with each message, by its place in the call; None if it is nothing of a single one."""
    errors: Errors = {}
    kind: type[ServiceError] | None = None
    now = timezone.now()
    for target, new in zip(targets, news, strict=True):
        try:
            build_record(caller, new, now)
        except (InvalidInput, ContentInvalid) as error:
            kind = kind or type(error)
            for name, messages in error.errors.items():
                errors.setdefault(_place(call, target, name), messages)
        if len(errors) >= _MAX_ERRORS:
            break
    if kind is None:
        return None
    where, messages = next(iter(errors.items()))
    return kind(f"{where}: {messages[0]}", errors=errors)


def _place(call: SendCall, target: _Target, name: str) -> str:
    """Return the field of the call that a field of one of its records comes from."""
    if name == "recipient":
        if not isinstance(call.recipients[target.index], Mapping):
            return f"recipients.{target.index}"
        given = call.recipients[target.index]
        own = target.channel if given.get(target.channel) else _ADDRESS_FIELDS.get(target.channel, target.channel)
        return f"recipients.{target.index}.{own}"
    if name.startswith("context."):
        return f"recipients.{target.index}.{name}"
    if name in ("scheduled_at", "expires_at", "template"):
        return name
    return f"content.{target.channel}.{name}" if len(call.channels) > 1 else f"content.{name}"


def _refuse(errors: Errors) -> None:
    if errors:
        shown = dict(list(errors.items())[:_MAX_ERRORS])
        where, messages = next(iter(shown.items()))
        raise InvalidInput(f"{where}: {messages[0]}", errors=shown)
