"""Placeholders: ``{{ name }}`` in a text, found once and filled in by a string join.

A name is made of letters (of any script), digits and underscores, with hyphens or inner spaces between them, and may be
a dotted path into nested objects and lists: ``{{ user.name }}``, ``{{ items.0.title }}``, ``{{ Candidate Name }}``.
A key that holds the whole dotted name wins over the path. Only mappings and lists are looked into, never attributes,
and values are never searched for placeholders.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, time
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar, TypeAlias
from uuid import UUID

from notifications.channels.base import ContentError

_SEGMENT = r"\w+(?:(?: +|-)\w+)*"
NAME = re.compile(rf"{_SEGMENT}(?:\.{_SEGMENT})*")
#: Longest sources that the two caches keep, in characters: many short ones, few long ones, and no longer ones.
_SHORT, _LONG = 4_096, 262_144
_SHOWN = 60


class Placeholder:
    """A name between braces."""

    __slots__ = ("_path", "key", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        #: Placeholders with the same key have the same value.
        self.key = name
        self._path = tuple(name.split(".")) if "." in name else ()

    def find(self, context: Mapping[str, Any]) -> Any:
        """Return the value, or ``None`` if there is none."""
        value = context.get(self.name)
        if value is not None or not self._path:
            return value
        value = context
        for key in self._path:
            if isinstance(value, Mapping):
                value = value.get(key)
            elif isinstance(value, list | tuple) and key.isascii() and key.isdigit() and len(key) < 10:
                value = value[int(key)] if int(key) < len(value) else None
            else:
                return None
        return value


class Text:
    """A compiled text: literal parts and placeholders in turn."""

    __slots__ = ("_literal", "_slots", "cached", "field", "parts", "placeholders")

    #: Whether ``parts`` say all: what stands between the placeholders is the same in every message.
    is_fixed: ClassVar[bool] = True

    def __init__(self, parts: tuple[str | Placeholder, ...], field: str, *, cached: bool = False) -> None:
        self.parts = parts
        self.field = field
        #: Whether the same source gives this very object again.
        self.cached = cached
        # Every name is looked up and escaped once, however often it is used.
        slots: dict[str, tuple[Placeholder, list[int]]] = {}
        for index, part in enumerate(parts):
            if isinstance(part, Placeholder):
                slots.setdefault(part.key, (part, []))[1].append(index)
        self._slots = tuple(slots.values())
        self._literal = [part if isinstance(part, str) else "" for part in parts]
        #: Names of the placeholders, as written, in order of appearance.
        self.placeholders: tuple[str, ...] = tuple(dict.fromkeys(part.name for part, _ in self._slots if part.name))

    @property
    def is_constant(self) -> bool:
        """Whether it is the same in every message: ``parts`` hold nothing but text."""
        return self.is_fixed and not self._slots

    def render(self, context: Mapping[str, Any], escape: Callable[[str], str] | None = None) -> str:
        """Fill in the values, each passed through ``escape``. Raises ``ContentError`` naming the placeholder."""
        out = self._literal.copy()
        for placeholder, places in self._slots:
            value = placeholder.find(context)
            text = value if type(value) is str else self._as_text(placeholder.name, value)
            if escape:
                text = escape(text)
            for index in places:
                out[index] = text
        return "".join(out)

    def _as_text(self, name: str, value: Any) -> str:
        if value is None:
            raise ContentError(
                f"Missing value for placeholder '{name}' in {self.field}.", field=self.field, placeholder=name
            )
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int | float | Decimal | date | time | UUID):
            return str(value)
        kind = "a list" if isinstance(value, list | tuple) else "an object"
        raise ContentError(
            f"The value for placeholder '{name}' in {self.field} is {kind}, not a text or a number.",
            field=self.field,
            placeholder=name,
        )


#: Turns the source of a field into a text: (source, field) → text. Raises ``ContentError``.
TextCompiler: TypeAlias = Callable[[str, str], Text]


def compile_text(source: str, field: str) -> Text:
    """Find the placeholders of a text. Raises ``ContentError`` with the position of one that is malformed."""
    if len(source) <= _SHORT:
        return _compile_short(source, field)
    return _compile_long(source, field) if len(source) <= _LONG else _compile(source, field)


def _compile(source: str, field: str) -> Text:
    parts: list[str | Placeholder] = []
    done = 0
    while (start := source.find("{{", done)) >= 0:
        end = source.find("}}", start + 2)
        if end < 0:
            raise ContentError(
                f"The placeholder at position {start + 1} in {field} is not closed: '}}}}' is missing.", field=field
            )
        name = source[start + 2 : end].strip()
        if not NAME.fullmatch(name):
            shown = source[start : end + 2]
            shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
            raise ContentError(f"Malformed placeholder {shown!r} at position {start + 1} in {field}.", field=field)
        if start > done:
            parts.append(source[done:start])
        parts.append(Placeholder(name))
        done = end + 2
    if done < len(source):
        parts.append(source[done:])
    return Text(tuple(parts), field, cached=len(source) <= _LONG)


_compile_short = lru_cache(maxsize=2048)(_compile)
_compile_long = lru_cache(maxsize=128)(_compile)
