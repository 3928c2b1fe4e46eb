"""Content that is a JSON tree: its shape checked by a pydantic model, its texts compiled, its values filled in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

from notifications.channels.base import ContentError
from notifications.channels.placeholders import Text, TextCompiler

#: A tree whose texts with placeholders are compiled; everything else is as it was.
Node: TypeAlias = "Text | dict[str, Node] | list[Node] | str | int | float | bool | None"

_SURROGATE = re.compile(r"[\ud800-\udfff]")


def validated(model: type[BaseModel], content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are set, checked against ``model``. Raises ``ContentError`` naming the first bad field."""
    try:
        return model.model_validate(dict(content)).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "content"
        known = ""
        if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
            known = f" The fields are {', '.join(model.model_fields)}."
        message = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise ContentError(f"{name}: {message}.{known}", field=name) from None


def compile_tree(value: Any, field: str, texts: TextCompiler) -> Node:
    """Compile every text of a JSON tree (keys are left alone). Raises ``ContentError``."""
    if isinstance(value, str):
        text = texts(value, field)
        return "".join(map(str, text.parts)) if text.is_constant else text
    if isinstance(value, Mapping):
        return {
            str(key): compile_tree(item, f"{field}.{key}" if field else str(key), texts) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [compile_tree(item, f"{field}.{index}", texts) for index, item in enumerate(value)]
    return value  # type: ignore[no-any-return]


def render_tree(node: Node, context: Mapping[str, Any], escape: Callable[[str], str] | None = None) -> Any:
    """Return the tree with its placeholders filled in. Raises ``ContentError`` naming one that has no value."""
    if isinstance(node, Text):
        return whole_unicode(node.render(context, escape), node.field)
    if isinstance(node, dict):
        return {key: render_tree(item, context, escape) for key, item in node.items()}
    if isinstance(node, list):
        return [render_tree(item, context, escape) for item in node]
    return node


def placeholders_of(node: Node) -> frozenset[str]:
    """Return the names of all placeholders in a compiled tree."""
    return frozenset(name for text in _texts(node) for name in text.placeholders)


def whole_unicode(text: str, field: str) -> str:
    """Return the text. Raises ``ContentError`` if it holds half a character, which no encoding can carry."""
    if not text.isascii() and _SURROGATE.search(text):
        raise ContentError(f"The {field} has a character that is not valid Unicode.", field=field)
    return text


def _texts(node: Node) -> Iterator[Text]:
    if isinstance(node, Text):
        yield node
    elif isinstance(node, dict | list):
        for item in node.values() if isinstance(node, dict) else node:
            yield from _texts(item)
