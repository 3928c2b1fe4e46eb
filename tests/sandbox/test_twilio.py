"""The pretend Twilio, spoken to by Twilio's own SDK and by our provider."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from notification_service.lib.net import NetworkPolicy
from notifications.channels.sms import measure
from notifications.providers.base import FailureReason, OutgoingMessage, SendResult
from notifications.providers.twilio import TwilioCredential, TwilioProvider
from sandbox.misbehaviour import markdown_table
from sandbox.vendors import twilio as vendor
from tests.sandbox.conftest import ROOT, Sandbox, wait_until
from tests.sandbox.receiver import receiver

R = FailureReason
ACCOUNT, TOKEN = "AC" + "0" * 32, "good-token-41"


class BaseUrl(TwilioHttpClient):
    """The SDK's client, unchanged but for the address."""

    def __init__(self, base_url: str) -> None:
        super().__init__(timeout=10)
        self._base_url = base_url

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        return super().request(method, url.replace("https://api.twilio.com", self._base_url), *args, **options)


def sdk(sandbox: Sandbox, token: str = TOKEN) -> Client:
    return Client(ACCOUNT, token, http_client=BaseUrl(f"{sandbox.url}/twilio"))


def credential(sandbox: Sandbox, **values: Any) -> TwilioCredential:
    payload = {"account_sid": ACCOUNT, "auth_token": TOKEN, "from_phone": "+15005550006"}
    return TwilioCredential.model_validate({**payload, "base_url": f"{sandbox.url}/twilio", **values})


def send(sandbox: Sandbox, to: str, body: str = "Hi", **values: Any) -> SendResult:
    async def scenario() -> SendResult:
        provider = TwilioProvider(network_policy=NetworkPolicy.parse(["127.0.0.0/8"]))
        try:
            return await provider.send(OutgoingMessage(uuid4(), to, {"body": body}), credential(sandbox, **values))
        finally:
            await provider.aclose()

    return asyncio.run(scenario())


def test_sdk_sends_and_fetches(sandbox: Sandbox) -> None:
    client = sdk(sandbox)
    sent = client.messages.create(
        to="+15551234567", from_="+15005550006", body="Grüße ✓", media_url=["https://x.test/a"]
    )
    assert (sent.status, sent.error_code, sent.num_segments, sent.num_media) == ("queued", None, "1", "1")
    (caught,) = sandbox.messages(channel="sms")
    assert (caught["to"], caught["from"], caught["text"]) == ("+15551234567", "+15005550006", "Grüße ✓")
    assert caught["tenant"] == ACCOUNT
    assert caught["headers"] == {"Sid": sent.sid, "Media-1": "https://x.test/a"}
    assert client.api.v2010.accounts(ACCOUNT).fetch().status == "active"
    wait_until(lambda: client.messages(sent.sid).fetch().status == "delivered")
    assert client.messages(sent.sid).fetch().price == "-0.00790"


@pytest.mark.parametrize(
    ("to", "options", "status", "code"),
    [
        ("+15005550001", {}, 400, 21211),
        ("+15005550004", {}, 400, 21610),
        ("+15005550029", {}, 429, 20429),
        ("+15005550050", {}, 500, 20500),
        ("0171", {}, 400, 21211),
        ("+15551234567", {"body": ""}, 400, 21619),
        ("+15551234567", {"body": "x" * 1601}, 400, 21617),
        ("+15551234567", {"from_": None}, 400, 21603),
        ("+15551234567", {"status_callback": "nowhere"}, 400, 21609),
    ],
)
def test_sdk_understands_refusals(sandbox: Sandbox, to: str, options: dict[str, Any], status: int, code: int) -> None:
    with pytest.raises(TwilioRestException) as caught:
        sdk(sandbox).messages.create(to=to, **{"from_": "+15005550006", "body": "Hi", **options})
    assert (caught.value.status, caught.value.code) == (status, code)
    assert sandbox.messages() == []


@pytest.mark.parametrize("token", ["wrong", "invalid-token"])
def test_wrong_tokens(sandbox: Sandbox, token: str) -> None:
    with pytest.raises(TwilioRestException) as caught:
        sdk(sandbox, token).messages.create(to="+15551234567", from_="+15005550006", body="Hi")
    assert (caught.value.status, caught.value.code) == (401, 20003)
    result = send(sandbox, "+15551234567", auth_token=token)
    assert (result.reason, result.retryable) == (R.AUTH_ERROR, False)


