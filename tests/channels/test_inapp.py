"""The in-app channel."""

from __future__ import annotations

from typing import Any

import pytest

from notifications.channels.base import ContentError
from notifications.channels.inapp import InAppChannel

CHANNEL = InAppChannel()


def test_values_are_filled_in_as_they_are() -> None:
    content = CHANNEL.validate(
        {
            "title": "{{ name }}",
            "action": {"url": "/invoices/{{ id }}", "label": "Open {{ id }}"},
            "sound": "chime.mp3",
            "image": "https://cdn.example/{{ id }}.png",
            "data": {"nested": [{"id": "{{ id }}", "count": 3}]},
        }
    )
    assert CHANNEL.render(content, {"name": "<Ada>", "id": 7}) == {
        "title": "<Ada>",
        "action": {"url": "/invoices/7", "label": "Open 7"},
        "sound": "chime.mp3",
        "priority": "normal",
        "image": "https://cdn.example/7.png",
        "data": {"nested": [{"id": "7", "count": 3}]},
    }


@pytest.mark.parametrize(
    "link", ["https://acme.example/a?b#c", "http://acme.example", "/", "/a/b?c=d", "?tab=2", "#top"]
)
def test_links_that_lead_somewhere(link: str) -> None:
    content = {"title": "x", "action": {"url": "{{ link }}"}}
    assert CHANNEL.render(CHANNEL.validate(content), {"link": link})["action"]["url"] == link


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "/\\evil.example",
        "https:evil",
        "https://user@evil.example",
        "/a b",
        "/a\nb",
        "",
        "/" + "x" * 2048,
    ],
)
@pytest.mark.parametrize("field", ["action.url", "image"])
def test_links_that_run_something_or_mislead_are_refused(link: str, field: str) -> None:
    content: dict[str, Any] = {"title": "x"}
    content |= {"image": "{{ link }}"} if field == "image" else {"action": {"url": "{{ link }}"}}
    with pytest.raises(ContentError) as caught:
        CHANNEL.render(CHANNEL.validate(content), {"link": link})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("content", "context", "field"),
    [
        ({"title": "{{ x }}"}, {"x": "x" * 201}, "title"),
        ({"body": "{{ x }}"}, {"x": "x" * 10_001}, "body"),
        ({"body": "y", "data": {"a": "{{ x }}"}}, {"x": "x" * 16_400}, "data"),
    ],
)
def test_limits_hold_with_the_values(content: dict[str, Any], context: dict[str, str], field: str) -> None:
    with pytest.raises(ContentError) as caught:
        CHANNEL.render(CHANNEL.validate(content), context)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({}, "title"),
        ({"title": " "}, "title"),
        ({"title": "x", "priority": "shouting"}, "priority"),
        ({"title": "x", "sound": "../../etc/passwd"}, "sound"),
        ({"title": "x", "action": {"label": "x"}}, "action.url"),
        ({"title": "x", "data": {"a": object()}}, "data"),
        ({"title": "x", "data": {"a": "x" * 20_000}}, "data"),
    ],
)
def test_bad_content_names_the_field(content: dict[str, Any], field: str) -> None:
    with pytest.raises(ContentError) as caught:
        CHANNEL.validate(content)
    assert caught.value.field == field


def test_user_ids() -> None:
    assert CHANNEL.normalise_address(" Ada Lovelace ") == "Ada Lovelace"
    assert CHANNEL.normalise_address("x" * 255)
    for bad in ("", " ", "x" * 256, "a\nb", "a\x00"):
        with pytest.raises(ContentError):
            CHANNEL.normalise_address(bad)
