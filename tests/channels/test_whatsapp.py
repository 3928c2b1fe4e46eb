"""The WhatsApp channel: template, text or media."""

from __future__ import annotations

from typing import Any

import pytest

from notifications.channels.base import ContentError
from notifications.channels.whatsapp import WhatsAppChannel

CHANNEL = WhatsAppChannel()


def template(**changes: Any) -> dict[str, Any]:
    return {"template": {"name": "order_shipped", "language": "en_US", **changes}}


def test_values_in_a_template_become_one_line() -> None:
    content = CHANNEL.validate(
        template(
            components=[
                {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://cdn.example/a.png"}}]},
                {"type": "body", "parameters": [{"type": "text", "text": "{{ name }}"}]},
                {"type": "button", "sub_type": "url", "index": 0, "parameters": [{"type": "text", "text": "{{ id }}"}]},
            ]
        )
    )
    compiled = CHANNEL.compile(content)
    assert compiled.placeholders == {"name", "id"}
    rendered = compiled.render({"name": " Ada\n\tKing     Lovelace ", "id": 7})
    components = rendered["template"]["components"]
    assert components[1]["parameters"][0]["text"] == "Ada King Lovelace"
    assert components[2]["parameters"][0]["text"] == "7"
    assert components[0]["parameters"][0]["image"]["link"] == "https://cdn.example/a.png"


def test_values_in_a_text_keep_their_lines() -> None:
    content = CHANNEL.validate({"text": {"body": "{{ text }}", "preview_url": True}})
    assert CHANNEL.render(content, {"text": "a\nb"}) == {"text": {"body": "a\nb", "preview_url": True}}


@pytest.mark.parametrize(
    ("content", "context", "field"),
    [
        ({"text": {"body": "{{ x }}"}}, {"x": "x" * 4097}, "text.body"),
        ({"text": {"body": "{{ x }}"}}, {"x": " "}, "text.body"),
        ({"media": {"type": "image", "link": "{{ x }}"}}, {"x": "javascript:alert(1)"}, "media.link"),
        ({"media": {"type": "image", "id": "1", "caption": "{{ x }}"}}, {"x": "x" * 1025}, "media.caption"),
    ],
)
def test_limits_hold_with_the_values(content: dict[str, Any], context: dict[str, str], field: str) -> None:
    with pytest.raises(ContentError) as caught:
        CHANNEL.render(CHANNEL.validate(content), context)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({}, "template"),
        ({"text": {"body": "x"}, "media": {"type": "image", "id": "1"}}, "template"),
        ({"text": {"body": ""}}, "text.body"),
        ({"text": "x"}, "text"),
        (template(name="Order Shipped"), "template.name"),
        (template(language="English"), "template.language"),
        (template(components=[{"type": "footer"}]), "template"),
        (template(components={}), "template.components"),
        ({"media": {"type": "image"}}, "media"),
        ({"media": {"type": "image", "id": "1", "link": "https://x.example"}}, "media"),
        ({"media": {"type": "audio", "id": "1", "caption": "x"}}, "media"),
        ({"media": {"type": "image", "id": "1", "filename": "x"}}, "media"),
        ({"media": {"type": "hologram", "id": "1"}}, "media.type"),
    ],
)
def test_bad_content_names_the_field(content: dict[str, Any], field: str) -> None:
    with pytest.raises(ContentError) as caught:
        CHANNEL.validate(content)
    assert caught.value.field == field


def test_addresses_are_telephone_numbers() -> None:
    assert CHANNEL.normalise_address("0151 12345678", region="DE") == "+4915112345678"
    assert CHANNEL.normalise_address("+49 151 12345678") == "+4915112345678"
    with pytest.raises(ContentError):
        CHANNEL.normalise_address("0151 12345678")
