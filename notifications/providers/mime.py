"""Builds the bytes of an email (RFC 5322, RFC 2045–2047) from rendered content.

The ordinary case, text and HTML in UTF-8, is put together by hand, because the standard library needs forty times as
long for it; what is unusual (a local part that is not ASCII, RFC 6532) goes the standard library's way. Both ways give
messages that parse to the same values, which the tests prove for arbitrary text.
"""

from __future__ import annotations

import re
import secrets
import time
from base64 import b64decode, b64encode
from binascii import b2a_qp
from collections.abc import Mapping, Sequence
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

from notifications.providers.addresses import wire_address
from notifications.providers.html_text import html_to_text
from notifications.providers.mime_parts import is_inline, with_attachments

_PLAIN = re.compile(r"[\x20-\x7e]*")
_FORBIDDEN = re.compile(r"[\r\n\0\ud800-\udfff]")
_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
_LONGEST_LINE = 998
_NEWLINE = re.compile(r"\r\n|\r|\n")
#: Header fields that the builder or the mail server writes itself.
_OWN = re.compile(
    r"from|to|cc|bcc|sender|reply-to|subject|date|message-id|mime-version|x-notification-id|return-path|content-.*",
    re.IGNORECASE,
)
_FOLD = 76


def build_email(
    *,
    message_id: UUID,
    from_email: str,
    to: str,
    subject: str = "",
    text: str | None = None,
    html: str | None = None,
    from_name: str | None = None,
    reply_to: str | None = None,
    cc: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    attachments: Sequence[Mapping[str, Any]] = (),
) -> bytes:
    """Return a complete message with CRLF line ends.

    ``attachments`` are ``{"filename", "content_type", "content" (base64), "content_id"?}``; those with an id become
    part of the HTML (RFC 2387), if there is any.

    ``message_id`` is the record's id: the Message-ID is ``<{id}@{domain of from_email}>``, the same at every try.
    With ``html`` and without ``text``, a plain-text alternative is made from the HTML. The bytes are ASCII unless an
    address has a local part that is not. Raises ``ValueError`` naming a header with CR, LF, NUL or a lone surrogate.
    """
    if text is None:
        text = html_to_text(html) if html else ""
    addresses = (from_email, to, *cc, *((reply_to,) if reply_to else ()))
    for name, value in (("Subject", subject), ("From", from_name or ""), *(headers or {}).items()):
        if _FORBIDDEN.search(value):
            raise ValueError(f"The header {name!r} must not contain a line break or a null character.")
    for name in headers or ():
        if not _FIELD_NAME.fullmatch(name) or _OWN.fullmatch(name):
            raise ValueError(f"The header {name!r} can not be set.")
    sender, recipient, *others = (wire_address(address) for address in addresses)
    copies, answers = others[: len(cc)], others[len(cc) :]
    fields = [
        f"From: {_mailbox(sender, from_name)}",
        f"To: {recipient}",
        *([f"Cc: {_fold(', '.join(copies), 4)}"] if copies else ()),
        *([f"Reply-To: {answers[0]}"] if answers else ()),
        f"Subject: {_unstructured(subject, 9)}",
        f"Date: {_date(int(time.time()))}",
        f"Message-ID: <{message_id}@{sender.rpartition('@')[2]}>",
        f"X-Notification-ID: {message_id}",
        *(f"{name}: {_unstructured(value, len(name) + 2)}" for name, value in (headers or {}).items()),
        "MIME-Version: 1.0",
    ]
    if not all(address.isascii() for address in (sender, recipient, *others)):
        return _by_standard_library(fields, from_name, sender, subject, text, html, attachments)
    head = "\r\n".join(fields).encode("ascii")
    plain = _part(text, "plain")
    if html is None and not attachments:
        return b"%b\r\n%b" % (head, plain)
    rich = _part(html, "html") if html is not None else b""
    mark = message_id.hex.encode()
    while mark in plain or mark in rich:
        mark = secrets.token_hex(16).encode()
    if html is None:
        body = plain
    else:
        body = (
            b'Content-Type: multipart/alternative; boundary="=_%b"\r\n\r\n'
            b"--=_%b\r\n%b\r\n--=_%b\r\n%b\r\n--=_%b--\r\n" % (mark, mark, plain, mark, rich, mark)
        )
    if attachments:
        body = with_attachments(body, attachments, mark, has_html=html is not None)
    return b"%b\r\n%b" % (head, body)


