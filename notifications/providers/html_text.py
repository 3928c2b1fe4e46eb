"""Plain text from HTML: one pass, linear in the length whatever the markup, and nothing is executed or fetched.

It is a scanner of its own because ``html.parser`` takes quadratic time on markup that is never closed, and templates
come from strangers.
"""

from __future__ import annotations

import html as entities
import re

#: Elements whose content is not for reading; up to their end tag nothing inside them counts as markup.
_SILENT = {
    tag: re.compile(rf"</{tag}\b[^<>]*>", re.IGNORECASE)
    for tag in ("script", "style", "title", "template", "noscript", "svg", "object", "select", "textarea")
}
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "center", "dd", "div", "dl", "dt", "fieldset", "figure", "footer",
    "form", "header", "hr", "li", "main", "nav", "ol", "pre", "section", "table", "tr", "ul",
})  # fmt: skip
_PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6"})

_MARKUP = re.compile(r"<!--|<(/?)([a-zA-Z][a-zA-Z0-9]*)([^<>]*)>|<[!?][^<>]*>")
_ATTRIBUTE = r"""(?:^|\s){}\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))"""
_HREF = re.compile(_ATTRIBUTE.format("href"), re.IGNORECASE)
_ALT = re.compile(_ATTRIBUTE.format("alt"), re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n\f\v]+")
_EMPTY_LINES = re.compile(r"\n{3,}")


class _Reader:
    """Collects what a reader sees."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        #: Target of the open link and the number of the piece that its text starts at. Links do not nest.
        self._link: tuple[str, int] | None = None

    def text(self, source: str) -> None:
        """Add character data."""
        if source:
            self.pieces.append(_SPACE.sub(" ", _unescape(source)))

    def start(self, tag: str, attributes: str) -> None:
        """Add what a start tag stands for."""
        if tag == "br":
            self.pieces.append("\n")
        elif tag in _PARAGRAPHS:
            self.pieces.append("\n\n")
        elif tag in _BLOCKS:
            self.pieces.append("\n- " if tag == "li" else "\n")
        elif tag in {"td", "th"}:
            self.pieces.append(" ")
        elif tag == "img":
            self.pieces.append(_value(_ALT, attributes))
        elif tag == "a":
            self._link = (_SPACE.sub("", _value(_HREF, attributes)), len(self.pieces))

    def end(self, tag: str) -> None:
        """Add what an end tag stands for: behind a link its target, if the text does not say it already."""
        if tag in _PARAGRAPHS:
            self.pieces.append("\n\n")
        elif tag in _BLOCKS:
            self.pieces.append("\n")
        elif tag == "a" and self._link:
            target, start = self._link
            self._link = None
            shown = "".join(self.pieces[start:]).strip()
            if target and not target.startswith("#") and target.removeprefix("mailto:") != shown:
                self.pieces.append(f" ({target})" if shown else target)


def html_to_text(html: str) -> str:
    """Return what a reader of the HTML sees, as plain text: blocks on lines of their own, links with their target."""
    reader = _Reader()
    position = 0
    while match := _MARKUP.search(html, position):
        reader.text(html[position : match.start()])
        position = match.end()
        closing, tag, attributes = match.groups()
        if tag is None:
            if match.group() == "<!--":
                end = html.find("-->", match.start() + 2)
                position = end + 3 if end >= 0 else len(html)
        elif closing:
            reader.end(tag.lower())
        elif silent := _SILENT.get(tag.lower()):
            if not attributes.endswith("/"):
                end_tag = silent.search(html, position)
                position = end_tag.end() if end_tag else len(html)
        else:
            reader.start(tag.lower(), attributes)
    reader.text(html[position:])
    lines = (_SPACE.sub(" ", line).strip() for line in "".join(reader.pieces).split("\n"))
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()


def _value(attribute: re.Pattern[str], attributes: str) -> str:
    match = attribute.search(attributes)
    return _unescape(next((value for value in match.groups() if value), "")) if match else ""


def _unescape(text: str) -> str:
    if "&" not in text:
        return text
    try:
        return entities.unescape(text)
    except ValueError:  # a character reference with thousands of digits
        return text
