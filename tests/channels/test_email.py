from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.channels.base import ContentError
from notifications.channels.email import MAX_BODY
from notifications.channels.registry import channels

email = channels.get("email")


def render(content: dict[str, Any], **context: Any) -> dict[str, Any]:
    return email.render(email.validate(content), context)


def test_a_subject_is_enough() -> None:
    assert render({"subject": "Hi {{name}}"}, name="John") == {
        "subject": "Hi John",
        "text": "",
        "html": None,
        "reply_to": None,
        "from_name": None,
    }


@pytest.mark.parametrize(
    ("body", "is_html"),
    [
        ("Hello", False),
        ("a < b and c > d", False),
        ("Write to <ada@example.com>", False),
        ("Dear <name>,", False),
        ("<p>Hello</p>", True),
        ("line<br>line", True),
        ("line<BR/>line", True),
        ("<!DOCTYPE html><html></html>", True),
        ('see <a href="https://x.test">this</a>', True),
        ("</div>", True),
    ],
)
def test_body_is_html_when_it_has_a_tag(body: str, is_html: bool) -> None:
    result = render({"subject": "x", "body": body})
    assert (result["html"] is not None) is is_html
    assert body in (result["html"], result["text"])


def test_explicit_fields_win_over_the_body() -> None:
    both = render({"subject": "x", "body": "<p>body</p>", "html": "<p>html</p>", "text": "text"})
    assert (both["html"], both["text"]) == ("<p>html</p>", "text")
    text = render({"subject": "x", "body": "<p>body</p>", "text": "text"})
    assert (text["html"], text["text"]) == ("<p>body</p>", "text")
    html = render({"subject": "x", "body": "plain body", "html": "<p>html</p>"})
    assert (html["html"], html["text"]) == ("<p>html</p>", "plain body")
    unused = render({"subject": "x", "body": "plain {{ missing }}", "text": "text"})
    assert unused["text"] == "text"


def test_values_are_escaped_in_html_only() -> None:
    result = render({"subject": "{{x}}", "html": '<p title="{{x}}">{{x}}</p>', "text": "{{x}}"}, x="<b>\"&'")
    assert result["html"] == '<p title="&lt;b&gt;&quot;&amp;&#x27;">&lt;b&gt;&quot;&amp;&#x27;</p>'
    assert result["subject"] == result["text"] == "<b>\"&'"


def test_the_text_alternative_has_the_values_that_a_reader_sees() -> None:
    result = render(
        {
            "html": "<style>{x}</style><h1>Hi {{ name }}</h1>"
            '<p>Go <a href="{{ url }}">there</a>, &#123;&#123; you }}</p>'
        },
        name="<Ada & Co>",
        url="https://x.test/?a=1&b=2",
    )
    assert result["text"] == "Hi <Ada & Co>\n\nGo there (https://x.test/?a=1&b=2), {{ you }}"


def test_placeholders_of_all_fields_are_known() -> None:
    compiled = email.compile(
        {
            "subject": "{{a}}",
            "html": "<p>{{b.c}}</p>",
            "reply_to": "{{d}}@x.test",
            "from_name": "{{e}}",
            "text": "{{f}}",
        }
    )
    assert compiled.placeholders == {"a", "b.c", "d", "e", "f"}


@pytest.mark.parametrize("field", ["subject", "from_name"])
@given(value=st.text(max_size=60))
def test_no_value_can_start_a_header(field: str, value: str) -> None:
    try:
        result = email.render({"subject": "s", field: "[{{ x }}]"}, {"x": value})
    except ContentError:
        return
    assert len(result[field].splitlines()) == 1
    assert result[field].isprintable() or not any(ord(char) < 32 for char in result[field])