def _part(body: str, subtype: str) -> bytes:
    """Return one text part with its headers: 7bit if it fits, else quoted-printable or base64, the shorter one."""
    if "\r" in body:
        body = _NEWLINE.sub("\n", body)
    data = body.encode("utf-8")
    if body.isascii() and "\0" not in body and max(map(len, data.split(b"\n"))) <= _LONGEST_LINE:
        encoding, data = b"7bit", data.replace(b"\n", b"\r\n")
    elif len(data) - len(body) > len(data) // 6:  # mostly not Latin: three octets for two, against nine for three
        encoding, data = b"base64", _base64_lines(data)
    else:
        encoding, data = b"quoted-printable", b2a_qp(data, istext=True).replace(b"\n", b"\r\n")
    return b"Content-Type: text/%b; charset=utf-8\r\nContent-Transfer-Encoding: %b\r\n\r\n%b" % (
        subtype.encode(), encoding, data,
    )  # fmt: skip


def _base64_lines(data: bytes) -> bytes:
    text = b64encode(data.replace(b"\n", b"\r\n"))
    return b"\r\n".join([text[start : start + 76] for start in range(0, len(text), 76)])


def _unstructured(value: str, used: int) -> str:
    """Return a header value, folded (RFC 5322 §2.2.3), as encoded words (RFC 2047) where plain ASCII will not do.

    ``used`` is how many characters of the first line the field's name takes.
    """
    if _PLAIN.fullmatch(value) and "=?" not in value and value == value.strip(" "):
        if len(value) + used <= _FOLD:
            return value
        if "  " not in value and max(map(len, value.split(" "))) < 900:
            return _fold(value, used)
    return _encoded_words(value, used)


def _fold(value: str, used: int) -> str:
    """Put a line break in front of single spaces, so that unfolding gives the same value back."""
    lines = [""]
    for word in value.split(" "):
        room = _FOLD - (used if len(lines) == 1 else 0)
        if lines[-1] and len(lines[-1]) + 1 + len(word) > room:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return "\r\n ".join(lines)


def _encoded_words(value: str, used: int) -> str:
    """Return encoded words of at most 75 characters; none of them splits a character (RFC 2047 §5)."""
    words: list[str] = []
    chunk: list[str] = []
    size = 0
    room = min(45, max(12, (_FOLD - used - 12) // 4 * 3))
    for char in value:
        width = len(char.encode())
        if size + width > room:
            words.append("".join(chunk))
            chunk, size, room = [], 0, 45
        chunk.append(char)
        size += width
    words.append("".join(chunk))
    return "\r\n ".join(f"=?utf-8?b?{b64encode(word.encode()).decode()}?=" for word in words)


@lru_cache(maxsize=1024)
def _mailbox(address: str, name: str | None) -> str:
    """Return an address with its display name: an atom, a quoted string or encoded words, as the name needs."""
    name = (name or "").strip()
    if not name:
        return address
    if not _PLAIN.fullmatch(name) or "=?" in name or len(name) > 450:
        shown = _encoded_words(name, 6)
    else:
        if not _ATOMS.fullmatch(name) or "  " in name:
            name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        shown = name if "  " in name else _fold(name, 6)
    separator = "\r\n " if len(shown) + len(address) + 9 > _FOLD else " "
    return f"{shown}{separator}<{address}>"


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return formatdate(second, localtime=False).replace("-0000", "+0000")


def _by_standard_library(
    fields: Sequence[str],
    from_name: str | None,
    sender: str,
    subject: str,
    text: str,
    html: str | None,
    attachments: Sequence[Mapping[str, Any]],
) -> bytes:
    """Build the message with ``EmailMessage``, for addresses that need UTF-8 in the header (RFC 6532)."""
    message = EmailMessage(policy=policy.SMTPUTF8)
    local, _, domain = sender.rpartition("@")
    message["From"] = Address(from_name or "", username=local, domain=domain)
    message["Subject"] = subject
    for line in fields:
        name, _, value = line.partition(": ")
        if name not in {"From", "Subject", "MIME-Version"}:
            message[name] = value.replace("\r\n", "")
    message.set_content(text, charset="utf-8", cte="base64")
    if html is not None:
        message.add_alternative(html, subtype="html", charset="utf-8", cte="base64")
    for each in sorted(attachments, key=lambda each: not is_inline(each, html is not None)):
        main, _, sub = each["content_type"].partition("/")
        named: dict[str, Any] = {"maintype": main, "subtype": sub, "filename": each["filename"]}
        if each.get("content_id"):
            named["cid"] = f"<{each['content_id']}>"
        content = b64decode(each["content"])
        if is_inline(each, html is not None):
            rich = cast("EmailMessage", message.get_body(("html",)))
            rich.add_related(content, disposition="inline", **named)
        else:
            message.add_attachment(content, **named)
    return message.as_bytes()
