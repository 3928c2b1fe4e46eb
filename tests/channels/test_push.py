"""The push channel: content, its limits, addresses."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from notifications.channels.base import ContentError
from notifications.channels.push import MAX_PAYLOAD, PushChannel, payload_size

CHANNEL = PushChannel()
POINT = ec.derive_private_key(7, ec.SECP256R1()).public_key()  # fixed: it is part of test ids


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


KEYS = {
    "p256dh": encode(POINT.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)),
    "auth": encode(b"0123456789abcdef"),
}
ENDPOINT = "https://updates.push.example/wpush/v2/gAAAA"


def subscription(**changes: Any) -> str:
    return json.dumps({"endpoint": ENDPOINT, "expirationTime": None, "keys": KEYS, **changes})


def test_values_are_filled_in_as_they_are() -> None:
    content = CHANNEL.validate(
        {
            "title": "Hi {{ name }}",
            "body": "{{ text }}",
            "data": {"user": "{{ user.id }}", "fixed": "1"},
            "image": "https://cdn.example/{{ user.id }}.png",
            "actions": [{"action": "open", "title": "Open {{ name }}"}],
            "android": {"notification": {"tag": "t-{{ user.id }}"}},
            "ttl": 60,
        }
    )
    compiled = CHANNEL.compile(content)
    assert compiled.placeholders == {"name", "text", "user.id"}
    assert compiled.render({"name": "Zoë", "text": "<b> & {{ name }}", "user": {"id": 7}}) == {
        "title": "Hi Zoë",
        "body": "<b> & {{ name }}",
        "data": {"user": "7", "fixed": "1"},
        "image": "https://cdn.example/7.png",
        "actions": [{"action": "open", "title": "Open Zoë"}],
        "android": {"notification": {"tag": "t-7"}},
        "ttl": 60,
    }


def test_the_payload_is_limited_with_its_values() -> None:
    content = CHANNEL.validate({"title": "Hi", "data": {"text": "{{ text }}"}})
    room = MAX_PAYLOAD - payload_size({"title": "Hi", "data": {"text": ""}})
    assert CHANNEL.render(content, {"text": "x" * room})
    for text in ("x" * (room + 1), "ü" * (room // 2 + 1)):
        with pytest.raises(ContentError) as caught:
            CHANNEL.render(content, {"text": text})
        assert caught.value.field == "data"


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({}, "title"),
        ({"title": ""}, "title"),
        ({"image": "https://cdn.example/a.png"}, "title"),
        ({"title": 7}, "title"),
        ({"title": "x", "data": {"a": 1}}, "data.a"),
        ({"title": "x", "data": {"google.x": "1"}}, "data"),
        ({"title": "x", "data": {"from": "1"}}, "data"),
        ({"title": "x", "ttl": -1}, "ttl"),
        ({"title": "x", "ttl": 2_419_201}, "ttl"),
        ({"title": "x", "ttl": "60"}, "ttl"),
        ({"title": "x", "collapse_key": "k" * 65}, "collapse_key"),
        ({"title": "x", "actions": [{"action": "a"}]}, "actions.0.title"),
        ({"title": "x", "actions": [{"action": "a", "title": "t"}] * 5}, "actions"),
        ({"title": "x", "android": {"a": "x" * 5000}}, "android"),
        ({"title": "x", "apns": {"a": object()}}, "apns"),
        ({"title": "x", "webpush": []}, "webpush"),
        ({"title": "x", "colour": "red"}, "colour"),
    ],
)
def test_bad_content_names_the_field(content: dict[str, Any], field: str) -> None:
    with pytest.raises(ContentError) as caught:
        CHANNEL.validate(content)
    assert caught.value.field == field


def test_malformed_placeholders_and_broken_unicode_are_refused() -> None:
    with pytest.raises(ContentError) as malformed:
        CHANNEL.compile({"data": {"a": "{{ name"}})
    assert malformed.value.field == "data.a"
    with pytest.raises(ContentError) as broken:
        CHANNEL.render({"title": "{{ name }}"}, {"name": "\ud800"})
    assert broken.value.field == "title"


def test_tokens_stay_as_they_are() -> None:
    token = "cXyz-1:APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqx"
    assert CHANNEL.normalise_address(f" {token}\n") == token
    assert CHANNEL.normalise_address("x" * 4096)
    for bad in ("", "x" * 4097, "two words", "tökén", "a\x00b"):
        with pytest.raises(ContentError):
            CHANNEL.normalise_address(bad)


def test_subscriptions_have_one_form() -> None:
    stored = CHANNEL.normalise_address(subscription())
    assert CHANNEL.normalise_address(json.dumps({"keys": KEYS, "endpoint": ENDPOINT}, indent=2)) == stored
    assert json.loads(stored) == {"endpoint": ENDPOINT, "keys": {k: v.rstrip("=") for k, v in KEYS.items()}}


@pytest.mark.parametrize(
    "address",
    [
        "{",
        "{}",
        subscription(endpoint="javascript:alert(1)"),
        subscription(endpoint="https://user:pass@push.example/1"),
        subscription(endpoint="https:///nowhere"),
        subscription(endpoint="https://[oops/1"),
        subscription(endpoint=7),
        subscription(keys={}),
        subscription(keys={**KEYS, "auth": "short"}),
        subscription(keys={**KEYS, "auth": None}),
        subscription(keys={**KEYS, "p256dh": encode(b"\x04" + b"\x01" * 64)}),
        subscription(keys={**KEYS, "p256dh": encode(POINT.public_bytes(Encoding.X962, PublicFormat.CompressedPoint))}),
        subscription(keys={**KEYS, "p256dh": "☃"}),
    ],
)
def test_bad_subscriptions_are_refused(address: str) -> None:
    with pytest.raises(ContentError) as caught:
        CHANNEL.normalise_address(address)
    assert caught.value.field == "recipient"
