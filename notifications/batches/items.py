"""Items of a batch: each checked by itself, so that one that is wrong costs nobody else anything."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from notification_service.lib.errors import ContentInvalid, InvalidInput, ServiceError
from notification_service.lib.ids import new_id
from notifications.batches.checking import MAX_CONTEXT
from notifications.batches.people import addresses_by_user, heed_preferences
from notifications.batches.words import Words, words_of
from notifications.channels.base import ContentError
from notifications.channels.registry import channels
from notifications.credentials.services import require_credential
from notifications.recipients.services import PUSH
from notifications.records.bulk import Row, Shared
from notifications.records.categories import categorised
from notifications.records.intake import channel_of, check_times, due_and_deadline
from notifications.records.states import Lane
from notifications.templates import lookups
from tenants.callers import Caller
from tenants.limits import default_region

#: Under which other name than ``recipient`` an item may give its address, by channel.
ADDRESS_FIELDS: Final[Mapping[str, str]] = {
    "email": "email",
    "sms": "phone",
    "whatsapp": "phone",
    "push": "token",
    "inapp": "user_id",
}
_TEXTS: Final = ("channel", "recipient", "email", "phone", "token", "user_id", "template", "locale", "lane")
_OBJECTS: Final = ("content", "context", "metadata")
_TIMES: Final = ("scheduled_at", "expires_at")
FIELDS: Final = frozenset({*_TEXTS, *_OBJECTS, *_TIMES})
_LONGEST: Final = {"user_id": 255, "locale": 35}
#: A null character in JSON, which PostgreSQL's jsonb can not hold: an escape that is not itself escaped.
_NULL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
#: Octets of one item.
MAX_ITEM: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why an item was refused: its place in the call, the field at fault, a code and a sentence."""

    index: int
    field: str
    code: str
    detail: str


@dataclass(slots=True)
class Checked:
    """What a call came to: rows to be written, in groups that share what they share, and the items refused."""

    groups: list[tuple[Shared, list[Row]]]
    errors: list[ItemError]
    accepted: int

    @property
    def notifications(self) -> int:
        """How many records the rows will be."""
        return sum(len(rows) for _, rows in self.groups)


