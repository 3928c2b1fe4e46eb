"""What every channel promises."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from notifications.channels.base import Channel, ContentError
from notifications.channels.registry import channels
from notifications.providers.registry import providers

ALL = pytest.mark.parametrize("channel", list(channels), ids=lambda channel: channel.key)
#: One content that every field of which is a text, and one address, per channel.
SAMPLES: dict[str, tuple[dict[str, Any], str]] = {
    "email": ({"subject": "Hi {{ name }}", "body": "<p>{{ name }}</p>"}, "ada@example.com"),
    "sms": ({"body": "Hi {{ name }}"}, "+15551234567"),
    "push": ({"title": "Hi {{ name }}", "body": "{{ name }}"}, "cXyz-1:APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqx"),
    "whatsapp": ({"text": {"body": "Hi {{ name }}"}}, "+15551234567"),
    "inapp": ({"title": "Hi {{ name }}", "body": "{{ name }}"}, "user-7"),
    "apprise": ({"title": "Hi {{ name }}", "body": "Hello"}, "ops"),
}


def test_every_channel_has_a_sample() -> None:
    assert set(SAMPLES) == set(channels.keys())


@ALL
def test_key_label_and_providers(channel: Channel) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,31}", channel.key)
    assert channel.label
    assert channel.providers
    assert channels.get(channel.key) is channel
    for key in channel.providers:
        assert providers.get(key).channel == channel.key
    offered = [provider.key for provider in providers if provider.channel == channel.key]
    assert sorted(offered) == sorted(channel.providers)


@ALL
def test_content_schema_is_json_and_closed(channel: Channel) -> None:
    schema = channel.content.model_json_schema()
    json.dumps(schema)
    assert schema["additionalProperties"] is False


@ALL
def test_validate_compile_render(channel: Channel) -> None:
    content, _ = SAMPLES[channel.key]
    valid = channel.validate(content)
    assert channel.validate(valid) == valid
    compiled = channel.compile(valid)
    assert compiled.placeholders == {"name"}
    rendered = compiled.render({"name": "Ada"})
    assert json.loads(json.dumps(rendered)) == rendered
    assert rendered == channel.render(valid, {"name": "Ada"}) == compiled.render({"name": "Ada"})
    assert "Ada" in json.dumps(rendered)


@ALL
def test_missing_values_and_unknown_fields_are_named(channel: Channel) -> None:
    content, _ = SAMPLES[channel.key]
    with pytest.raises(ContentError) as missing:
        channel.render(channel.validate(content), {})
    assert missing.value.placeholder == "name"
    with pytest.raises(ContentError) as unknown:
        channel.validate({**content, "no_such_field": 1})
    assert unknown.value.field == "no_such_field"
    with pytest.raises(ContentError):
        channel.validate({})


@ALL
def test_addresses_have_one_form(channel: Channel) -> None:
    _, address = SAMPLES[channel.key]
    stored = channel.normalise_address(f"  {address} ")
    assert channel.normalise_address(stored) == stored
    for bad in ("", " ", "\0", "x\r\ny", "☃" * 500):
        with pytest.raises(ContentError) as caught:
            channel.normalise_address(bad)
        assert caught.value.field == "recipient"
