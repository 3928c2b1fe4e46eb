"""The email channel: subject, text and HTML, with placeholders; copies, header fields and attachments."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from notifications.channels.base import Channel, CompiledContent, ContentError
from notifications.channels.email_parts import (
    MAX_ATTACHED,
    MAX_ATTACHMENTS,
    MAX_HEADER,
    MAX_HEADERS,
    MAX_RECIPIENTS,
    EmailAttachment,
    check_header_name,
    check_header_value,
    decoded_size,
    distinct,
)
from notifications.channels.json_content import validated
from notifications.channels.placeholders import Placeholder, Text, TextCompiler, compile_text
from notifications.providers.addresses import normalise_email
from notifications.providers.html_text import html_to_text

#: RFC 5322 §2.1.1: a line has at most 998 characters.
MAX_SUBJECT = 998
MAX_FROM_NAME = 200
#: Octets of a body, after the values are filled in.
MAX_BODY = 1024 * 1024

_TAGS = (
    "a|abbr|address|article|b|big|blockquote|body|br|button|center|code|col|dd|del|div|dl|dt|em|figure|font|footer|form"
    "|h[1-6]|head|header|hr|html|i|img|ins|li|link|main|meta|nav|ol|p|picture|pre|q|s|section|small|span|strike|strong"
    "|style|sub|sup|table|tbody|td|tfoot|th|thead|title|tr|tt|u|ul|video|wbr"
)
#: An opening or closing tag that HTML knows, a doctype or a comment: ``<ada@example.com>`` and ``a < b`` are none.
_MARKUP = re.compile(rf"<(?:!doctype\b|!--|/?(?:{_TAGS})(?:\s[^<>]*)?/?>)", re.IGNORECASE)
#: White space and control characters, line separators of Unicode among them.
_BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

#: Values that are longer than this together are always looked at closely.
_ROOM = 100_000

_Body = Annotated[str, StringConstraints(max_length=MAX_BODY)]
_Copies = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=320)]], Field(max_length=MAX_RECIPIENTS - 1)
]
_Headers = dict[
    Annotated[str, AfterValidator(check_header_name)],
    Annotated[str, StringConstraints(max_length=MAX_HEADER), AfterValidator(check_header_value)],
]


class EmailContent(BaseModel):
    """What an email says. All texts but attachments may hold placeholders; one of the first four must not be empty."""

    model_config = ConfigDict(extra="forbid", strict=True)

    subject: str | None = Field(None, max_length=MAX_SUBJECT, description="One line; line breaks become spaces.")
    body: _Body | None = Field(
        None, description="HTML if it contains a tag, else plain text. `html` and `text` win over it."
    )
    html: _Body | None = Field(None, description="The HTML body. Values of placeholders are escaped.")
    text: _Body | None = Field(None, description="The plain-text body; made from the HTML if it is not given.")
    reply_to: str | None = Field(None, max_length=320, description="Address that answers go to.")
    from_name: str | None = Field(None, max_length=MAX_FROM_NAME, description="Name shown with the sender's address.")
    cc: _Copies | None = Field(
        None, description=f"Addresses that get a copy, for all to see. At most {MAX_RECIPIENTS} recipients in all."
    )
    bcc: _Copies | None = Field(None, description="Addresses that get a copy, and nobody sees it.")
    headers: _Headers | None = Field(
        None,
        max_length=MAX_HEADERS,
        description="Header fields: X-…, References, In-Reply-To, Precedence, Importance, List-Id, Auto-Submitted.",
    )
    attachments: list[EmailAttachment] | None = Field(None, max_length=MAX_ATTACHMENTS, description="Files.")


class CompiledEmail(CompiledContent):
    """An email whose placeholders are found, and whose plain-text alternative is prepared."""

    def __init__(self, content: Mapping[str, Any], texts: TextCompiler) -> None:
        source = {name: value for name, value in content.items() if value}
        body = source.get("body")
        markup, plain = source.get("html"), source.get("text")
        names = {"html": "html", "text": "text"}
        if body and not (markup and plain):
            if markup is None and is_markup(body):
                markup, names["html"] = body, "body"
            elif plain is None and not is_markup(body):
                plain, names["text"] = body, "body"
        self._subject = texts(source.get("subject", ""), "subject")
        self._html = texts(markup, names["html"]) if markup else None
        #: None: it is made from each message's HTML, because that is not known before.
        self._text: Text | None
        if plain is not None:
            self._text = texts(plain, names["text"])
        elif self._html and self._html.is_fixed:
            self._text = _text_of(self._html)
        else:
            self._text = None if self._html else texts("", "text")
        self._reply_to = texts(source.get("reply_to", ""), "reply_to")
        self._from_name = texts(source.get("from_name", ""), "from_name")
        self._copies = {
            name: [texts(address, name) for address in source[name]] for name in ("cc", "bcc") if name in source
        }
        self._headers = {name: texts(value, f"headers.{name}") for name, value in source.get("headers", {}).items()}
        self._attachments = source.get("attachments")
        used = [self._subject, self._html, self._text, self._reply_to, self._from_name, *self._headers.values()]
        used += [address for addresses in self._copies.values() for address in addresses]
        self.placeholders = frozenset(name for text in used if text for name in text.placeholders)
        #: How many characters all values may have together, so that nothing can become too long; None: look closely.
        self._room = None if self._copies or self._headers else _room(self._subject, self._html, self._text)
        if any(text.parts for text in (self._reply_to, self._from_name)):
            self._room = None

    def surely_renders(self, context: Mapping[str, Any]) -> bool:
        """Whether its texts are all there and short; see ``CompiledContent.surely_renders``."""
        if self._room is None:
            return False
        length = 0
        for name in self.placeholders:
            value = context.get(name)
            if type(value) is not str or not (value.isascii() or _SURROGATE.search(value) is None):
                return False
            length += len(value)
        return length <= self._room

    def render(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``{"subject", "text", "html", "reply_to", "from_name"}``; see ``CompiledContent.render``.

        ``cc``, ``bcc``, ``headers`` and ``attachments`` are there if they are not empty. Runs of white space and
        control characters in a header become one space, so that no value can start a header of its own.
        """
        reply_to = self._reply_to.render(context).strip()
        subject = _one_line(self._subject.render(context), "subject", MAX_SUBJECT)
        text = _bounded(self._text.render(context), self._text.field) if self._text else ""
        markup = _bounded(self._html.render(context, html.escape), self._html.field) if self._html else None
        rendered: dict[str, Any] = {
            "subject": subject,
            "text": html_to_text(markup) if markup and self._text is None else text,
            "html": markup,
            "reply_to": _reply_address(reply_to) if reply_to else None,
            "from_name": _one_line(self._from_name.render(context), "from_name", MAX_FROM_NAME) or None,
        }
        taken: list[str] = []
        for name, addresses in self._copies.items():
            copies = _distinct([address.render(context).strip() for address in addresses], name, but=taken)
            if copies:
                rendered[name] = copies
                taken += copies
        headers = {
            name: _one_line(each.render(context), each.field, MAX_HEADER) for name, each in self._headers.items()
        }
        if headers := {name: value for name, value in headers.items() if value}:
            rendered["headers"] = headers
        if self._attachments:
            rendered["attachments"] = self._attachments
        return rendered


