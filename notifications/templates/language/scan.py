"""The source of a template, cut into text, outputs and tags in one linear pass, before any parser sees it.

What takes a parser long (markup that is never closed, thousands of tags) is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from notifications.channels.base import ContentError

#: Outputs and tags in one text, and characters of one of them.
MAX_PARTS: Final = 5_000
MAX_PART: Final = 2_000
_ENDRAW = re.compile(r"\{%-?\s{0,50}endraw\s{0,50}-?%\}")


class Part(NamedTuple):
    """A piece of source. ``inner`` is what stands between the braces; ``position`` counts from 1."""

    kind: Literal["text", "output", "tag"]
    source: str
    inner: str
    position: int


def scan(source: str, field: str) -> Iterator[Part]:
    """Yield the parts of a source in order. Raises ``ContentError`` with the position of what is not closed."""
    done, count = 0, 0
    while (start := _next(source, done)) >= 0:
        if start > done:
            yield Part("text", source[done:start], "", done + 1)
        is_output = source[start + 1] == "{"
        close = "}}" if is_output else "%}"
        end = source.find(close, start + 2, start + MAX_PART)
        count += 1
        if end < 0:
            what = "placeholder" if is_output else "tag"
            raise ContentError(f"The {what} at position {start + 1} in {field} is not closed: '{close}' is missing.",
                               field=field)  # fmt: skip
        if count > MAX_PARTS:
            raise ContentError(f"The {field} has more than {MAX_PARTS} placeholders and tags.", field=field)
        inner = source[start + 2 : end]
        done = end + 2
        if not is_output and inner.strip("- \t\r\n") == "raw":
            found = _ENDRAW.search(source, done)
            if found is None:
                raise ContentError(f"The raw at position {start + 1} in {field} has no endraw.", field=field)
            yield Part("text", source[start : found.end()], "raw", start + 1)
            done = found.end()
            continue
        yield Part("output" if is_output else "tag", source[start:done], inner, start + 1)
    if done < len(source):
        yield Part("text", source[done:], "", done + 1)


def _next(source: str, at: int) -> int:
    output, tag = source.find("{{", at), source.find("{%", at)
    return min(output, tag) if output >= 0 and tag >= 0 else max(output, tag)
