"""Fields that several rooms' serializers have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import orjson
from rest_framework import serializers

_MAX_JSON = 256 * 1024
#: A null character, which PostgreSQL's jsonb can not hold, in JSON: an escape that is not itself escaped.
_NULL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def _check_kept(value: Any, max_bytes: int | None = None) -> None:
    """Raise ``ValidationError`` for a JSON value that the database can not keep, or that is too large."""
    try:
        dumped = orjson.dumps(value)
    except TypeError:
        raise serializers.ValidationError("Is nested too deeply.") from None
    if max_bytes and len(dumped) > max_bytes:
        raise serializers.ValidationError(f"Must be smaller than {max_bytes // 1024} KB.")
    if b"\\u0000" in dumped and _NULL.search(dumped):
        raise serializers.ValidationError("Null characters are not allowed.")


class JsonValue(serializers.JSONField):
    """Any JSON value that the database can keep: no null characters, at most 254 levels deep."""

    def to_internal_value(self, data: Any) -> Any:
        value = super().to_internal_value(data)
        _check_kept(value)
        return value


class JsonObject(serializers.DictField):
    """A JSON object that the database can keep: no null characters, at most 254 levels deep."""

    max_bytes: int | None = None

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        value: dict[str, Any] = super().to_internal_value(data)
        _check_kept(value, self.max_bytes)
        return value


class SmallObject(JsonObject):
    """A JSON object of at most 256 KB."""

    max_bytes = _MAX_JSON


class ClosedSerializer(serializers.Serializer[Any]):
    """An object of known fields: a misspelt one is refused by its name, and never silently left out."""

    #: Names that may stand there and say nothing.
    ignored: ClassVar[frozenset[str]] = frozenset()

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            known = ", ".join(self.fields)
            unknown = [str(name) for name in data if name not in self.fields and name not in self.ignored]
            if unknown:
                raise serializers.ValidationError({name[:64]: [f"Unknown field; known: {known}."] for name in unknown})
        return super().to_internal_value(data)
