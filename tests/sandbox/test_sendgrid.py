"""The pretend SendGrid, spoken to by our provider and by plain requests."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any
from uuid import UUID, uuid4

import pytest

from notification_service.lib.net import NetworkPolicy
from notifications.providers.base import FailureReason, OutgoingMessage, SendResult
from notifications.providers.sendgrid import SendGridCredential, SendGridProvider
from sandbox.misbehaviour import markdown_table
from sandbox.vendors import sendgrid as vendor
from tests.sandbox.conftest import ROOT, Sandbox, wait_until
from tests.sandbox.receiver import receiver

R = FailureReason
KEY = "SG.good-key-41"
LOCAL = NetworkPolicy.parse(["127.0.0.0/8"])


def api(sandbox: Sandbox, method: str, path: str, body: Any = None, key: str = KEY) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"{sandbox.url}/sendgrid/v3/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as problem:
        return problem.code, json.loads(problem.read())


def credential(sandbox: Sandbox, **values: Any) -> SendGridCredential:
    payload = {"api_key": KEY, "from_email": "no-reply@acme.test", "base_url": f"{sandbox.url}/sendgrid"}
    return SendGridCredential.model_validate({**payload, **values})


def send(
    sandbox: Sandbox, to: str, record: UUID | None = None, more: dict[str, Any] | None = None, **values: Any
) -> SendResult:
    content = {"subject": "Grüße", "text": "Hello", "html": "<p>Hello</p>", "reply_to": None, **(more or {})}

    async def scenario() -> SendResult:
        provider = SendGridProvider(network_policy=LOCAL)
        try:
            return await provider.send(OutgoingMessage(record or uuid4(), to, content), credential(sandbox, **values))
        finally:
            await provider.aclose()

    return asyncio.run(scenario())


def test_accepted_mail_is_shown(sandbox: Sandbox) -> None:
    record = uuid4()
    result = send(sandbox, "ada@example.com", record)
    assert result.accepted
    (caught,) = sandbox.messages(channel="email")
    assert (caught["to"], caught["from"], caught["subject"]) == ("ada@example.com", "no-reply@acme.test", "Grüße")
    assert (caught["text"], caught["html"]) == ("Hello", "<p>Hello</p>")
    assert caught["headers"]["X-Message-Id"] == result.provider_message_id
    assert caught["headers"]["Message-ID"] == f"<{record}@acme.test>"


def test_copies_and_attachments_are_shown(sandbox: Sandbox) -> None:
    file = {"filename": "a.pdf", "content_type": "application/pdf", "content": "JVBERg=="}
    more = {"cc": ["bob@example.com"], "bcc": ["eve@example.com"], "attachments": [file]}
    assert send(sandbox, "ada@example.com", more=more).accepted
    caught = sandbox.messages()
    assert sorted(each["to"] for each in caught) == ["ada@example.com", "bob@example.com", "eve@example.com"]
    for each in caught:
        assert (each["cc"], each["bcc"]) == (["bob@example.com"], ["eve@example.com"])
        assert each["attachments"] == [{"filename": "a.pdf", "content_type": "application/pdf", "size": 4}]


def test_an_address_is_named_once(sandbox: Sandbox) -> None:
    people = [{"to": [{"email": "ada@example.com"}], "cc": [{"email": "Ada@example.com"}]}]
    mail = {"personalizations": people, "from": {"email": "a@b.test"}, "subject": "x"}
    status, answer = api(sandbox, "POST", "mail/send", mail)
    assert (status, answer["errors"][0]["field"]) == (400, "personalizations.0.cc.0.email")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (None, None),
        ([], None),
        ({}, "personalizations"),
        ({"personalizations": [{}]}, "personalizations.0.to"),
        ({"personalizations": [{"to": [{"email": "nobody"}]}]}, "personalizations.0.to.0.email"),
        ({"personalizations": [{"to": [{"email": "a@b.c"}]}]}, "from.email"),
        ({"personalizations": [{"to": [{"email": "a@b.c"}]}], "from": {"email": "a@b.c"}}, "subject"),
        (
            {
                "personalizations": [{"to": [{"email": "a@b.c"}]}],
                "from": {"email": "a@b.c"},
                "subject": "x",
                "content": [],
            },
            "content.0.value",
        ),
    ],
)
def test_malformed_mail_is_refused_with_the_field(sandbox: Sandbox, body: Any, field: str | None) -> None:
    status, answer = api(sandbox, "POST", "mail/send", body if body is not None else "text")
    assert status == 400
    assert answer["errors"][0]["field"] == field
    assert sandbox.messages() == []


def test_keys(sandbox: Sandbox) -> None:
    async def check(key: str) -> Any:
        provider = SendGridProvider(network_policy=LOCAL)
        try:
            return await provider.check(credential(sandbox, api_key=key))
        finally:
            await provider.aclose()

    assert asyncio.run(check(KEY)).ok
    assert asyncio.run(check("wrong-key")).reason == R.AUTH_ERROR
    assert send(sandbox, "ada@example.com", api_key="invalid-key").reason == R.AUTH_ERROR
    assert api(sandbox, "GET", "scopes", key="")[0] == 401


@pytest.mark.parametrize(
    ("name", "reason", "retryable", "ambiguous", "kept"),
    [
        ("fail-permanent", R.CONTENT_ERROR, False, False, 0),
        ("rate-limited", R.RATE_LIMITED, True, False, 0),
        ("auth-fail", R.AUTH_ERROR, False, False, 0),
        ("error-500", R.PROVIDER_ERROR, True, False, 0),
        ("error-html", R.PROVIDER_ERROR, True, False, 0),
        ("hang", R.NETWORK_ERROR, True, True, 0),
        ("drop", R.NETWORK_ERROR, True, True, 0),
        ("lost", R.NETWORK_ERROR, True, True, 1),
        ("redirect", R.PROVIDER_ERROR, False, False, 0),
    ],
)
def test_magic_recipients(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str, reason: FailureReason, retryable: bool,
    ambiguous: bool, kept: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(SendGridProvider, "total_timeout", 1)
    result = send(sandbox, f"{name}+tag@example.com")
    assert (result.reason, result.retryable, result.ambiguous) == (reason, retryable, ambiguous)
    assert result.retry_after == (1.0 if name == "rate-limited" else None)
    assert len(sandbox.messages(channel="email")) == kept


def test_refused_twice_and_then_accepted(sandbox: Sandbox) -> None:
    assert [send(sandbox, "fail-temporary@example.com").accepted for _ in range(4)] == [False, False, True, False]


@pytest.mark.parametrize(
    ("name", "calls", "states"),
    [
        ("ada", 2, ["delivered"]),
        ("bounce", 2, ["bounced!"]),
        ("blocked", 3, ["bounced"]),
        ("dropped", 1, ["undeliverable!"]),
        ("complain", 3, ["delivered", "complained!"]),
        ("unsubscribe", 3, ["delivered", "clicked!"]),
        ("click", 4, ["delivered", "opened", "clicked"]),
    ],
)
def test_events_are_signed(sandbox: Sandbox, name: str, calls: int, states: list[str]) -> None:
    provider, record = SendGridProvider(), uuid4()
    with receiver() as ours:
        url = f"{ours.url}/webhooks/sendgrid"
        assert api(sandbox, "PATCH", "user/webhooks/event/settings", {"enabled": True, "url": url})[0] == 200
        public_key = api(sandbox, "GET", "user/webhooks/event/settings/signed")[1]["public_key"]
        result = send(sandbox, f"{name}@example.com", record)
        wait_until(lambda: len(ours.calls) == calls)
        good = credential(sandbox, webhook_public_key=public_key)
        assert all(provider.verify_receipt(call, good) for call in ours.calls)
        receipts = [receipt for call in ours.calls for receipt in provider.parse_receipt(call)]
        api(sandbox, "PATCH", "user/webhooks/event/settings", {"enabled": False, "url": url})
    assert [receipt.state + "!" * receipt.suppress for receipt in receipts] == states
    assert {receipt.record_id for receipt in receipts} == {record}
    assert {receipt.provider_message_id for receipt in receipts} == {result.provider_message_id}


def test_keys_of_the_webhook_differ_and_stay(sandbox: Sandbox) -> None:
    path = "user/webhooks/event/settings/signed"
    first, again, other = (api(sandbox, "GET", path, key=key)[1]["public_key"] for key in (KEY, KEY, "another"))
    assert first == again != other


def test_a_call_that_is_not_taken_is_repeated(sandbox: Sandbox) -> None:
    with receiver() as ours:
        ours.answers = [503]
        settings = {"enabled": True, "url": ours.url + "/x"}
        assert api(sandbox, "PATCH", "user/webhooks/event/settings", settings, key="repeat")[1] == settings
        assert api(sandbox, "GET", "user/webhooks/event/settings", key="repeat")[1] == settings
        send(sandbox, "dropped@example.com", api_key="repeat")
        wait_until(lambda: len(ours.calls) == 2)
        assert ours.calls[0].body == ours.calls[1].body


def test_table_is_shown_and_documented(sandbox: Sandbox) -> None:
    rules = [rule for rule in sandbox.request("/api/magic").json()["rules"] if rule.get("vendor") == "sendgrid"]
    assert [rule["example"] for rule in rules] == list(vendor.recipients)
    assert markdown_table(vendor.recipients) in (ROOT / "docs/sandbox.md").read_text()
