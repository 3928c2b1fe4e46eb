"""Attachments of an email as MIME parts (RFC 2045, RFC 2183, RFC 2231, RFC 2387).

Their headers are the standard library's work, because names of files need all of RFC 2231; their bodies are not,
because it would copy megabytes several times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email import policy
from email.message import EmailMessage
from typing import Any

_LINE = 76


def is_inline(attachment: Mapping[str, Any], has_html: bool) -> bool:
    """Whether an attachment is shown by the HTML rather than listed beneath it."""
    return has_html and bool(attachment.get("content_id"))


def with_attachments(body: bytes, attachments: Sequence[Mapping[str, Any]], mark: bytes, *, has_html: bool) -> bytes:
    """Return a body, which begins with its own header fields, together with its attachments.

    ``mark`` makes the boundaries; it must not occur in ``body`` but for boundaries.
    """
    inline = [each for each in attachments if is_inline(each, has_html)]
    others = [each for each in attachments if not is_inline(each, has_html)]
    if inline:
        body = _multipart(b"related", b"=_r_" + mark, [body, *(_part(each, "inline") for each in inline)])
    if others:
        body = _multipart(b"mixed", b"=_m_" + mark, [body, *(_part(each, "attachment") for each in others)])
    return body


def _multipart(subtype: bytes, boundary: bytes, parts: Sequence[bytes]) -> bytes:
    lines = [b'Content-Type: multipart/%b; boundary="%b"\r\n' % (subtype, boundary)]
    for part in parts:
        lines += [b"--" + boundary, part.removesuffix(b"\r\n")]
    return b"\r\n".join([*lines, b"--%b--\r\n" % boundary])


def _part(attachment: Mapping[str, Any], disposition: str) -> bytes:
    head = EmailMessage(policy=policy.SMTP)
    head["Content-Type"] = attachment["content_type"]
    head["Content-Transfer-Encoding"] = "base64"
    head.add_header("Content-Disposition", disposition, filename=attachment["filename"])
    if attachment.get("content_id"):
        head["Content-ID"] = f"<{attachment['content_id']}>"
    content = attachment["content"].encode("ascii")
    lines = [content[start : start + _LINE] for start in range(0, len(content), _LINE)]
    return head.as_bytes() + b"\r\n".join(lines)
