"""Conditions of rules: the Common Expression Language (cel.dev), compiled once, bounded in every direction.

A condition sees ``payload``, ``metadata``, ``event`` (``id``, ``type``, ``source``, ``user_id``), ``now()``, and each
field of the payload by its own name. ``AND``, ``OR`` and ``NOT`` may be written for ``&&``, ``||`` and ``!``. Regular
expressions are those of Rust, whose time is linear. Nothing here reads or writes anything. What is refused when a rule
is made, beyond what can not be compiled, stands in ``checks.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import cel

from notification_service.lib.errors import InvalidInput
from notifications.events.happening import Happening

MAX_LENGTH: Final = 2000
#: Each may visit every element of a list; nested, they multiply.
MAX_MACROS: Final = 2
MAX_DEPTH: Final = 30
#: How long a condition may take with an event, as reckoned beforehand from the event's size, in nanoseconds.
_MOST_WORK: Final = 100_000_000
#: What it costs to go on to the next element of a list, and to copy one.
_ELEMENT: Final = 500
_COPY: Final = 20

_TOKEN: Final = re.compile(
    r"(?P<string>[rRbB]{0,2}(?:\"\"\".*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'))"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<other>.)",
    re.DOTALL,
)
_WORDS: Final = {"AND": "&& ", "OR": "||", "NOT": "!  "}
_GATHERING: Final = frozenset({"map", "filter"})
_MACROS: Final = frozenset({"all", "exists", "exists_one", *_GATHERING})
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED: Final = frozenset({"payload", "metadata", "event", "now", "true", "false", "null", "in"})
_PLACE: Final = re.compile(r"<input>:(\d+):(\d+): (?:Syntax error: )?([^\n]*)")
_EXPECTED: Final = re.compile(r" expecting \{.*\}$")


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition. ``parts`` are what an ``AND`` (or ``OR``) at the top joins, for explanations.

    ``loops`` says how often it goes through lists, ``nesting`` how many of these stand within each other, ``gathers``
    whether one of them makes a list, and ``sums`` how many ``+`` it has.
    """

    source: str
    program: Any
    parts: tuple[tuple[str, Any], ...]
    loops: int = 0
    nesting: int = 0
    gathers: bool = False
    sums: int = 0

    def is_too_much(self, scope: Scope) -> bool:
        """Whether it could take too long with an event of this size.

        The library copies a field of an object that is looked into, every sum, and a list that grows with each element.
        """
        if not (self.loops or self.sums):
            return False
        elements, text, whole = scope.size
        turns: int = elements**self.nesting + elements * (self.loops - self.nesting)
        each = _ELEMENT + text // 20
        if self.sums:
            each += text * (self.sums + 1) ** 2
        if self.gathers:
            each += elements * _COPY + (elements * text + whole) // 5
        return turns * each > _MOST_WORK


