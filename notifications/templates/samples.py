"""Values to show placeholders with that have no sample: guessed from how the words use them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from notifications.templates.language.scan import scan

_NUMBER: Final = 3
#: By the first filter of a placeholder: what it can do something with. The others take any text.
_TIMES: Final[Mapping[str, str]] = {"date": "2026-12-24", "time": "18:00", "datetime": "2026-12-24T18:00:00Z"}
_NUMBERS: Final = frozenset({
    "number", "percent", "currency", "pluralize", "plus", "minus", "times", "divided_by", "modulo", "round", "ceil",
    "floor", "abs", "at_least", "at_most",
})  # fmt: skip
_LISTS: Final = frozenset({"join", "sort", "reverse", "map", "where", "concat", "sum"})
_ASSIGN = re.compile(r"assign\s+\w+\s*=")
_LOOP = re.compile(r"for\s+\w+\s+in\s+([\w.]+)")
_CONDITION = re.compile(r"(?:if|unless|elsif)\s")
_COMPARED = re.compile(r"(?<![\w.])([A-Za-z_][\w.]*)\s*[<>]=?\s*-?[0-9]")
_FILTER = re.compile(r"\s*(\w+)")


def guessed_values(content: Any) -> dict[str, Any]:
    """Return values by placeholder for those whose use shows what they are: a date, a number, a list."""
    found: dict[str, Any] = {}
    for text in _texts(content):
        for part in scan(text, ""):
            words = part.inner.strip("- \t\r\n")
            if part.kind == "output":
                _guess_by_filter(words, found)
            elif part.kind == "tag":
                _guess_by_tag(words, found)
    return found


def _guess_by_filter(words: str, found: dict[str, Any]) -> None:
    name, _, rest = words.partition("|")
    filters = [match[1] for each in rest.split("|") if (match := _FILTER.match(each))]
    first = next((each for each in filters if each != "default"), "")
    value: Any = [] if first in _LISTS else _NUMBER if first in _NUMBERS else _TIMES.get(first)
    if value is not None:
        found.setdefault(name.strip(), value)


def _guess_by_tag(words: str, found: dict[str, Any]) -> None:
    if assign := _ASSIGN.match(words):
        _guess_by_filter(words[assign.end() :], found)
    elif loop := _LOOP.match(words):
        found.setdefault(loop[1], [])
    elif _CONDITION.match(words):
        for name in _COMPARED.findall(words):
            found.setdefault(name, _NUMBER)


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        if "{" in content:
            yield content
    elif isinstance(content, Mapping | list):
        for each in content.values() if isinstance(content, Mapping) else content:
            yield from _texts(each)
