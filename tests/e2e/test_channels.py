"""Every channel, from ``demo.json`` to what its recipient would see."""

from __future__ import annotations

import json
from typing import Any

import pytest

from notifications.channels.registry import channels
from tests.running_service import PATIENCE, RunningService, fetch, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

MESSAGES: dict[str, tuple[str, dict[str, Any], str]] = {
    "email": ("channels@example.com", {"subject": "Hi {{name}}", "text": "Hi {{name}}"}, "Hi Ada"),
    "sms": ("+15551230042", {"body": "Hi {{name}}"}, "Hi Ada"),
    "push": ("device-token-of-ada-0123456789", {"title": "Hi {{name}}", "body": "Hi {{name}}"}, "Hi Ada"),
    "whatsapp": ("+4915112345678", {"text": {"body": "Hi {{name}}"}}, "Hi Ada"),
    "apprise": ("ops", {"title": "Hi {{name}}", "body": "Hi {{name}}"}, "Hi Ada"),
    "inapp": ("user-7", {"title": "Hi {{name}}", "body": "Hi {{name}}"}, ""),
}


def test_no_channel_is_forgotten() -> None:
    assert MESSAGES.keys() == set(channels.keys())


@pytest.mark.parametrize("channel", MESSAGES)
def test_a_message_arrives(service: RunningService, channel: str) -> None:
    recipient, content, expected = MESSAGES[channel]
    record = {"channel": channel, "recipient": recipient, "content": content, "context": {"name": "Ada"}}
    sent = service.call("POST", "/api/notifications/records/", record)
    assert sent.status == 201, sent.body
    assert service.wait_for_ends([sent.body["id"]]) == ["success"]
    if expected:
        query = f"{service.demo['sandbox_url']}/api/messages?channel={channel}&limit=20"
        texts = [message["text"] for message in fetch("GET", query, None, {}).body["messages"]]
        assert any(expected in text for text in texts)


def test_a_text_message_is_reported_as_delivered(service: RunningService) -> None:
    record = {"channel": "sms", "recipient": "+15551230043", "content": {"body": "Did it arrive?"}}
    sent = service.call("POST", "/api/notifications/records/", record)
    wait_until(lambda: service.record(sent.body["id"])["delivery_state"] == "delivered", PATIENCE)


def test_web_push_reaches_a_subscription(service: RunningService) -> None:
    made = fetch("POST", f"{service.demo['sandbox_url']}/push/subscriptions", {}, {}).body
    record = {
        "channel": "push",
        "recipient": json.dumps(made.get("subscription", made)),
        "content": {"title": "Hi", "body": "from Web Push"},
    }
    sent = service.call("POST", "/api/notifications/records/", record)
    assert sent.status == 201, sent.body
    assert service.wait_for_ends([sent.body["id"]]) == ["success"]
    assert service.record(sent.body["id"])["provider"] == "webpush"
