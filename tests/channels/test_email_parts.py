"""Copies, header fields and attachments of an email: what may be said, and what it becomes."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from notifications.channels.base import ContentError
from notifications.channels.email import EmailChannel
from notifications.channels.email_parts import MAX_FILENAME, clean_filename, decoded_size, without_contents

CHANNEL = EmailChannel()


def render(context: dict[str, Any] | None = None, **content: Any) -> dict[str, Any]:
    return CHANNEL.prepare({"subject": "Hi", **content})[1].render(context or {})


def refused(**content: Any) -> ContentError:
    with pytest.raises(ContentError) as caught:
        render(**content)
    return caught.value


def file(**changes: Any) -> dict[str, Any]:
    return {"filename": "a.txt", "content": b64encode(b"hello").decode(), **changes}


def test_an_ordinary_email_has_none_of_it() -> None:
    assert render(body="x").keys() == {"subject", "text", "html", "reply_to", "from_name"}


def test_copies_are_normalised_filled_in_and_each_named_once() -> None:
    content = render(
        {"boss": "Eve@EXAMPLE.com", "nobody": ""},
        cc=["Bob@Example.COM", "{{boss}}", "{{ nobody }}"],
        bcc=["bob@example.com", "dora@example.com", "DORA@example.com"],
    )
    assert content["cc"] == ["Bob@example.com", "Eve@example.com"]
    assert content["bcc"] == ["dora@example.com"]


def test_placeholders_of_copies_and_headers_are_known() -> None:
    compiled = CHANNEL.compile(CHANNEL.validate({"subject": "x", "cc": ["{{a}}"], "headers": {"X-B": "{{b}}"}}))
    assert compiled.placeholders == {"a", "b"}


@pytest.mark.parametrize("field", ["cc", "bcc"])
def test_a_copy_that_is_no_address_names_its_field(field: str) -> None:
    assert refused(**{field: ["not an address"]}).field == field


def test_at_most_fifty_recipients_in_all() -> None:
    copies = [f"u{number}@example.com" for number in range(49)]
    assert len(render(cc=copies[:20], bcc=copies[20:])["bcc"]) == 29
    error = refused(cc=copies[:20], bcc=[*copies[20:], "one@example.com"])
    assert (error.field, "51" in error.message) == ("bcc", True)
    assert refused(cc=[*copies, "one@example.com"]).field == "cc"


def test_headers_of_the_list_are_taken_and_stay_on_one_line() -> None:
    headers = {"X-Order": "{{order}}", "in-reply-to": "<1@x.test>", "Precedence": "bulk", "X-Empty": "{{none}}"}
    content = render({"order": "7\r\nBcc: eve@evil.test", "none": ""}, headers=headers)
    assert content["headers"] == {
        "X-Order": "7 Bcc: eve@evil.test",
        "in-reply-to": "<1@x.test>",
        "Precedence": "bulk",
    }


@pytest.mark.parametrize(
    "name", ["Bcc", "From", "Message-ID", "Received", "Sender", "X-Notification-ID", "List-Unsubscribe", "X A", "X-ü"]
)
def test_other_headers_are_refused_by_name(name: str) -> None:
    error = refused(headers={name: "x"})
    assert error.field.startswith("headers")
    assert name in error.message


@pytest.mark.parametrize("value", ["a\nb", "a\r\nBcc: x@y.test", "a\0", "a\u2028b"])
def test_a_header_is_one_line(value: str) -> None:
    assert "line break" in refused(headers={"X-A": value}).message


def test_an_attachment_gets_a_type_and_loses_its_path() -> None:
    kept = render(attachments=[file(filename="../../etc/Größe\u202e 1.pdf", content="aGVs\r\nbG8=")])["attachments"]
    assert kept == [{"filename": "Größe 1.pdf", "content": "aGVsbG8=", "content_type": "application/pdf"}]
    assert decoded_size("aGVsbG8=") == 5
    assert without_contents(kept) == [{"filename": "Größe 1.pdf", "content_type": "application/pdf", "size": 5}]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"content": "not base64!"}, "attachments.0.content"),
        ({"content": "aGVsbG8"}, "attachments.0.content"),
        ({"content": ""}, "attachments.0.content"),
        ({"filename": "../"}, "attachments.0.filename"),
        ({"filename": ""}, "attachments.0.filename"),
        ({"content_type": "multipart/mixed"}, "attachments.0.content_type"),
        ({"content_type": "text/plain; charset=utf-8"}, "attachments.0.content_type"),
        ({"content_type": "text/plain\r\nX-A: b"}, "attachments.0.content_type"),
        ({"content_id": "a b"}, "attachments.0.content_id"),
        ({"url": "https://x.test"}, "attachments.0.url"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(f"{k}={v!r}" for k, v in value.items())[:40],
)
def test_a_bad_attachment_names_its_field(changes: dict[str, str], field: str) -> None:
    assert refused(attachments=[file(**changes)]).field == field


def test_at_most_ten_attachments_and_so_many_octets_together() -> None:
    assert refused(attachments=[file()] * 11).field == "attachments"
    small = EmailChannel()
    small.max_attached = 9
    with pytest.raises(ContentError, match="10 octets together; at most 9") as caught:
        small.validate({"subject": "x", "attachments": [file(), file()]})
    assert caught.value.field == "attachments"
    assert small.validate({"subject": "x", "attachments": [file()]})


def test_a_long_file_name_keeps_its_extension() -> None:
    name = clean_filename("x" * 900 + ".tar.gz")
    assert len(name) == MAX_FILENAME
    assert name.endswith("x.gz")


def test_what_adds_to_a_template_needs_no_words() -> None:
    part = {"attachments": [file()], "cc": ["bob@example.com"]}
    with pytest.raises(ContentError, match="needs a subject"):
        CHANNEL.prepare(part)
    valid, compiled = CHANNEL.prepare(part, part=True)
    assert valid["attachments"][0]["filename"] == "a.txt"
    assert compiled.render({})["cc"] == ["bob@example.com"]
    with pytest.raises(ContentError, match="51"):
        CHANNEL.prepare({"cc": ["a@b.test"] * 25, "bcc": ["a@b.test"] * 25}, part=True)
