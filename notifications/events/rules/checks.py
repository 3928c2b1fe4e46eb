"""What a condition must not do although it can be compiled: call what there is not, and regular expressions that cost.

Asked when a rule is made or changed, and never of rules that stand: what they do is bounded when they are asked.
"""

from __future__ import annotations

import time
from typing import Any, Final

import cel

from notification_service.lib.errors import InvalidInput
from notifications.events.rules.conditions import compile_condition, is_call, tokens_of

#: What the library knows (CEL's standard functions and macros), and ``now``.
_FUNCTIONS: Final = frozenset(
    (
        "has", "size", "type", "dyn", "string", "int", "uint", "double", "bytes", "timestamp", "duration", "now",
        "of", "none",
        "contains", "startsWith", "endsWith", "matches",
        "all", "exists", "exists_one", "map", "filter",
        "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear",
        "getHours", "getMinutes", "getSeconds", "getMilliseconds",
    )
)  # fmt: skip
MAX_PATTERNS: Final = 5
#: The library compiles a regular expression each time it is used: so long that may take, in seconds.
_LONGEST: Final = 0.01
_TRIES: Final = 3


def check_condition(source: str, field: str = "condition") -> None:
    """Raise ``InvalidInput`` for the field, naming the character, for a condition that no rule should have."""
    compile_condition(source, field)
    tokens = list(tokens_of(source.strip()))
    place = 1 + len(source) - len(source.lstrip())
    patterns = 0
    for index, (kind, text, _) in enumerate(tokens):
        if kind == "word" and is_call(tokens, index):
            if text not in _FUNCTIONS:
                _refuse(field, f"At character {place}: there is no function {text!r}.")
            if text == "matches":
                patterns += 1
                _check_pattern(field, place, _argument(tokens, index))
        place += len(text)
    if patterns > MAX_PATTERNS:
        _refuse(field, f"Has {patterns} regular expressions; at most {MAX_PATTERNS} are allowed.")


def _argument(tokens: list[tuple[str, str, int]], index: int) -> str:
    """Return the only argument of a call, if it is a text in quotes; else nothing."""
    inner = [(kind, text) for kind, text, _ in tokens[index + 1 :] if not text.isspace()][:3]
    match inner:
        case [(_, "("), ("string", text), (_, ")")]:
            return text
    return ""


def _check_pattern(field: str, place: int, pattern: str) -> None:
    if not pattern:
        _refuse(field, f"At character {place}: matches() takes one regular expression in quotes.")
    program: Any = cel.compile(f"''.matches({pattern})")
    seconds = min(_seconds(program, field, place) for _ in range(_TRIES))
    if seconds > _LONGEST:
        _refuse(field, f"At character {place}: the regular expression is too costly; repeat fewer, or simpler, things.")


def _seconds(program: Any, field: str, place: int) -> float:
    """Return the processor time that a pattern takes to be compiled. Raises ``InvalidInput``."""
    begun = time.thread_time()
    try:
        program.execute(cel.Context(variables={}))
    except RuntimeError as error:
        said = str(error).removesuffix(" Check function arguments and their types.").rstrip(". ")
        why = said.rpartition("error: ")[2] if "parse error" in said else "it is too large"
        _refuse(field, f"At character {place}: this is no regular expression: {why}.")
    return time.thread_time() - begun


def _refuse(field: str, message: str) -> None:
    raise InvalidInput.at(field, message)