class EmailChannel(Channel):
    """Email."""

    key: ClassVar[str] = "email"
    label: ClassVar[str] = "Email"
    providers: ClassVar[tuple[str, ...]] = ("smtp", "sendgrid", "console")
    content: ClassVar[type[BaseModel]] = EmailContent
    #: Octets of all attachments of one message together, decoded; an installation may set it.
    max_attached: int = MAX_ATTACHED

    def normalise_address(self, address: str, *, region: str | None = None) -> str:
        """Return a bare address with its domain in lower case; ``Name <a@b>`` is refused. Raises ``ContentError``."""
        try:
            return normalise_email(address)
        except ValueError as error:
            raise ContentError(str(error), field="recipient") from None

    def validate(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that are set, checked. Raises ``ContentError`` naming the field."""
        valid = self.validate_part(content)
        if not any(valid.get(name, "").strip() for name in ("subject", "body", "html", "text")):
            raise ContentError("An email needs a subject or a body.", field="subject")
        return valid

    def validate_part(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The same without words, which a template has."""
        valid = validated(EmailContent, content)
        copies = len(valid.get("cc", ())) + len(valid.get("bcc", ()))
        if copies >= MAX_RECIPIENTS:
            words = f"An email has at most {MAX_RECIPIENTS} recipients; these are {copies + 1}."
            raise ContentError(words, field="bcc" if valid.get("bcc") else "cc")
        size = sum(decoded_size(each["content"]) for each in valid.get("attachments", ()))
        if size > self.max_attached:
            words = f"The attachments have {size} octets together; at most {self.max_attached} are allowed."
            raise ContentError(words, field="attachments")
        return valid

    def compile(self, content: Mapping[str, Any], texts: TextCompiler | None = None) -> CompiledEmail:
        """Find the placeholders. Raises ``ContentError`` for a malformed one."""
        return CompiledEmail(content, texts or compile_text)


def is_markup(body: str) -> bool:
    """Whether a body is HTML: it holds a tag, a doctype or a comment."""
    return _MARKUP.search(body) is not None


def _one_line(text: str, field: str, limit: int) -> str:
    line = _BREAKS.sub(" ", text).strip()
    if len(line) > limit:
        raise ContentError(f"The {field} has {len(line)} characters; at most {limit} are allowed.", field=field)
    return _encodable(line, field)


def _room(subject: Text, *bodies: Text | None) -> int | None:
    """Return how many characters may be filled in before a subject or body is too long, however often each is used.

    Escaping makes six of one, and UTF-8 four octets of each. None for texts that do more than to fill in, and for those
    that are nearly too long already.
    """
    room = _ROOM
    for text, limit in ((subject, MAX_SUBJECT), *((body, MAX_BODY // 24) for body in bodies if body)):
        if not text.is_fixed:
            return None
        fixed = sum(len(part) for part in text.parts if isinstance(part, str))
        slots = sum(not isinstance(part, str) for part in text.parts)
        room = min(room, (limit - fixed) // slots) if slots else room if fixed <= limit else -1
    return room if room >= 0 else None


def _bounded(text: str, field: str) -> str:
    if len(text) > MAX_BODY or (len(text) * 4 > MAX_BODY and len(text.encode("utf-8", "replace")) > MAX_BODY):
        raise ContentError(f"The {field} is larger than {MAX_BODY // 1024} KiB.", field=field)
    return _encodable(text, field)


def _encodable(text: str, field: str) -> str:
    if not text.isascii() and _SURROGATE.search(text):
        raise ContentError(f"The {field} has a character that is not valid Unicode.", field=field)
    return text


@lru_cache(maxsize=256)
def _reply_address(address: str) -> str:
    try:
        return normalise_email(address)
    except ValueError as error:
        raise ContentError(str(error), field="reply_to") from None


def _distinct(addresses: Sequence[str], field: str, *, but: Sequence[str]) -> list[str]:
    try:
        return distinct([address for address in addresses if address], but=but)
    except ValueError as error:
        raise ContentError(str(error), field=field) from None


#: Private-use characters that stand for the n-th placeholder while HTML is turned into text.
_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")


def _text_of(markup: Text) -> Text:
    """Return the plain-text alternative of compiled HTML, with the same placeholders where its reader sees them.

    It is made from the template and not from every message, because parsing HTML is the dearest step of a message.
    """
    return _cached_text_of(markup) if markup.cached else _make_text(markup)


def _make_text(markup: Text) -> Text:
    slots: list[Placeholder] = []
    pieces = []
    for part in markup.parts:
        if isinstance(part, Placeholder):
            pieces.append(f"{_OPEN}{len(slots)}{_CLOSE}")
            slots.append(part)
        else:
            pieces.append(part.replace(_OPEN, "").replace(_CLOSE, ""))
    found = _MARK.split(html_to_text("".join(pieces)))
    parts = (slots[int(piece)] if index % 2 else piece for index, piece in enumerate(found))
    return Text(tuple(part for part in parts if part != ""), markup.field)


_cached_text_of = lru_cache(maxsize=256)(_make_text)
