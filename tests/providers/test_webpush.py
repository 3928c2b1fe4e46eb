"""Web Push against the sandbox's push service, which decrypts what a browser would."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import ValidationError

from notification_service.lib.net import PUBLIC_ONLY
from notifications.channels.push import PushChannel
from notifications.providers.base import FailureReason, SendResult, field_errors
from notifications.providers.webpush import WebPushCredential, WebPushProvider, webpush_headers
from tests.providers.vendor_ends import message_to, opened, send_through
from tests.sandbox.conftest import Sandbox


def demo(sandbox: Sandbox) -> tuple[WebPushCredential, str]:
    keys = sandbox.request("/demo/vapid").json()
    public = keys.pop("vapid_public_key")
    credential = WebPushCredential.model_validate(keys)
    assert credential.public_key() == public
    return credential, public


def subscription(sandbox: Sandbox, **wanted: str) -> str:
    request = urllib.request.Request(
        f"{sandbox.url}/push/subscriptions", json.dumps(wanted).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: str = answer.read().decode()
    return PushChannel().normalise_address(found)


def test_the_browser_reads_what_was_sent(run: Any, sandbox: Sandbox) -> None:
    credential, public = demo(sandbox)
    browser = subscription(sandbox, name="ada", vapid_public_key=public)
    message = message_to(
        browser,
        "critical",
        title="Grüße",
        body="Zoë wrote",
        data={"chat": "7"},
        actions=[{"action": "reply", "title": "Reply"}],
        webpush={"notification": {"requireInteraction": True}, "headers": {"Urgency": "normal"}},
        ttl=60,
        collapse_key="chat 7",
    )
    (result,) = send_through(run, WebPushProvider, credential, message)
    assert result.accepted
    (caught,) = sandbox.messages(channel="push", to=json.loads(browser)["endpoint"])
    assert result.provider_message_id.endswith(f"/push/messages/{caught['id']}")
    assert (caught["subject"], caught["text"], caught["from"]) == ("Grüße", "Zoë wrote", credential.vapid_subject)
    assert json.loads(caught["raw"]) == {
        "title": "Grüße",
        "body": "Zoë wrote",
        "actions": [{"action": "reply", "title": "Reply"}],
        "data": {"notification_id": str(message.id), "chat": "7"},
        "requireInteraction": True,
    }
    headers = caught["headers"]
    assert (headers["TTL"], headers["Urgency"], len(headers["Topic"])) == ("60", "normal", 32)


@pytest.mark.parametrize(
    ("name", "reason", "code", "retryable", "retry_after", "dead"),
    [
        ("unregistered", "provider_error", "410", False, None, True),
        ("not-found", "provider_error", "404", False, None, True),
        ("fail-permanent", "provider_error", "400", False, None, False),
        ("rate-limited", "rate_limited", "429", True, 7.0, False),
        ("unavailable", "provider_error", "503", True, None, False),
        ("internal-error", "provider_error", "500", True, None, False),
        ("auth-fail", "auth_error", "403", False, None, False),
        ("too-large", "content_error", "413", False, None, False),
        ("drop", "network_error", "", True, None, False),
    ],
)
def test_every_refusal_has_its_meaning(
    run: Any,
    sandbox: Sandbox,
    name: str,
    reason: str,
    code: str,
    retryable: bool,
    retry_after: float | None,
    dead: bool,
) -> None:
    (result,) = send_through(run, WebPushProvider, demo(sandbox)[0], message_to(subscription(sandbox, name=name)))
    assert not result.accepted
    assert (result.reason, result.code, result.retryable) == (FailureReason(reason), code, retryable)
    assert (result.retry_after, result.dead_address) == (retry_after, dead)
    assert result.ambiguous == (name == "drop")
    assert sandbox.messages() == []


def test_subscriptions_of_another_key_are_refused(run: Any, sandbox: Sandbox) -> None:
    other = WebPushCredential.model_validate({"vapid_private_key": pem(), "vapid_subject": "https://acme.example"})
    browser = subscription(sandbox, vapid_public_key=other.public_key())
    (refused,) = send_through(run, WebPushProvider, demo(sandbox)[0], message_to(browser))
    (taken,) = send_through(run, WebPushProvider, other, message_to(browser))
    assert (refused.reason, refused.dead_address, taken.accepted) == (FailureReason.AUTH_ERROR, False, True)


def test_many_browsers_at_once(run: Any, sandbox: Sandbox) -> None:
    browsers = [subscription(sandbox, name=f"b{number}") for number in range(40)]
    results = send_through(run, WebPushProvider, demo(sandbox)[0], *(message_to(browser) for browser in browsers))
    assert all(result.accepted for result in results)
    assert {m["to"] for m in sandbox.messages()} == {json.loads(browser)["endpoint"] for browser in browsers}


def test_too_much_for_a_browser_is_the_contents_fault(run: Any, sandbox: Sandbox) -> None:
    (result,) = send_through(run, WebPushProvider, demo(sandbox)[0], message_to(subscription(sandbox), body="x" * 4000))
    assert (result.reason, result.retryable) == (FailureReason.CONTENT_ERROR, False)


def test_endpoints_on_private_networks_are_out_of_reach_unless_allowed(run: Any, sandbox: Sandbox) -> None:
    async def conversation() -> SendResult:
        provider = WebPushProvider(network_policy=PUBLIC_ONLY)
        try:
            return await provider.send(message_to(subscription(sandbox)), demo(sandbox)[0])
        finally:
            await provider.aclose()

    result = run(conversation())
    assert (result.accepted, result.retryable, result.ambiguous) == (False, False, False)
    assert sandbox.messages() == []


def test_a_token_is_not_a_subscription(run: Any, sandbox: Sandbox) -> None:
    (result,) = send_through(run, WebPushProvider, demo(sandbox)[0], message_to("just-a-token"))
    assert (result.code, result.retryable) == ("not_a_subscription", False)
    assert WebPushProvider.takes(subscription(sandbox))
    assert not WebPushProvider.takes("just-a-token")


def test_the_check_names_the_key_for_browsers(run: Any, sandbox: Sandbox) -> None:
    credential, public = demo(sandbox)

    async def conversation() -> Any:
        async with opened(WebPushProvider) as provider:
            return await provider.check(credential)

    result = run(conversation())
    assert result.ok
    assert public in result.detail


def test_topics_and_headers() -> None:
    assert "Topic" not in webpush_headers(message_to("{}"))
    assert webpush_headers(message_to("{}", collapse_key="news-7"))["Topic"] == "news-7"
    headers = webpush_headers(message_to("{}", "bulk", webpush={"headers": {"ttl": 5, "X-Other": "no"}}))
    assert headers == {"TTL": "5", "Urgency": "low"}


def pem(key: Any = None) -> str:
    key = key or ec.generate_private_key(ec.SECP256R1())
    plain = serialization.NoEncryption()
    clear: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return clear.decode()


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"vapid_private_key": "nonsense"}, "vapid_private_key"),
        ({"vapid_private_key": ""}, "vapid_private_key"),
        ({"vapid_private_key": "-----BEGIN"}, "vapid_private_key"),
        ({"vapid_private_key": pem(rsa.generate_private_key(65537, 2048))}, "vapid_private_key"),
        ({"vapid_private_key": pem(ec.generate_private_key(ec.SECP384R1()))}, "vapid_private_key"),
        ({"vapid_subject": "ops@example.com"}, "vapid_subject"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_bad_credentials_name_the_field(payload: dict[str, Any], field: str) -> None:
    good = {"vapid_private_key": pem(), "vapid_subject": "mailto:ops@example.com"}
    with pytest.raises(ValidationError) as caught:
        WebPushCredential.model_validate({**good, **payload})
    assert list(field_errors(caught.value)) == [field]
    assert "PRIVATE" not in repr(WebPushCredential.model_validate(good))
