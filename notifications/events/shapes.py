"""What an event looks like when it comes in: one form for all doors, and the two shapes that Kafka brings.

Flat: ``{"event_type", "tenant_id", "employee_details": {…}, "value": 100}``; what is no field of ours is the payload.
Structured: ``{"event_type", "tenant_id", "user_id"?, "timestamp", "payload": {…}, "metadata": {…}}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import orjson

from notification_service.lib.errors import InvalidInput
from notifications.events.models import MAX_CLIENT_ID, MAX_TYPE

#: Longest message in bytes, as for requests of this kind.
MAX_BYTES: Final = 256 * 1024
_MAX_DEPTH: Final = 32
#: A null character in JSON: an escape that is not itself escaped.
_NULL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
#: Each field of ours under every name that it may come by.
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "type": ("event_type", "type", "eventType"),
    "tenant": ("tenant_id", "tenantId", "project_id", "projectId"),
    "client_event_id": ("event_id", "eventId", "client_event_id", "clientEventId"),
    "user_id": ("user_id", "userId"),
    "timestamp": ("timestamp",),
    "source": ("source",),
    "metadata": ("metadata",),
    "caused_by": ("caused_by", "causedBy"),
}
_FIELD_OF: Final = {alias: name for name, aliases in _NAMES.items() for alias in aliases}
#: The fields by which a repetition is known.
KNOWN_BY: Final = frozenset(_NAMES["client_event_id"])
#: Stays in the payload too: words may want it.
_KEPT: Final = frozenset({"user_id", "userId"})
_TAKEN: Final = _FIELD_OF.keys() - _KEPT
#: Under which names a payload names the event's own person.
_PERSON: Final = ("user_id", "userId", "external_user_id", "employee_id")


@dataclass(slots=True)
class NewEvent:
    """An event as it was sent. ``id`` is chosen where a repetition must be known by its place (Kafka)."""

    type: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    user_id: str = ""
    source: str = ""
    client_event_id: str | None = None
    timestamp: datetime | None = None
    caused_by: UUID | None = None
    mode: str = "live"
    id: UUID | None = None


def read_message(value: bytes | None, *, source: str, id: UUID | None = None) -> tuple[str, NewEvent]:
    """Return the tenant's name for itself, and the event of a message. Raises ``InvalidInput`` naming what is wrong."""
    if not value:
        raise InvalidInput("The message is empty.", code="empty")
    if len(value) > MAX_BYTES:
        raise InvalidInput(f"The message has {len(value)} bytes; at most {MAX_BYTES} are allowed.", code="too_large")
    try:
        body = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The message is no JSON: {error.msg} at character {error.pos}.", code="not_json") from None
    if not isinstance(body, dict):
        raise InvalidInput("The message is no JSON object.", code="not_json")
    # What the database can not hold is looked for in the text at once; the ordinary message has nothing of the kind.
    if (b"u0000" in value and _NULL.search(value)) or value.count(b"{") + value.count(b"[") > _MAX_DEPTH:
        check_storable(body)
    return read_object(body, source=source, id=id)


def read_object(body: Mapping[str, Any], *, source: str, id: UUID | None = None) -> tuple[str, NewEvent]:
    """Return the tenant's name for itself, and the event of an object of either shape. Raises ``InvalidInput``."""
    found: dict[str, Any] = dict.fromkeys(_NAMES)
    for alias in body:
        if (name := _FIELD_OF.get(alias)) is not None:
            found[name] = body[alias] if found[name] is None else _first(body, _NAMES[name])
    payload = body.get("payload")
    if not isinstance(payload, dict):
        payload = {key: item for key, item in body.items() if key not in _TAKEN}
    metadata = found["metadata"] or {}
    if not isinstance(metadata, dict):
        raise _wrong("metadata", "Must be an object.")
    new = NewEvent(
        type=_text("event_type", found["type"], MAX_TYPE, required=True),
        payload=payload,
        metadata=metadata,
        user_id=_text("user_id", found["user_id"], 255) or user_of(payload),
        source=_text("source", found["source"], 100) or source[:100],
        client_event_id=_text("event_id", found["client_event_id"] or metadata.get("event_id"), MAX_CLIENT_ID) or None,
        timestamp=_moment(found["timestamp"]),
        caused_by=_uuid("caused_by", found["caused_by"] or metadata.get("caused_by")),
        id=id,
    )
    tenant = _text("tenant_id", found["tenant"], 255, required=True)
    return tenant, new


def user_of(payload: Mapping[str, Any]) -> str:
    """Return the id of the event's own person that a payload names, or nothing."""
    for name in _PERSON:
        if name in payload:
            value = payload[name]
            if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
                return str(value)[:255]
    return ""


def _first(body: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if name in body:
            return body[name]
    return None


def check_storable(parts: Mapping[str, Any]) -> None:
    """Raise ``InvalidInput`` for JSON that the database can not hold, or that is more than one event may say.

    Null characters, halves of characters, depth, and length: the same as of a message of Kafka, for all parts together.
    """
    room = MAX_BYTES
    for name, value in parts.items():
        try:
            dumped = orjson.dumps(value)
        except TypeError:
            raise _wrong(name, "Has a character that is not valid Unicode, or is nested too deeply.") from None
        room -= len(dumped)
        if room < 0:
            raise _wrong(name, f"Makes the event longer than {MAX_BYTES} bytes.")
        if _NULL.search(dumped):
            raise _wrong(name, "Null characters are not allowed.")
        if _depth(value) > _MAX_DEPTH:
            raise _wrong(name, f"Is nested deeper than {_MAX_DEPTH} levels.")


def _depth(value: Any) -> int:
    """How deep JSON is nested, found level by level; not further than it may be."""
    level, depth = [value], 0
    while level and depth <= _MAX_DEPTH:
        children = [each.values() if isinstance(each, Mapping) else each for each in level]
        level = [item for items in children for item in items if isinstance(item, dict | list)]
        depth += 1
    return depth


def _text(name: str, value: Any, most: int, *, required: bool = False) -> str:
    if type(value) is str and 0 < len(value) <= most and "\x00" not in value:
        return value
    if value is None or value == "":
        if required:
            raise _wrong(name, "This field is required.")
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _wrong(name, "Must be a text.")
    text = str(value)
    if len(text) > most or "\x00" in text:
        raise _wrong(name, f"Has at most {most} characters, none of them null.")
    return text


def _uuid(name: str, value: Any) -> UUID | None:
    if value is None or value == "":
        return None
    try:
        return UUID(str(value))
    except ValueError:
        raise _wrong(name, "Must be a UUID.") from None


def _moment(value: Any) -> datetime | None:
    """ISO 8601, or seconds or milliseconds since the epoch."""
    if value is None or value == "":
        return None
    try:
        if type(value) is not str and isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, tz=UTC)
        moment = datetime.fromisoformat(str(value))
        # An hour before the year 1, or after 9999, could be stored, and never be read again.
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        raise _wrong("timestamp", "Must be a time in ISO 8601, or seconds since 1970.") from None


def _wrong(name: str, message: str) -> InvalidInput:
    return InvalidInput.at(name, message)
