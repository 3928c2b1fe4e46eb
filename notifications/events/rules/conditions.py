"""Conditions of rules: the Common Expression Language (cel.dev), compiled once, bounded in every direction.

A condition sees ``payload``, ``metadata``, ``event`` (``id``, ``type``, ``source``, ``user_id``), ``now()``, and each
field of the payload by its own name. ``AND``, ``OR`` and ``NOT`` may be written for ``&&``, ``||`` and ``!``. Regular
expressions are those of Rust, whose time is linear. Nothing here reads or writes anything.
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

_TOKEN: Final = re.compile(
    r"(?P<string>[rRbB]{0,2}(?:\"\"\".*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'))"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<other>.)",
    re.DOTALL,
)
_WORDS: Final = {"AND": "&& ", "OR": "||", "NOT": "!  "}
_MACROS: Final = frozenset({"all", "exists", "exists_one", "map", "filter"})
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED: Final = frozenset({"payload", "metadata", "event", "now", "true", "false", "null", "in"})
_PLACE: Final = re.compile(r"<input>:(\d+):(\d+): (?:Syntax error: )?([^\n]*)")
_EXPECTED: Final = re.compile(r" expecting \{.*\}$")


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition. ``parts`` are what an ``AND`` (or ``OR``) at the top joins, for explanations."""

    source: str
    program: Any
    parts: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a condition holds; ``error`` says why it could not be told (then it does not)."""

    holds: bool
    error: str = ""


def compile_condition(source: str, field: str = "condition") -> Condition:
    """Compile a condition; blank always holds. Raises ``InvalidInput`` for the field, naming line and character."""
    try:
        return _compile(source.strip() or "true")
    except _Refused as error:
        raise InvalidInput(f"{field}: {error}", errors={field: [str(error)]}) from None


def scope_of(event: Happening) -> Any:
    """Return what conditions see of an event: made once, and used for all of a tenant's rules."""
    about = {"id": str(event.id), "type": event.type, "source": event.source, "user_id": event.user_id}
    variables: dict[str, Any] = {
        name: value for name, value in event.payload.items() if name not in _RESERVED and _NAME.fullmatch(name)
    }
    variables |= {"payload": event.payload, "metadata": event.metadata, "event": about}
    scope = cel.Context(variables=_plain(variables))
    scope.add_function("now", _now)
    return scope


def judge(program: Any, scope: Any) -> Verdict:
    """Evaluate a program. Never raises: what can not be told does not hold."""
    try:
        value = program.execute(scope)
    except KeyError as error:
        return Verdict(False, f"There is no field {error}.")
    except Exception as error:
        return Verdict(False, str(error).partition(". ")[0][:300])
    if isinstance(value, bool):
        return Verdict(value)
    return Verdict(False, f"Gives {type(value).__name__}, not true or false.")


def trace(condition: Condition, scope: Any) -> list[dict[str, Any]]:
    """Return what each part of a condition came to: ``{"condition", "value", "error"}``."""
    told = []
    for source, program in condition.parts:
        verdict = judge(program, scope)
        told.append({"condition": source, "value": verdict.holds, "error": verdict.error or None})
    return told


class _Refused(Exception):
    pass


@lru_cache(maxsize=4096)
def _compile(source: str) -> Condition:
    if len(source) > MAX_LENGTH:
        raise _Refused(f"Has {len(source)} characters; at most {MAX_LENGTH} are allowed.")
    tokens = list(_tokens(source))
    translated = "".join(text for _, text, _ in tokens)
    macros = sum(
        kind == "word" and text in _MACROS and tokens[index - 1][1] == "." and _is_call(tokens, index)
        for index, (kind, text, _) in enumerate(tokens)
        if index
    )
    if macros > MAX_MACROS:
        raise _Refused(f"Goes through lists {macros} times; at most {MAX_MACROS} are allowed.")
    program = _program(translated)
    pieces = [piece.strip() for piece in _split(tokens)]
    try:
        parts = tuple((piece, cel.compile(piece)) for piece in pieces)
    except ValueError:
        parts = ((source, program),)
    return Condition(source, program, parts)


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


def _tokens(source: str) -> Iterator[tuple[str, str, int]]:
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


def _is_call(tokens: list[tuple[str, str, int]], index: int) -> bool:
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
