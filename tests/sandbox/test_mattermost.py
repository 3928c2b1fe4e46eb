"""The pretend Mattermost, spoken to through Apprise."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from uuid import uuid4

import pytest

from notification_service.lib.net import NetworkPolicy
from notifications.providers.apprise import AppriseCredential, AppriseProvider
from notifications.providers.base import FailureReason, OutgoingMessage, SendResult
from sandbox.misbehaviour import markdown_table
from sandbox.vendors import mattermost as vendor
from tests.sandbox.conftest import ROOT, Sandbox

R = FailureReason
LOCAL = NetworkPolicy.parse(["127.0.0.0/8"])


def send(sandbox: Sandbox, token: str) -> SendResult:
    async def scenario() -> SendResult:
        provider = AppriseProvider(network_policy=LOCAL)
        address = sandbox.url.removeprefix("http://")
        credential = AppriseCredential.model_validate({"urls": f"ops=mmost://{address}/mattermost/{token}"})
        try:
            content = {"title": "Deployed", "body": "Version 7 ✓", "format": "text"}
            return await provider.send(OutgoingMessage(uuid4(), "ops", content), credential)
        finally:
            await provider.aclose()

    return asyncio.run(scenario())


def test_message_is_shown(sandbox: Sandbox) -> None:
    assert send(sandbox, "some-good-token").accepted
    (caught,) = sandbox.messages(channel="apprise")
    assert caught["to"] == "some-good-token"
    assert "Deployed" in caught["text"]
    assert "Version 7 ✓" in caught["text"]


@pytest.mark.parametrize(
    ("token", "reason", "retryable", "ambiguous", "kept"),
    [
        ("wrong-token", R.PROVIDER_ERROR, False, False, 0),
        ("rate-limited-token", R.RATE_LIMITED, True, False, 0),
        ("error-500-token", R.PROVIDER_ERROR, True, False, 0),
        ("hang-token", R.NETWORK_ERROR, True, True, 0),
        ("drop-token", R.NETWORK_ERROR, True, True, 0),
        ("lost-token", R.NETWORK_ERROR, True, True, 1),
        ("redirect-token", R.PROVIDER_ERROR, False, False, 0),
    ],
)
def test_magic_tokens(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, token: str, reason: FailureReason, retryable: bool,
    ambiguous: bool, kept: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(AppriseProvider, "read_timeout", 1.0)
    result = send(sandbox, token)
    assert (result.reason, result.retryable, result.ambiguous) == (reason, retryable, ambiguous)
    assert len(sandbox.messages(channel="apprise")) == kept


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b'{"text": ""}', b'{"text": 7}', b"payload=x", b"payload="])
def test_malformed_messages_are_refused(sandbox: Sandbox, body: bytes) -> None:
    request = urllib.request.Request(f"{sandbox.url}/mattermost/hooks/some-token", body, method="POST")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert caught.value.code == 400
    assert sandbox.messages() == []


def test_table_is_shown_and_documented(sandbox: Sandbox) -> None:
    rules = [rule for rule in sandbox.request("/api/magic").json()["rules"] if rule.get("vendor") == "mattermost"]
    assert [rule["example"] for rule in rules] == list(vendor.recipients)
    assert markdown_table(vendor.recipients) in (ROOT / "docs/sandbox.md").read_text()
