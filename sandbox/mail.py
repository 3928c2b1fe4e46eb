"""Reads a caught mail (RFC 5322, MIME, or a vendor's JSON): headers, text, HTML, attachments, who gets copies.

Nothing in a mail can make it raise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses
from typing import Any

_SUBJECT = re.compile(rb"^Subject:[ \t]*(.*(?:\r?\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")

Headers = dict[str, str | list[str]]


@dataclass(slots=True)
class Mail:
    """The readable parts of a mail; ``text`` and ``html`` are the first inline part of their kind, or empty."""

    headers: Headers = field(default_factory=dict)
    text: str = ""
    html: str = ""
    attachments: list[dict[str, str | int]] = field(default_factory=list)
    to: list[str] = field(default_factory=list)
    cc: list[str] = field(default_factory=list)

    def bcc(self, recipients: Sequence[str]) -> list[str]:
        """Return those of the envelope's recipients that the mail does not name."""
        named = {address.casefold() for address in (*self.to, *self.cc)}
        return [address for address in recipients if address.casefold() not in named] if named else []


def subject_of(raw: bytes) -> str:
    """Return the decoded subject of a mail, or an empty string; looks at the header block only."""
    end = _END_OF_HEADERS.search(raw)
    match = _SUBJECT.search(raw, 0, end.start() if end else len(raw))
    return _decoded(match[1].decode("utf-8", "replace")) if match else ""


def parse(raw: bytes) -> Mail:
    """Return the readable parts of ``raw``. Repeated headers become a list, in the order of the mail."""
    if raw.startswith(b"{"):
        return _parse_json(raw)
    message = message_from_bytes(raw)
    mail = Mail(headers=_headers(message))
    mail.to, mail.cc = _addresses(mail.headers, "to"), _addresses(mail.headers, "cc")
    texts: dict[str, str] = {}
    for part in message.walk():
        if part.is_multipart():
            continue
        kind = part.get_content_type()
        if part.get_content_disposition() != "attachment" and kind in ("text/plain", "text/html") and kind not in texts:
            texts[kind] = _content(part)
        elif part is not message:
            name = part.get_filename()
            content = part.get_payload(decode=True)
            size = len(content) if isinstance(content, bytes) else 0
            mail.attachments.append({"filename": _decoded(name or ""), "content_type": kind, "size": size})
    mail.text, mail.html = texts.get("text/plain", ""), texts.get("text/html", "")
    return mail


def _parse_json(raw: bytes) -> Mail:
    """Read what the API of a mail service was sent (SendGrid's Mail Send): its attachments and recipients."""
    mail = Mail()
    try:
        given = json.loads(raw)
        for one in given["personalizations"]:
            mail.to += [str(each["email"]) for each in one.get("to", ())]
            mail.cc += [str(each["email"]) for each in one.get("cc", ())]
        for file in given.get("attachments", ()):
            content = str(file.get("content", ""))
            size = len(content) // 4 * 3 - content[-2:].count("=")
            kind = str(file.get("type", "application/octet-stream"))
            mail.attachments.append({"filename": str(file.get("filename", "")), "content_type": kind, "size": size})
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return mail


def _addresses(headers: Headers, wanted: str) -> list[str]:
    values: list[Any] = [value for name, value in headers.items() if name.lower() == wanted]
    texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
    return [address for _, address in getaddresses(texts) if address]


def _headers(message: Message) -> Headers:
    headers: Headers = {}
    for name, value in message.raw_items():
        # Bytes beyond ASCII (RFC 6532) arrive as surrogates.
        text = _decoded(str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
        seen = headers.get(name)
        if seen is None:
            headers[name] = text
        elif isinstance(seen, list):
            seen.append(text)
        else:
            headers[name] = [seen, text]
    return headers


def _decoded(value: str) -> str:
    """Unfold a header value and decode its encoded words (RFC 2047); what can not be decoded stays as it is."""
    value = _FOLD.sub("", value).strip()
    if "=?" not in value:
        return value
    try:
        return str(make_header(decode_header(value)))
    except (HeaderParseError, LookupError, ValueError):
        return value


def _content(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    try:
        text = payload.decode(part.get_content_charset("utf-8"), "replace")
    except (LookupError, ValueError):
        text = payload.decode("utf-8", "replace")
    return text.replace("\r\n", "\n")