def test_line_breaks_in_a_subject_become_spaces() -> None:
    result = render({"subject": "Hi {{x}}\n", "from_name": "A\u2028{{x}}"}, x="a\r\nBcc: evil@x.test\0")
    assert result["subject"] == "Hi a Bcc: evil@x.test"
    assert result["from_name"] == "A a Bcc: evil@x.test"


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({}, "subject"),
        ({"subject": " ", "body": ""}, "subject"),
        ({"subject": "x" * 999}, "subject"),
        ({"subject": 5}, "subject"),
        ({"subject": ["x"]}, "subject"),
        ({"subject": "x", "title": "y"}, "title"),
        ({"subject": "x", "body": "y" * (MAX_BODY + 1)}, "body"),
        ({"subject": "x", "from_name": "y" * 201}, "from_name"),
    ],
)
def test_content_that_is_refused(content: dict[str, Any], field: str) -> None:
    with pytest.raises(ContentError) as caught:
        email.validate(content)
    assert caught.value.field == field
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("content", "context", "field"),
    [
        ({"subject": "{{x}}"}, {"x": "y" * 999}, "subject"),
        ({"text": "{{x}}"}, {"x": "y" * (MAX_BODY + 1)}, "text"),
        ({"text": "{{x}}"}, {"x": "é" * (MAX_BODY // 2 + 1)}, "text"),
        ({"body": "<p>{{x}}</p>"}, {"x": "&" * (MAX_BODY // 4)}, "body"),
        ({"subject": "x", "from_name": "{{x}}"}, {"x": "y" * 201}, "from_name"),
        ({"subject": "x", "reply_to": "{{x}}"}, {"x": "nobody"}, "reply_to"),
        ({"subject": "x", "reply_to": "a@b.test,{{x}}"}, {"x": "c@d.test"}, "reply_to"),
        ({"subject": "{{x}}"}, {"x": "\ud800"}, "subject"),
        ({"body": "{{x}}"}, {"x": "\ud800"}, "body"),
        ({"body": "{{ x"}, {}, "body"),
        ({"body": "<p>{{ x }}</p>"}, {}, "body"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_becomes_too_large_or_wrong_with_its_values(
    content: dict[str, Any], context: dict[str, Any], field: str
) -> None:
    with pytest.raises(ContentError) as caught:
        email.render(email.validate(content), context)
    assert caught.value.field == field


def test_limits_are_inclusive() -> None:
    assert len(render({"text": "{{x}}"}, x="y" * MAX_BODY)["text"]) == MAX_BODY
    assert len(render({"subject": "{{x}}"}, x="y" * 998)["subject"]) == 998


@pytest.mark.parametrize(
    ("address", "stored"),
    [
        ("ada@example.com", "ada@example.com"),
        ("  Ada.Love@EXAMPLE.com ", "Ada.Love@example.com"),
        ("ada+tag@example.co.uk", "ada+tag@example.co.uk"),
        ("ada@example.test", "ada@example.test"),
        ("ada@mail.local", "ada@mail.local"),
        ("ada@localhost", "ada@localhost"),
        ("ada@BÜCHER.example", "ada@bücher.example"),
        ("ada@xn--bcher-kva.example", "ada@bücher.example"),
        ("jo\u0308rg@example.com", "jörg@example.com"),
    ],
)
def test_addresses(address: str, stored: str) -> None:
    assert email.normalise_address(address) == stored
    assert email.normalise_address(stored) == stored


@pytest.mark.parametrize(
    "address",
    ["", "ada", "ada@", "@example.com", "ada@example", "Ada <ada@example.com>", "a@b.test, c@d.test", "a b@c.test",
     "a@b.test\r\nBcc: x@y.test", "a@b..test", "a@-b.test", '"a b"@c.test', "a@[127.0.0.1]", "a@127.0.0.1",
     "a" * 260 + "@b.test", "a" * 3_000_000, "a\0@b.test", "\ud800@b.test"],
)  # fmt: skip
def test_addresses_that_are_refused(address: str) -> None:
    with pytest.raises(ContentError) as caught:
        email.normalise_address(address)
    assert caught.value.field == "recipient"
