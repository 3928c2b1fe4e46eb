"""A quick yes for payloads that fit a JSON Schema. Whatever is not a plain yes is left to the real validator.

The ordinary payload fits, and a check of it by ``jsonschema`` costs more than writing its row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

Check = Callable[[Any], bool]

_SIMPLE: Final[Mapping[str, Check]] = {
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
}
_IGNORED: Final = frozenset({"$schema", "title", "description"})


def quick_check(schema: Mapping[str, Any]) -> Check:
    """Return what says True only for values that fit the schema. It may say False for some that fit, too."""
    kind, rest = schema.get("type"), schema.keys() - _IGNORED - {"type"}
    if kind == "object" and rest <= {"properties", "required"}:
        inner = {name: quick_check(each) for name, each in schema.get("properties", {}).items()}
        return _object(inner, tuple(schema.get("required", ())))
    if kind == "string" and rest <= {"maxLength"}:
        longest = schema.get("maxLength")
        return lambda value: isinstance(value, str) and (longest is None or len(value) <= longest)
    if kind == "string" and rest == {"enum"}:
        allowed = frozenset(schema["enum"])
        return lambda value: isinstance(value, str) and value in allowed
    if isinstance(kind, str) and kind in _SIMPLE and not rest:
        return _SIMPLE[kind]
    return lambda value: False


def _object(properties: Mapping[str, Check], required: tuple[str, ...]) -> Check:
    def check(value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        for name in required:
            if name not in value:
                return False
        for name, item in value.items():
            inner = properties.get(name)
            if inner is not None and not inner(item):
                return False
        return True

    return check
