from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.channels.base import ContentError
from notifications.channels.registry import channels
from notifications.channels.sms import GSM_BASIC, GSM_EXTENSION, MAX_BODY, measure

sms = channels.get("sms")


def render(content: dict[str, Any], **context: Any) -> dict[str, Any]:
    return sms.render(sms.validate(content), context)


def test_values_are_filled_in_as_they_are() -> None:
    result = render({"body": "Hi {{ name }}: {{code}}"}, name="<Ada & Co>", code=7)
    assert result == {"body": "Hi <Ada & Co>: 7", "encoding": "GSM-7", "segments": 1}


def test_media() -> None:
    content = {"body": "Look", "media_urls": ["https://cdn.test/{{ file }}.png"]}
    assert render(content, file="a")["media_urls"] == ["https://cdn.test/a.png"]
    assert sms.compile(sms.validate(content)).placeholders == {"file"}
    for bad in ("ftp://x/y", "https://", "https://u:p@x/y", "javascript:alert(1)", "https://x/ y", "//x"):
        with pytest.raises(ContentError) as caught:
            render({"body": "x", "media_urls": [bad]})
        assert caught.value.field == "media_urls"
    with pytest.raises(ContentError):
        render({"body": "x", "media_urls": ["https://x.test/"] * 11})


@pytest.mark.parametrize(
    ("text", "encoding", "segments"),
    [
        ("", "GSM-7", 1),
        ("x" * 160, "GSM-7", 1),
        ("x" * 161, "GSM-7", 2),
        ("x" * 306, "GSM-7", 2),
        ("x" * 307, "GSM-7", 3),
        ("€" * 80, "GSM-7", 1),
        ("€" * 81, "GSM-7", 2),
        ("€" * 152, "GSM-7", 2),  # 76 fit into each part: the 153rd septet can not hold half of one
        ("€" * 153, "GSM-7", 3),
        ("x" * 152 + "€" + "x" * 20, "GSM-7", 2),
        ("ç", "UCS-2", 1),  # the basic set has only the capital
        ("Ç", "GSM-7", 1),
        ("`", "UCS-2", 1),
        ("ü" * 160, "GSM-7", 1),
        ("ж" * 70, "UCS-2", 1),
        ("ж" * 71, "UCS-2", 2),
        ("ж" * 134, "UCS-2", 2),
        ("ж" * 135, "UCS-2", 3),
        ("🎉" * 35, "UCS-2", 1),
        ("🎉" * 36, "UCS-2", 2),
        ("🎉" * 66, "UCS-2", 2),
        ("🎉" * 67, "UCS-2", 3),
        ("x" * 159 + "’", "UCS-2", 3),
    ],
)
def test_encoding_and_segments(text: str, encoding: str, segments: int) -> None:
    assert measure(text) == (encoding, segments)


def test_the_tables_have_the_size_of_the_standard() -> None:
    assert len(GSM_BASIC) == len(set(GSM_BASIC)) == 127
    assert len(set(GSM_EXTENSION)) == 10
    assert not set(GSM_BASIC) & set(GSM_EXTENSION)


@given(st.text(alphabet=st.sampled_from("ax€[ж🎉\n"), max_size=700))
def test_segments_hold_the_text_and_waste_at_most_one_unit_each(text: str) -> None:
    encoding, segments = measure(text)
    if encoding == "GSM-7":
        units = len(text) + sum(char in GSM_EXTENSION for char in text)
        alone, part = 160, 153
    else:
        units, alone, part = len(text.encode("utf-16-be")) // 2, 70, 67
    if units <= alone:
        assert segments == 1
    else:
        assert -(-units // part) <= segments <= -(-units // (part - 1))


def test_length_counts_after_filling_in() -> None:
    assert render({"body": "{{ x }}"}, x="y" * MAX_BODY)["segments"] == 11
    with pytest.raises(ContentError, match="1601 characters; at most 1600") as caught:
        render({"body": "{{ x }}"}, x="y" * (MAX_BODY + 1))
    assert caught.value.field == "body"


@pytest.mark.parametrize("body", ["", "   ", None, 7, "{{ broken", "x" * 10_001])
def test_bad_bodies_name_the_field(body: Any) -> None:
    with pytest.raises(ContentError) as caught:
        render({"body": body})
    assert caught.value.field == "body"


@pytest.mark.parametrize("value", ["", "  ", "a\0b", "\ud800"])
def test_values_that_leave_nothing_to_send(value: str) -> None:
    with pytest.raises(ContentError) as caught:
        render({"body": "{{ x }}"}, x=value)
    assert caught.value.field == "body"


@pytest.mark.parametrize(
    ("number", "region", "stored"),
    [
        ("+1 (555) 123-4567", None, "+15551234567"),
        ("+44 20 7946 0958", "US", "+442079460958"),
        ("(555) 123-4567", "US", "+15551234567"),
        ("(555) 123-4567", "us", "+15551234567"),
        ("0171 1234567", "DE", "+491711234567"),
        ("0049 171 1234567", "DE", "+491711234567"),
        ("tel:+15551234567", None, "+15551234567"),
        ("＋１５５５１２３４５６７", None, "+15551234567"),
        ("+15005550001", None, "+15005550001"),
    ],
)
def test_addresses(number: str, region: str | None, stored: str) -> None:
    assert sms.normalise_address(number, region=region) == stored


@pytest.mark.parametrize(
    ("number", "region"),
    [
        ("0171 1234567", None), ("555", "US"), ("+1", None), ("+999 123 456 789", None), ("ada@example.com", "US"),
        ("Bob +15551234567", None), ("1-800-FLOWERS", "US"), ("+15551234567x9", None), ("+1555123456789012345", None),
        ("+15551234567,+15551234568", None), ("0171 1234567", "ZZ"), ("0171 1234567", "../"),
    ],
)  # fmt: skip
def test_addresses_that_are_none(number: str, region: str | None) -> None:
    with pytest.raises(ContentError) as caught:
        sms.normalise_address(number, region=region)
    assert caught.value.field == "recipient"


def test_a_number_without_a_country_is_told_what_it_lacks() -> None:
    with pytest.raises(ContentError, match="with its country code"):
        sms.normalise_address("0171 1234567")


@given(st.text(max_size=30))
def test_any_text_is_a_number_or_an_error(text: str) -> None:
    try:
        stored = sms.normalise_address(text, region="US")
    except ContentError:
        return
    assert stored.startswith("+")
    assert stored[1:].isascii()
    assert stored[1:].isdigit()
    assert sms.normalise_address(stored) == stored
