"""Known events, a data file each in ``known/``: what they are, what their payload holds, what happens by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson
from jsonschema import Draft202012Validator

from notification_service.lib.errors import InvalidInput
from notifications.events.quick_schema import Check, quick_check

_DIRECTORY: Final = Path(__file__).parent / "known"
_MAX_ERRORS: Final = 20


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """An event that the service knows without being told.

    ``schema`` is the JSON Schema (2020-12) of the payload, ``secret`` names its fields that are never stored in clear,
    ``channels`` are recommended ones in order, ``priority`` is a lane, ``templates`` the words by channel, ``defaults``
    values for placeholders that the payload may leave out.
    """

    type: str
    description: str
    schema: Mapping[str, Any]
    secret: tuple[str, ...]
    channels: tuple[str, ...]
    priority: str
    templates: Mapping[str, Mapping[str, Any]]
    defaults: Mapping[str, Any]
    example: Mapping[str, Any]
    validator: Draft202012Validator
    #: Says True only for payloads that fit: the validator has the last word.
    fits: Check


@cache
def known_events() -> Mapping[str, KnownEvent]:
    """Return all known events by type, in order of their names."""
    found = {}
    for path in sorted(_DIRECTORY.glob("*.json")):
        data = orjson.loads(path.read_bytes())
        schema = data["schema"]
        Draft202012Validator.check_schema(schema)
        found[data["type"]] = KnownEvent(
            type=data["type"],
            description=data["description"],
            schema=schema,
            secret=tuple(data["secret"]),
            channels=tuple(data["channels"]),
            priority=data["priority"],
            templates=data["templates"],
            defaults=data["defaults"],
            example=data["example"],
            validator=Draft202012Validator(schema),
            fits=quick_check(schema),
        )
    return found


def check_payload(event_type: str, payload: Mapping[str, Any]) -> None:
    """Raise ``InvalidInput`` naming the fields in which the payload of a known event is wrong; others are free."""
    known = known_events().get(event_type)
    if known is None or known.fits(payload) or known.validator.is_valid(payload):
        return
    errors: dict[str, list[str]] = {}
    for error in known.validator.iter_errors(payload):
        if error.validator == "required":
            missing = [name for name in error.validator_value if name not in error.instance]
            for name in missing:
                errors[_place(error.absolute_path, name)] = ["This field is required."]
        else:
            # Its own message repeats the value, which may be a secret.
            limit = orjson.dumps(error.validator_value, default=str).decode()[:100]
            errors[_place(error.absolute_path)] = [f"Does not fit the event's schema: {error.validator} {limit}."]
        if len(errors) >= _MAX_ERRORS:
            break
    where, messages = next(iter(errors.items()))
    raise InvalidInput(f"{where}: {messages[0]}", errors=errors)


def _place(path: Any, *more: str) -> str:
    return ".".join(["payload", *map(str, path), *more])
