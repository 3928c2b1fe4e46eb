"""Mail markup, made ready once when a version is written: MJML compiled, a layout put around it, CSS inlined.

The libraries that do it are native and trust their input: what is nested too deeply would end the process. What is
Liquid's stands aside as marks meanwhile, because neither library knows it.
"""

from __future__ import annotations

import re
from itertools import count
from typing import Final

import css_inline
import mjml

from notifications.channels.base import ContentError
from notifications.templates.language.scan import scan

#: Octets of markup that is compiled or whose CSS is inlined, and how deep its elements may be nested.
MAX_MARKUP: Final = 256 * 1024
MAX_DEPTH: Final = 200
_TAG = re.compile(r"<(/?)([a-zA-Z][\w:-]*)[^<>]*?(/?)>")
_VOID: Final = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
})  # fmt: skip
#: Elements that HTML ends by itself when the next one of their kind begins.
_SELF_ENDING: Final = frozenset({"p", "li", "dt", "dd", "td", "th", "tr", "option", "thead", "tbody", "tfoot"})
_DOCUMENT = re.compile(r"<(?:!doctype|html|body)\b", re.IGNORECASE)
_CONTENT = re.compile(r"\{\{-?\s*content\s*-?\}\}")
_STYLE = re.compile(r"<style\b", re.IGNORECASE)
_STATE = re.compile(r"<!--|<(style|script|title|textarea)\b|</?[a-zA-Z]", re.IGNORECASE)
_IN_TAG = re.compile(r"[\"'>]")
_inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)


class _Unmaskable(Exception):
    """Liquid stands where no mark can: among the attributes of an element."""


def compile_mjml(source: str) -> str:
    """Return the HTML of an MJML mail (https://documentation.mjml.io). Raises ``ContentError`` for ``mjml``."""
    _check_size(source, "mjml")
    if _depth(source, frozenset()) > MAX_DEPTH:
        raise ContentError(f"mjml: Elements are nested more than {MAX_DEPTH} deep.", field="mjml")
    try:
        masked = _Masked(source, "mjml")
        return masked.lift(mjml.mjml2html(masked.source))
    except _Unmaskable:
        message = "Conditions and loops can not stand among the attributes of an element."
        raise ContentError(f"mjml: {message}", field="mjml") from None
    except ValueError as error:
        raise ContentError(f"mjml: {str(error)[:300]}.", field="mjml") from None


def is_document(html: str) -> bool:
    """Whether HTML is a whole page, which needs no layout around it."""
    return _DOCUMENT.search(html) is not None


def holds_content(layout: str) -> bool:
    """Whether a layout has exactly one place for what it is put around: ``{{ content }}``."""
    return len(_CONTENT.findall(layout)) == 1


def lay_out(html: str, layout: str) -> str:
    """Return a page: a layout with a fragment in its place."""
    return _CONTENT.sub(lambda _: html, layout, count=1)


def inline_css(html: str, field: str) -> str:
    """Return HTML whose style sheets are on the elements themselves, as many mail programs need them.

    What can not be (media queries) stays in a style sheet. HTML without style sheets stays as it is, letter by letter;
    so does HTML with Liquid among the attributes of an element. Raises ``ContentError``.
    """
    if not _STYLE.search(html):
        return html
    _check_size(html, field)
    if _depth(html, _SELF_ENDING) > MAX_DEPTH:
        raise ContentError(f"{field}: Elements are nested more than {MAX_DEPTH} deep.", field=field)
    try:
        masked = _Masked(html, field)
        return masked.lift(_inliner.inline(masked.source))
    except _Unmaskable:
        return html
    except (css_inline.InlineError, ValueError) as error:
        raise ContentError(f"{field}: Its style sheet can not be read: {str(error)[:200]}.", field=field) from None


def _check_size(source: str, field: str) -> None:
    if len(source) > MAX_MARKUP:
        raise ContentError(f"{field}: At most {MAX_MARKUP // 1024} KiB of markup can be compiled.", field=field)


def _depth(source: str, self_ending: frozenset[str]) -> int:
    """Return an upper bound of how deep elements are nested."""
    depth = deepest = 0
    for closing, name, empty in _TAG.findall(source):
        tag = name.lower()
        if tag in _VOID or tag in self_ending or (empty and not closing):
            continue
        depth = max(depth - 1, 0) if closing else depth + 1
        deepest = max(deepest, depth)
    return deepest


class _Masked:
    """A source with marks where Liquid stood.

    Between elements the mark of a tag is a comment, which may stand between the rows of a table; elsewhere marks are
    words, which may stand in attributes and style sheets.
    """

    def __init__(self, source: str, field: str) -> None:
        self._pieces: list[str] = []
        self._word = next(word for n in count() if (word := f"lq{n}x") not in source)
        out: list[str] = []
        state = "data"
        for part in scan(source, field):
            if part.kind == "text" and not part.inner:
                out.append(part.source)
                state = _state_after(part.source, state)
                continue
            if state == "tag" and not out[-1].endswith("="):
                raise _Unmaskable
            mark = f"{self._word}{len(self._pieces)}z"
            out.append(f"<!--{mark}-->" if state == "data" and part.kind == "tag" else mark)
            self._pieces.append(part.source)
        self.source = "".join(out)

    def lift(self, html: str) -> str:
        """Return HTML with Liquid where the marks are."""
        marks = re.compile(rf"<!--{self._word}([0-9]+)z-->|{self._word}([0-9]+)z")
        return marks.sub(lambda found: self._pieces[int(found[1] or found[2])], html)


def _state_after(text: str, state: str) -> str:
    """Return where a scanner of HTML is after a text: in ``data``, a comment, an element's raw text, a tag, a value."""
    at = 0
    while at < len(text):
        if state in ('"', "'"):
            end = text.find(state, at)
            state, at = ("tag", end + 1) if end >= 0 else (state, len(text))
        elif state == "tag" or state.startswith("tag:"):
            found = _IN_TAG.search(text, at)
            if found is None:
                break
            at = found.end()
            state = found[0] if found[0] != ">" else "data"
        elif state == "comment" or state.startswith("</"):
            mark = "-->" if state == "comment" else state
            end = text.lower().find(mark, at)
            state, at = ("data", end + len(mark)) if end >= 0 else (state, len(text))
        else:
            found = _STATE.search(text, at)
            if found is None:
                break
            at = found.end()
            state = "comment" if found[0] == "<!--" else f"</{found[1].lower()}" if found[1] else "tag"
    return state