def test_check(sandbox: Sandbox) -> None:
    async def scenario(token: str) -> Any:
        provider = TwilioProvider(network_policy=NetworkPolicy.parse(["127.0.0.0/8"]))
        try:
            return await provider.check(credential(sandbox, auth_token=token))
        finally:
            await provider.aclose()

    assert asyncio.run(scenario(TOKEN)).ok
    assert asyncio.run(scenario("wrong")).reason == R.AUTH_ERROR


@pytest.mark.parametrize(
    ("to", "reason", "retryable", "ambiguous", "pause", "kept"),
    [
        ("+15005550001", R.CONTENT_ERROR, False, False, None, 0),
        ("+15005550003", R.PROVIDER_ERROR, False, False, None, 0),
        ("+15005550004", R.SUPPRESSED, False, False, None, 0),
        ("+15005550029", R.RATE_LIMITED, True, False, 1.0, 0),
        ("+15005550050", R.PROVIDER_ERROR, True, False, None, 0),
        ("+15005550051", R.PROVIDER_ERROR, True, False, None, 0),
        ("+15005550053", R.PROVIDER_ERROR, True, False, 2.0, 0),
        ("+15005550061", R.NETWORK_ERROR, True, True, None, 0),
        ("+15005550062", R.NETWORK_ERROR, True, True, None, 0),
        ("+15005550063", R.NETWORK_ERROR, True, True, None, 1),
        ("+15005550064", R.PROVIDER_ERROR, True, True, None, 0),
        ("+15005550065", R.PROVIDER_ERROR, False, False, None, 0),
    ],
)
def test_magic_numbers(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, to: str, reason: FailureReason, retryable: bool, ambiguous: bool,
    pause: float | None, kept: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(TwilioProvider, "total_timeout", 1)
    result = send(sandbox, to)
    assert (result.reason, result.retryable, result.ambiguous, result.retry_after) == (
        reason,
        retryable,
        ambiguous,
        pause,
    )
    assert len(sandbox.messages(channel="sms")) == kept


def test_refused_twice_and_then_accepted(sandbox: Sandbox) -> None:
    assert [send(sandbox, "+15005550030").accepted for _ in range(4)] == [False, False, True, False]


def test_slow(sandbox: Sandbox) -> None:
    assert send(sandbox, "+15005550060").accepted


@pytest.mark.parametrize(
    ("to", "states"),
    [
        ("+15551234567", [("delivered", "", False)]),
        ("+15005550020", [("undeliverable", "30003", False)]),
        ("+15005550021", [("undeliverable", "30005", True)]),
        ("+15005550023", [("failed", "30008", False)]),
        ("+15005550024", []),
    ],
)
def test_status_callbacks_are_signed(sandbox: Sandbox, to: str, states: list[tuple[str, str, bool]]) -> None:
    provider = TwilioProvider()
    with receiver() as ours:
        result = send(sandbox, to, status_callback=f"{ours.url}/webhooks/twilio")
        wait_until(lambda: len(ours.calls) == 2 + len(states))
        assert all(provider.verify_receipt(call, credential(sandbox)) for call in ours.calls)
        assert not any(provider.verify_receipt(call, credential(sandbox, auth_token="x")) for call in ours.calls)
        receipts = [receipt for call in ours.calls for receipt in provider.parse_receipt(call)]
    assert [(receipt.state, receipt.code, receipt.suppress) for receipt in receipts] == states
    for receipt in receipts:
        assert receipt.provider_message_id == result.provider_message_id
        assert receipt.record_id is not None
        assert (receipt.price, receipt.currency) == ("0.00790", "USD")


@pytest.mark.parametrize("text", ["x" * 160, "x" * 161, "€" * 81, "ж" * 71, "🎉" * 36, "Hallo ✓"])
def test_both_ends_count_the_same_segments(sandbox: Sandbox, text: str) -> None:
    sent = sdk(sandbox).messages.create(to="+15551234567", from_="+15005550006", body=text)
    assert sent.num_segments == str(measure(text)[1])


def test_table_is_shown_and_documented(sandbox: Sandbox) -> None:
    rules = [rule for rule in sandbox.request("/api/magic").json()["rules"] if rule.get("vendor") == "twilio"]
    assert [rule["example"] for rule in rules] == list(vendor.recipients)
    assert markdown_table(vendor.recipients) in (ROOT / "docs/sandbox.md").read_text()
