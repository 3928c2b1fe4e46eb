"""From source to text: a string join where values are only filled in, Liquid where there is more to do.

Most texts are joins, and a join is some fifty times faster. What both can render they render alike.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

from babel import Locale

from notifications.channels.base import ContentError
from notifications.channels.placeholders import NAME, Placeholder, Text, TextCompiler
from notifications.templates.language import filters
from notifications.templates.language.engine import LiquidText
from notifications.templates.language.scan import Part, scan
from notifications.templates.language.values import FilterError

#: Filters with their arguments, in order.
_Chain: TypeAlias = list[tuple[str, list[Any]]]

_LITERAL = r"""\"[^\"]*\"|'[^']*'|-?[0-9]{1,15}(?:\.[0-9]{1,15})?"""
_FILTER = re.compile(rf"\s*\|\s*(\w+)\s*(?::\s*((?:{_LITERAL})(?:\s*,\s*(?:{_LITERAL}))*))?\s*")
_ARGUMENT = re.compile(_LITERAL)
#: What gives markup or lists is left to Liquid; so are members that only Liquid knows.
_NOT_SIMPLE: Final = frozenset({
    "escape", "newline_to_br", "split", "slice", "reverse", "sort", "map", "where", "concat", "first", "last", "size",
})  # fmt: skip


class _Bound(Placeholder):
    """A value that is known before there is a message: the tenant's own name, its colours."""

    __slots__ = ("_value",)

    def __init__(self, name: str, value: Any) -> None:
        super().__init__("")
        self.key, self._value = f"\0{name}", value

    def find(self, context: Mapping[str, Any]) -> Any:
        return self._value


class _Optional(Placeholder):
    """A placeholder that shows nothing where there is no value."""

    __slots__ = ()

    def find(self, context: Mapping[str, Any]) -> Any:
        value = super().find(context)
        return "" if value is None else value


class _Filtered(Placeholder):
    """A placeholder whose value goes through filters."""

    __slots__ = ("_field", "_filters", "_formats", "_without")

    def __init__(
        self,
        name: str,
        source: str,
        chain: list[tuple[str, list[Any]]],
        field: str,
        formats: Locale,
        without: str | None,
    ) -> None:
        super().__init__(name)
        self.key, self._filters, self._field, self._formats = f"{name}|{source}", chain, field, formats
        self._without = without

    def find(self, context: Mapping[str, Any]) -> Any:
        value = super().find(context)
        for name, arguments in self._filters:
            if value is None and name != "default":
                return self._without
            try:
                value = filters.apply(name, self._formats, value, *arguments)
            except (FilterError, TypeError) as error:
                message = f"The value for placeholder '{self.name}' in {self._field} {error}."
                raise ContentError(message, field=self._field, placeholder=self.name) from None
        return value


def texts_in(formats: Locale, bound: Mapping[str, Any], optional: Collection[str] = ()) -> TextCompiler:
    """Return what compiles texts for a language.

    ``bound`` is what is known before there is a message (``brand.name``); ``optional`` what may be without a value.
    """

    def compile_text(source: str, field: str) -> Text:
        if "{{" not in source and "{%" not in source:
            return Text((source,) if source else (), field)
        source = fold(source, field, bound)
        parts: list[str | Placeholder] = []
        for part in scan(source, field):
            piece = part.source if part.kind == "text" and not part.inner else placeholder(part, field)
            if piece is None:
                return LiquidText(source, field, formats, bound, optional)
            parts.append(piece)
        return Text(tuple(parts), field)

    def placeholder(part: Part, field: str) -> Placeholder | None:
        """Return the simple placeholder that a part is, or None if it is more than that."""
        if part.kind != "output":
            return None
        name, bar, _ = part.inner.partition("|")
        name = name.strip()
        if not NAME.fullmatch(name) or {"first", "last", "size"} & set(name.split(".")[1:]):
            return None
        if not bar and name in bound:
            return _Bound(name, bound[name])
        if not bar:
            return _Optional(name) if name in optional else Placeholder(name)
        source = part.inner[part.inner.index("|") :]
        chain = _chain(source)
        if chain is None or name in bound:
            return None
        return _Filtered(name, source.strip(), chain, field, formats, "" if name in optional else None)

    return compile_text


def _chain(source: str) -> _Chain | None:
    """Return the filters of a placeholder with their arguments, or None if one of them is not simple."""
    chain: _Chain = []
    at = 0
    while at < len(source):
        found = _FILTER.match(source, at)
        if found is None or found[1] not in filters.FILTERS or found[1] in _NOT_SIMPLE:
            return None
        chain.append((found[1], [_literal(each) for each in _ARGUMENT.findall(found[2] or "")]))
        at = found.end()
    return chain


def _literal(source: str) -> Any:
    if source[0] in "\"'":
        return source[1:-1]
    return Decimal(source) if "." in source else int(source)


_CONDITION = re.compile(r"-?\s*(if|unless)\s+([\w.]+)\s*-?")
_OPENS: Final = frozenset({"if", "unless", "case", "for", "capture", "comment"})


def fold(source: str, field: str, bound: Mapping[str, Any]) -> str:
    """Return a source without its conditions on what is bound: ``{% if brand.logo_url %}…{% else %}…{% endif %}``.

    So a mail in a layout stays a string join. A condition that says more is left as it is.
    """
    if "{%" not in source:
        return source
    out: list[str] = []
    #: Of each open block: whether it is folded away, and if so whether its words are kept at this place.
    blocks: list[bool | None] = []
    for part in scan(source, field):
        word = part.inner.strip("- \t\r\n").split(maxsplit=1)[:1] if part.kind == "tag" else []
        tag = word[0] if word else ""
        if tag in _OPENS:
            found = _CONDITION.fullmatch(part.inner)
            known = found is not None and found[2] in bound and not _has_elsif(source, part.position)
            blocks.append(bool(bound[found[2]]) == (found[1] == "if") if found and known else None)
            if known:
                continue
        elif tag == "else" and blocks and blocks[-1] is not None:
            blocks[-1] = not blocks[-1]
            continue
        elif tag.startswith("end") and blocks and blocks.pop() is not None:
            continue
        if all(kept is not False for kept in blocks):
            out.append(part.source)
    return "".join(out)


def _has_elsif(source: str, position: int) -> bool:
    """Whether an ``elsif`` follows before the block that starts here could have ended: then it is not ours to fold."""
    end = source.find("endif", position)
    return "elsif" in source[position : end if end >= 0 else None]
