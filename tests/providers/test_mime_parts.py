"""Emails with attachments parse to what was put into them, built by hand and by the standard library alike."""

from __future__ import annotations

from base64 import b64encode
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.providers.test_mime import BODY, build, parse

LOGO = {"filename": "logo.png", "content_type": "image/png", "content": b64encode(b"\x89PNG" * 50).decode()}
INVOICE = {"filename": "Rechnung Größe.pdf", "content_type": "application/pdf", "content": b64encode(b"%PDF").decode()}
#: The second has a local part that is not ASCII, which is the standard library's business.
RECIPIENTS = ["ada@example.com", "grüße@example.com"]


def files(message: EmailMessage) -> list[tuple[str | None, str, bytes, str | None, str | None]]:
    return [
        (
            part.get_filename(),
            part.get_content_type(),
            part.get_content(),
            part.get_content_disposition(),
            part["Content-ID"],
        )
        for part in message.walk()
        if part.get_filename()
        if isinstance(part, EmailMessage)
    ]


@pytest.mark.parametrize("to", RECIPIENTS, ids=["ascii", "utf8"])
def test_files_of_both_kinds(to: str) -> None:
    data = build(
        to=to,
        subject="Hi",
        html='<img src="cid:logo">',
        text="plain",
        attachments=[INVOICE, {**LOGO, "content_id": "logo"}],
    )
    message = parse(data)
    assert message.get_content_type() == "multipart/mixed"
    assert files(message) == [
        ("logo.png", "image/png", b"\x89PNG" * 50, "inline", "<logo>"),
        ("Rechnung Größe.pdf", "application/pdf", b"%PDF", "attachment", None),
    ]
    rich, plain = message.get_body(("html",)), message.get_body(("plain",))
    assert rich is not None
    assert plain is not None
    assert rich.get_content().strip() == '<img src="cid:logo">'
    assert plain.get_content().strip() == "plain"
    assert max(map(len, data.splitlines())) <= 998


@pytest.mark.parametrize("to", RECIPIENTS, ids=["ascii", "utf8"])
def test_without_html_there_is_nothing_to_be_part_of(to: str) -> None:
    message = parse(build(to=to, text="plain", attachments=[{**LOGO, "content_id": "logo"}]))
    assert [(name, kind) for name, _, _, kind, _ in files(message)] == [("logo.png", "attachment")]
    plain = message.get_body(("plain",))
    assert plain is not None
    assert plain.get_content().strip() == "plain"


NAME = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Zs")), min_size=1, max_size=200)


@settings(max_examples=60, deadline=None)
@given(name=NAME, content=st.binary(min_size=1, max_size=400), text=BODY, html=st.none() | BODY)
def test_whatever_the_name_and_the_octets(name: str, content: bytes, text: str, html: str | None) -> None:
    given_file: dict[str, Any] = {
        "filename": name,
        "content_type": "application/octet-stream",
        "content": b64encode(content).decode(),
    }
    data = build(text=text, html=html, attachments=[given_file, given_file])
    assert max(map(len, data.splitlines())) <= 998
    found = files(parse(data))
    assert [(each[0], each[2]) for each in found] == [(name, content)] * 2