class Scope:
    """What conditions see of an event: made once, and used for all of a tenant's rules."""

    __slots__ = ("_event", "_size", "context")

    def __init__(self, event: Happening, context: Any) -> None:
        self._event, self.context = event, context
        self._size: tuple[int, int, int] | None = None

    @property
    def size(self) -> tuple[int, int, int]:
        """How many elements its longest list or object has, and how many characters its longest text, and all of them.

        Each is 1 at least.
        """
        if self._size is None:
            elements, text, whole, level = 1, 1, 1, [self._event.payload, self._event.metadata]
            while level:
                inner: list[Any] = []
                for each in level:
                    elements = max(elements, len(each))
                    for item in each.values() if isinstance(each, dict) else each:
                        if isinstance(item, str):
                            text, whole = max(text, len(item)), whole + len(item)
                        elif isinstance(item, dict | list):
                            inner.append(item)
                level = inner
            self._size = (elements, text, whole)
        return self._size


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a condition holds; ``error`` says why it could not be told (then it does not)."""

    holds: bool
    error: str = ""


_TOO_MUCH: Final = Verdict(False, "The event is too large for this condition: it goes through lists, or adds texts up.")


def compile_condition(source: str, field: str = "condition") -> Condition:
    """Compile a condition; blank always holds. Raises ``InvalidInput`` for the field, naming line and character."""
    try:
        return _compile(source.strip() or "true")
    except _Refused as error:
        raise InvalidInput.at(field, str(error)) from None


def scope_of(event: Happening) -> Scope:
    """Return what conditions see of an event."""
    about = {"id": str(event.id), "type": event.type, "source": event.source, "user_id": event.user_id}
    variables: dict[str, Any] = {
        name: value for name, value in event.payload.items() if name not in _RESERVED and _NAME.fullmatch(name)
    }
    variables |= {"payload": event.payload, "metadata": event.metadata, "event": about}
    context = cel.Context(variables=_plain(variables))
    context.add_function("now", _now)
    return Scope(event, context)


def judge(condition: Condition, scope: Scope) -> Verdict:
    """Evaluate a condition. Never raises: what can not be told does not hold."""
    return _TOO_MUCH if condition.is_too_much(scope) else _judge(condition.program, scope)


def _judge(program: Any, scope: Scope) -> Verdict:
    try:
        value = program.execute(scope.context)
    except KeyError as error:
        return Verdict(False, f"There is no field {error}.")
    except Exception as error:
        return Verdict(False, str(error).partition(". ")[0][:300])
    if isinstance(value, bool):
        return Verdict(value)
    return Verdict(False, f"Gives {type(value).__name__}, not true or false.")


def trace(condition: Condition, scope: Scope) -> list[dict[str, Any]]:
    """Return what each part of a condition came to: ``{"condition", "value", "error"}``."""
    told, too_much = [], condition.is_too_much(scope)
    for source, program in condition.parts:
        verdict = _TOO_MUCH if too_much else _judge(program, scope)
        told.append({"condition": source, "value": verdict.holds, "error": verdict.error or None})
    return told


class _Refused(Exception):
    """The sentence that says what is wrong."""


@lru_cache(maxsize=4096)
def _compile(source: str) -> Condition:
    if len(source) > MAX_LENGTH:
        raise _Refused(f"Has {len(source)} characters; at most {MAX_LENGTH} are allowed.")
    tokens = list(tokens_of(source))
    translated = "".join(text for _, text, _ in tokens)
    loops, nesting = _loops(tokens)
    if loops > MAX_MACROS:
        raise _Refused(f"Goes through lists {loops} times; at most {MAX_MACROS} are allowed.")
    program = _program(translated)
    pieces = [piece.strip() for piece in _split(tokens)]
    try:
        parts = tuple((piece, cel.compile(piece)) for piece in pieces)
    except ValueError:
        parts = ((source, program),)
    gathers = any(kind == "word" and text in _GATHERING for kind, text, _ in tokens)
    sums = sum(kind == "other" and text == "+" for kind, text, _ in tokens)
    return Condition(source, program, parts, loops, nesting, gathers, sums)


def _program(source: str) -> Any:
    try:
        return cel.compile(source)
    except ValueError as error:
        found = _PLACE.search(str(error))
        if found is None:
            raise _Refused("Is no condition.") from None
        line, column, what = found.groups()
        where = f"character {column}" if line == "1" else f"line {line}, character {column}"
        raise _Refused(f"At {where}: {_EXPECTED.sub('', what)}.") from None


def tokens_of(source: str) -> Iterator[tuple[str, str, int]]:
    """Yield (kind, text, depth), words of SQL replaced by operators of the same length."""
    depth = 0
    for found in _TOKEN.finditer(source):
        kind, text = str(found.lastgroup), found[0]
        if text in "([{":
            depth += 1
        if depth > MAX_DEPTH:
            raise _Refused(f"Is nested deeper than {MAX_DEPTH} brackets, at character {found.start() + 1}.")
        yield kind, _WORDS.get(text, text) if kind == "word" else text, depth
        if text in ")]}":
            depth -= 1


def _loops(tokens: list[tuple[str, str, int]]) -> tuple[int, int]:
    """Return how often a condition goes through lists, and how many of these stand within each other."""
    spans = []
    for index, (kind, text, depth) in enumerate(tokens):
        if index and kind == "word" and text in _MACROS and tokens[index - 1][1] == "." and is_call(tokens, index):
            closing = (i for i in range(index, len(tokens)) if tokens[i][1] == ")" and tokens[i][2] == depth + 1)
            spans.append((index, next(closing, len(tokens))))
    nesting = max((sum(start <= index < end for start, end in spans) for index, _ in spans), default=0)
    return len(spans), nesting


def is_call(tokens: list[tuple[str, str, int]], index: int) -> bool:
    """Whether the word at a place is followed by its arguments."""
    rest = (text for _, text, _ in tokens[index + 1 :] if not text.isspace())
    return next(rest, "") == "("


def _split(tokens: list[tuple[str, str, int]]) -> list[str]:
    """Return what the operators of least strength at the top join: ``||`` if there is one, else ``&&``."""
    flat = [(text, depth) for _, text, depth in tokens]
    at_top = [
        (index, text[0] * 2)
        for index, (text, depth) in enumerate(flat)
        if depth == 0 and (text.strip() in ("&&", "||") or _doubled(flat, index))
    ]
    operator = "||" if any(each == "||" for _, each in at_top) else "&&"
    pieces, start = [], 0
    for index, each in at_top:
        if each == operator:
            pieces.append("".join(text for text, _ in flat[start:index]))
            start = index + (1 if len(flat[index][0].strip()) == 2 else 2)
    return [*pieces, "".join(text for text, _ in flat[start:])]


def _doubled(flat: list[tuple[str, int]], index: int) -> bool:
    """Whether an operator of two characters begins here (each is a token of its own)."""
    text = flat[index][0]
    return (
        text in ("&", "|")
        and index + 1 < len(flat)
        and flat[index + 1][0] == text
        and (index == 0 or flat[index - 1][0] != text)
    )


def _plain(value: Any) -> Any:
    """What CEL takes: integers have 64 bits there."""
    if isinstance(value, bool) or value is None or isinstance(value, str | float):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else float(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else str(value)


def _now() -> datetime:
    return datetime.now(UTC)