class _Refused(Exception):
    def __init__(self, field: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.field, self.code, self.detail = field, code, detail


@dataclass(slots=True)
class ItemChecker:
    """Checks the items of one call. ``defaults`` are fields for every item; an item's own win, contexts are merged."""

    caller: Caller
    batch_id: UUID
    defaults: Mapping[str, Any]
    now: datetime = field(default_factory=timezone.now)
    _words: dict[tuple[str, int, str], Words] = field(default_factory=dict)
    _unusable: dict[str, _Refused] = field(default_factory=dict)
    _groups: dict[tuple[Any, ...], tuple[Shared, list[Row]]] = field(default_factory=dict)
    #: By channel, where people are reached who are named by their ids.
    _people: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def check(self, items: Sequence[Any]) -> Checked:
        """Check every item. Needs the tenant's scope. Raises what is wrong with the defaults themselves."""
        errors: list[ItemError] = []
        accepted = 0
        self._look_up(items)
        region = default_region(self.caller.required_tenant_id())
        for index, item in enumerate(items):
            try:
                self._take(item, region)
                accepted += 1
            except _Refused as refused:
                errors.append(ItemError(index, refused.field, refused.code, refused.detail))
        groups = [(shared, heed_preferences(shared, rows)) for shared, rows in self._groups.values()]
        return Checked(groups, errors, accepted)

    def _look_up(self, items: Sequence[Any]) -> None:
        """Find where everybody is reached who is named by an id alone, one query a channel."""
        wanted: dict[str, set[str]] = {}
        for item in items:
            if isinstance(item, Mapping) and isinstance(user_id := item.get("user_id"), str):
                key = item.get("channel", self.defaults.get("channel"))
                if isinstance(key, str) and key in channels and not _address_field(key, item):
                    wanted.setdefault(key, set()).add(user_id)
        self._people = {key: addresses_by_user(user_ids, key) for key, user_ids in wanted.items()}

    def _take(self, item: Any, region: str | None) -> None:
        own = _well_formed(item)
        both = {**self.defaults, **own}
        key = both.get("channel") or ""
        words = self._words_of(key, both, own)
        context = {**self.defaults.get("context", {}), **own.get("context", {})}
        user_id, locale = both.get("user_id", ""), both.get("locale", "")
        addresses = self._addresses(key, own, region)
        try:
            words.prove(context, locale)
        except ContentError as error:
            where = f"context.{error.placeholder}" if error.placeholder else error.field
            raise _Refused(where, "content_error", error.message) from None
        shared, rows = self._group(key, both)
        content = words.content if words.content != shared.content else None
        version = words.template_version_id
        metadata = own.get("metadata")
        if words.category and (metadata is not None or "category" not in shared.metadata):
            metadata = categorised(shared.metadata if metadata is None else metadata, words.category)
        owner = channels.get(key).user_id_of
        rows.extend(
            Row(new_id(), address, context, user_id or owner(address), locale, content, metadata, version)
            for address in addresses
        )

    def _words_of(self, key: str, both: Mapping[str, Any], own: Mapping[str, Any]) -> Words:
        """Return the words of an item; those of the defaults are compiled once."""
        if key in self._unusable:
            raise self._unusable[key]
        if not key:
            raise _Refused("channel", "invalid", "Name a channel.")
        # An item's own template or content replaces that of the defaults, whichever it was.
        source = own if "template" in own or "content" in own else self.defaults
        content, template = source.get("content"), source.get("template") or ""
        remembered = (key, id(self.defaults) if source is self.defaults else 0, template)
        if remembered in self._words and (source is self.defaults or not content):
            return self._words[remembered]
        try:
            channel_of(key)
            require_credential(key, self.caller.mode)
        except ServiceError as error:
            self._unusable[key] = _refusal(error, "channel")
            raise self._unusable[key] from None
        try:
            words = words_of(key, content=content, template=template)
        except (InvalidInput, ContentInvalid) as error:
            raise _refusal(error, "content") from None
        if source is self.defaults or not content:
            self._words[remembered] = words
        return words

    def _addresses(self, key: str, own: Mapping[str, Any], region: str | None) -> list[str]:
        name = _address_field(key, own)
        if not name:
            user_id = own.get("user_id")
            if not user_id:
                raise _Refused("recipient", "invalid", f"Name the recipient for channel {key!r}.")
            found = self._people.get(key, {}).get(user_id)
            if found:
                return found
            if key == PUSH:
                raise _Refused("user_id", "no_device", f"No active device of {user_id!r} is registered.")
            raise _Refused("user_id", "no_address", f"No address of {user_id!r} is known for channel {key!r}.")
        try:
            return [channels.get(key).normalise_address(own[name], region=region)]
        except ContentError as error:
            raise _Refused(name, "invalid", error.message) from None

    def _group(self, key: str, both: Mapping[str, Any]) -> tuple[Shared, list[Row]]:
        lane, scheduled_at, expires_at = (
            both.get("lane") or Lane.NORMAL,
            both.get("scheduled_at"),
            both.get("expires_at"),
        )
        group = (key, str(lane), scheduled_at, expires_at)
        if group not in self._groups:
            try:
                check_times(scheduled_at, expires_at, self.now)
            except InvalidInput as error:
                raise _refusal(error, "scheduled_at") from None
            status, due_at, deadline = due_and_deadline(lane, scheduled_at, expires_at, self.now)
            default = self._words.get((key, id(self.defaults), self.defaults.get("template") or ""))
            self._groups[group] = (
                Shared(
                    channel=key,
                    due_at=due_at,
                    expires_at=deadline,
                    content=default.content if default else {},
                    metadata=self.defaults.get("metadata", {}),
                    lane=str(lane),
                    mode=self.caller.mode,
                    status=status,
                    batch_id=self.batch_id,
                    created_by=self.caller.actor_label or self.caller.actor_id,
                ),
                [],
            )
        return self._groups[group]


def _address_field(key: str, item: Mapping[str, Any]) -> str:
    """Return the name under which an item gives its address, or an empty text."""
    return next((name for name in ("recipient", ADDRESS_FIELDS.get(key, "recipient")) if item.get(name)), "")


def _well_formed(item: Any) -> dict[str, Any]:
    """Return an item with fields of the right types only; times become datetimes."""
    if not isinstance(item, Mapping):
        raise _Refused("", "invalid", "Must be an object.")
    try:
        raw = orjson.dumps(item)
    except TypeError:
        raise _Refused("", "invalid", "Is nested too deeply.") from None
    if len(raw) > MAX_ITEM:
        raise _Refused("", "invalid", f"Must be smaller than {MAX_ITEM // 1024} KB.")
    if b"u0000" in raw and _NULL.search(raw):
        raise _Refused("", "invalid", "Null characters are not allowed.")
    for name in item.keys() - FIELDS:
        raise _Refused(name, "invalid", f"Unknown field; known: {', '.join(sorted(FIELDS))}.")
    own = {name: value for name, value in item.items() if value is not None}
    for name, value in own.items():
        if name in _OBJECTS:
            if not isinstance(value, Mapping):
                raise _Refused(name, "invalid", "Must be an object.")
        elif not isinstance(value, str) or len(value) > _LONGEST.get(name, MAX_CONTEXT):
            raise _Refused(name, "invalid", f"Must be a text of at most {_LONGEST.get(name, MAX_CONTEXT)} characters.")
    try:
        if "lane" in own:
            lookups.check("lane", own["lane"])
        if own.get("locale"):
            lookups.check_locale(own["locale"])
    except InvalidInput as error:
        ((name, messages),) = error.errors.items()
        raise _Refused(name, "invalid", messages[0]) from None
    for name in _TIMES:
        if name in own:
            own[name] = _time(name, own[name])
    return own


def _time(name: str, text: str) -> datetime:
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise _Refused(name, "invalid", "Must be a time such as 2026-12-24T18:00:00Z.")
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


def _refusal(error: ServiceError, otherwise: str) -> _Refused:
    where, messages = next(iter(error.errors.items()), (otherwise, [error.message]))
    return _Refused(where, error.error_code, messages[0])
