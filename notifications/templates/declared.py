"""Placeholders that a template declares: their types, samples and defaults."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from notification_service.lib.errors import InvalidInput
from notifications.channels.base import ContentError
from notifications.channels.placeholders import NAME, Placeholder
from notifications.templates.language.values import FilterError, as_moment, as_number

MAX_DECLARED: Final = 500
_URL = re.compile(r"(?:https?://[^\s/?#@\\]+(?:[/?#]\S*)?|(?:mailto|tel):[^\s]+)", re.IGNORECASE)
_BRACES = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_KEYS: Final = ("name", "type", "sample", "required", "default", "description")


def _number(value: Any) -> bool:
    try:
        as_number(value)
    except FilterError:
        return False
    return True


def _date(value: Any) -> bool:
    try:
        as_moment(value)
    except FilterError:
        return False
    return True


#: What a value of each type must be like.
TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "string": lambda value: not isinstance(value, list | Mapping),
    "number": _number,
    "date": _date,
    "boolean": lambda value: isinstance(value, bool),
    "url": lambda value: isinstance(value, str) and len(value) <= 2048 and _URL.fullmatch(value) is not None,
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, Mapping),
}
_EXAMPLES: Final[Mapping[str, Any]] = {
    "number": 3,
    "date": "2026-12-24",
    "boolean": True,
    "url": "https://example.com/",
    "list": [],
    "object": {},
}


@dataclass(frozen=True, slots=True)
class Declared:
    """A placeholder: ``required`` false and no ``default`` means that nothing stands there where there is no value."""

    name: str
    type: str = ""
    sample: Any = None
    required: bool = True
    default: Any = None
    description: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as it is kept and shown."""
        return {
            "name": self.name,
            "type": self.type or "string",
            "sample": self.sample,
            "required": self.required,
            "default": self.default,
            **({"description": self.description} if self.description else {}),
        }

    def example(self, guess: Any = None) -> Any:
        """Return a value to show it with; ``guess`` is better than what its type alone says."""
        known = (self.sample, self.default, guess, _EXAMPLES.get(self.type))
        return next((value for value in known if value is not None), self.name)


def read_declared(given: Sequence[Any]) -> list[Declared]:
    """Read ``["{{name}}"]``, ``["name"]`` and ``[{"name": …, "type": …}]``. Raises ``InvalidInput`` by index."""
    if len(given) > MAX_DECLARED:
        _refuse("placeholders", f"At most {MAX_DECLARED} are allowed.")
    found: dict[str, Declared] = {}
    for index, each in enumerate(given):
        one = _read(each, f"placeholders.{index}")
        if one.name in found:
            _refuse(f"placeholders.{index}", f"{one.name!r} is declared twice.")
        found[one.name] = one
    return list(found.values())


def _read(given: Any, where: str) -> Declared:
    entry: Mapping[str, Any] = {"name": given} if isinstance(given, str) else given
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        _refuse(where, 'Must be a name, or an object such as {"name": "amount", "type": "number", "sample": 5}.')
    if unknown := [str(key) for key in entry if key not in _KEYS]:
        _refuse(where, f"Unknown field {unknown[0]!r}; known: {', '.join(_KEYS)}.")
    name = entry["name"].strip()
    if braces := _BRACES.fullmatch(name):
        name = braces[1].partition("|")[0].strip()
    if not NAME.fullmatch(name) or len(name) > 200:
        _refuse(where, f"{name[:60]!r} is not the name of a placeholder.")
    kind, required = entry.get("type") or "", entry.get("required", True)
    if kind and (not isinstance(kind, str) or kind not in TYPES):
        _refuse(where, f"Unknown type {kind!r}; known: {', '.join(TYPES)}.")
    if not isinstance(required, bool):
        _refuse(where, "required must be true or false.")
    description = entry.get("description") or ""
    if not isinstance(description, str) or len(description) > 500:
        _refuse(where, "The description is a text of at most 500 characters.")
    for part in ("sample", "default"):
        if kind and entry.get(part) is not None and not TYPES[kind](entry[part]):
            _refuse(where, f"The {part} of {name!r} is not of type {kind}.")
    return Declared(name, kind, entry.get("sample"), required, entry.get("default"), description)


class Checks:
    """What a version demands of the values it is filled in with."""

    def __init__(self, declared: Sequence[Mapping[str, Any]]) -> None:
        self._typed = [
            (Placeholder(each["name"]), each["type"]) for each in declared if each["type"] not in ("", "string")
        ]
        self._filled = [
            (Placeholder(each["name"]), each["default"]) for each in declared if each["default"] is not None
        ]
        #: Names that nobody needs to give a value.
        self.optional = frozenset(
            each["name"] for each in declared if not each["required"] or each["default"] is not None
        )

    def completed(self, context: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a context with its defaults. Raises ``ContentError`` for a value of the wrong type."""
        for placeholder, kind in self._typed:
            value = placeholder.find(context)
            if value is not None and not TYPES[kind](value):
                message = f"The value for placeholder '{placeholder.name}' is not of type {kind}."
                raise ContentError(message, field="context", placeholder=placeholder.name)
        missing = {each.name: value for each, value in self._filled if each.find(context) is None}
        return {**context, **missing} if missing else context


def _refuse(place: str, message: str) -> NoReturn:
    raise InvalidInput.at(place, message)
