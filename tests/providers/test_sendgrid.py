"""SendGrid: what is sent, what its answers mean, and what its events report."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from notification_service.lib.net import NetworkPolicy
from notifications.providers.base import (
    FailureReason,
    OutgoingMessage,
    Receipt,
    ReceiptRequest,
    SendResult,
    field_errors,
)
from notifications.providers.sendgrid import SendGridCredential, SendGridProvider
from tests.providers.http_servers import Received, http, odd_http

R = FailureReason
LOCAL = NetworkPolicy.parse(["127.0.0.0/8"])
KEY = "SG.secret-key-41"
PAIR = ec.generate_private_key(ec.SECP256R1())
CONTENT = {"subject": "Grüße", "text": "Hello", "html": "<p>Hello</p>", "reply_to": None, "from_name": None}


def encoded(public_key: Any, encoding: Encoding = Encoding.DER) -> str:
    found = public_key.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    return found.decode() if encoding == Encoding.PEM else base64.b64encode(found).decode()


def credential(**values: Any) -> SendGridCredential:
    payload = {"api_key": KEY, "from_email": "no-reply@acme.test", "webhook_public_key": encoded(PAIR.public_key())}
    return SendGridCredential.model_validate({**payload, **values})


def talk(
    answer: bytes, message_id: UUID | None = None, content: Any = None, **values: Any
) -> tuple[SendResult, Received]:
    async def scenario() -> tuple[SendResult, Received]:
        async with odd_http([answer]) as server:
            provider = SendGridProvider(network_policy=LOCAL)
            message = OutgoingMessage(message_id or uuid4(), "ada@example.com", content or CONTENT)
            result = await provider.send(message, credential(base_url=server.url, **values))
            await provider.aclose()
            return result, server.requests[0]

    return asyncio.run(asyncio.wait_for(scenario(), 20))


def test_request_and_success() -> None:
    record = uuid4()
    result, request = talk(
        http(202, b"", X_Message_Id="14c5d75ce93"), record, from_name="Acme", reply_to="help@acme.test"
    )
    assert result == SendResult.success(code="202", response="accepted", provider_message_id="14c5d75ce93")
    assert (request.method, request.path) == ("POST", "/v3/mail/send")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == {
        "personalizations": [{"to": [{"email": "ada@example.com"}], "custom_args": {"record_id": str(record)}}],
        "from": {"email": "no-reply@acme.test", "name": "Acme"},
        "reply_to": {"email": "help@acme.test"},
        "subject": "Grüße",
        "content": [{"type": "text/plain", "value": "Hello"}, {"type": "text/html", "value": "<p>Hello</p>"}],
        "headers": {"Message-ID": f"<{record}@acme.test>", "X-Notification-ID": str(record)},
    }


def test_content_wins_over_the_credential_and_is_never_empty() -> None:
    content = {"subject": "x", "text": "", "html": None, "reply_to": "other@acme.test", "from_name": "Team"}
    _, request = talk(http(202), content=content, from_name="Acme", reply_to="help@acme.test")
    mail = json.loads(request.body)
    assert (mail["from"]["name"], mail["reply_to"]["email"]) == ("Team", "other@acme.test")
    assert mail["content"] == [{"type": "text/plain", "value": " "}]


def test_headers_and_copies() -> None:
    content = {
        **CONTENT,
        "cc": ["bob@example.com"],
        "headers": {"List-Unsubscribe": "<https://x.test/>", "Message-ID": "no"},
    }
    record = uuid4()
    _, request = talk(http(202), record, content)
    mail = json.loads(request.body)
    assert mail["personalizations"][0]["cc"] == [{"email": "bob@example.com"}]
    assert mail["headers"]["List-Unsubscribe"] == "<https://x.test/>"
    assert mail["headers"]["Message-ID"] == f"<{record}@acme.test>"


def test_attachments_and_hidden_copies() -> None:
    file = {"filename": "a.pdf", "content_type": "application/pdf", "content": "JVBERg=="}
    logo = {"filename": "l.png", "content_type": "image/png", "content": "UE5H", "content_id": "logo"}
    content = {**CONTENT, "cc": ["ADA@example.com"], "bcc": ["eve@example.com"], "attachments": [file, logo]}
    _, request = talk(http(202), content=content)
    mail = json.loads(request.body)
    assert mail["personalizations"][0].keys() == {"to", "bcc", "custom_args"}  # who is addressed anyway gets no copy
    assert mail["personalizations"][0]["bcc"] == [{"email": "eve@example.com"}]
    assert mail["attachments"] == [
        {"content": "JVBERg==", "type": "application/pdf", "filename": "a.pdf", "disposition": "attachment"},
        {"content": "UE5H", "type": "image/png", "filename": "l.png", "disposition": "inline", "content_id": "logo"},
    ]


@pytest.mark.parametrize(
    ("status", "message", "reason", "retryable"),
    [
        (400, "Does not contain a valid address.", R.CONTENT_ERROR, False),
        (401, "The provided authorization grant is invalid, expired, or revoked", R.AUTH_ERROR, False),
        (401, "Maximum credits exceeded", R.RATE_LIMITED, True),
        (403, "The from address does not match a verified Sender Identity.", R.AUTH_ERROR, False),
        (413, "too large", R.CONTENT_ERROR, False),
        (429, "too many requests", R.RATE_LIMITED, True),
        (500, "oops", R.PROVIDER_ERROR, True),
    ],
)
def test_errors(status: int, message: str, reason: FailureReason, retryable: bool) -> None:
    result, _ = talk(http(status, {"errors": [{"message": message, "field": None, "help": None}]}))
    assert (result.reason, result.retryable, result.ambiguous) == (reason, retryable, False)
    assert result.response == message


def test_several_errors_name_their_fields() -> None:
    errors = [{"message": "one", "field": "subject"}, {"message": f"two {KEY}"}, "odd", {"field": "x"}]
    result, _ = talk(http(400, {"errors": errors}))
    assert result.response == "one (subject) two ••••"


def test_the_end_of_a_limit_is_a_pause() -> None:
    result, _ = talk(http(429, {}, X_RateLimit_Reset=str(int(time.time()) + 30)))
    assert result.retry_after is not None
    assert 25 < result.retry_after <= 30
    result, _ = talk(http(429, {}, X_RateLimit_Reset="soon"))
    assert result.retry_after is None


def test_check_wants_a_key_that_may_send() -> None:
    async def scenario(answer: bytes) -> Any:
        async with odd_http([answer]) as server:
            provider = SendGridProvider(network_policy=LOCAL)
            result = await provider.check(credential(base_url=server.url))
            await provider.aclose()
            return result

    assert asyncio.run(scenario(http(200, {"scopes": ["mail.send"]}))).ok
    weak = asyncio.run(scenario(http(200, {"scopes": ["stats.read"]})))
    assert (weak.ok, weak.reason, weak.detail) == (False, R.AUTH_ERROR, "The API key is not allowed to send mail.")


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"api_key": ""}, "api_key"),
        ({"api_key": "two words"}, "api_key"),
        ({"from_email": "nobody"}, "from_email"),
        ({"from_name": "a\nb"}, "from_name"),
        ({"reply_to": "nobody"}, "reply_to"),
        ({"webhook_public_key": "AAAA"}, "webhook_public_key"),
        ({"webhook_public_key": "no base64!"}, "webhook_public_key"),
        ({"webhook_public_key": encoded(rsa.generate_private_key(65537, 2048).public_key())}, "webhook_public_key"),
        ({"base_url": "x"}, "base_url"),
    ],
)
def test_bad_credentials_name_the_field(values: dict[str, Any], name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        credential(**values)
    assert list(field_errors(caught.value)) == [name]


# --- receipts --------------------------------------------------------------------------------------------------------


def call(events: Any, *, pair: ec.EllipticCurvePrivateKey = PAIR, timestamp: str = "1763647200") -> ReceiptRequest:
    body = json.dumps(events).encode()
    signature = base64.b64encode(pair.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
    prefix = "x-twilio-email-event-webhook-"
    headers = {f"{prefix}signature": signature, f"{prefix}timestamp": timestamp}
    return ReceiptRequest("https://ours.test/webhooks/sendgrid", headers, body)


def test_signatures() -> None:
    provider, good = SendGridProvider(), call([{"event": "delivered"}])
    assert provider.verify_receipt(good, credential())
    assert provider.verify_receipt(good, credential(webhook_public_key=encoded(PAIR.public_key(), Encoding.PEM)))
    assert not provider.verify_receipt(good, credential(webhook_public_key=None))
    assert not provider.verify_receipt(call([], pair=ec.generate_private_key(ec.SECP256R1())), credential())
    assert not provider.verify_receipt(ReceiptRequest(good.url, good.headers, good.body + b" "), credential())
    later = {**good.headers, "x-twilio-email-event-webhook-timestamp": "1763647201"}
    assert not provider.verify_receipt(ReceiptRequest(good.url, later, good.body), credential())
    for broken in ("", "????", "AAAA", "ü"):
        headers = {**good.headers, "x-twilio-email-event-webhook-signature": broken}
        assert not provider.verify_receipt(ReceiptRequest(good.url, headers, good.body), credential())
    assert not provider.verify_receipt(ReceiptRequest(good.url, {}, good.body), credential())


def parse(*events: Any) -> list[Receipt]:
    return SendGridProvider().parse_receipt(call(list(events)))


def event(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "event": kind, "email": "ada@example.com", "timestamp": 1763647200,
        "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0", **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "state", "reason", "suppress"),
    [
        (event("delivered", response="250 OK"), "delivered", None, False),
        (event("open"), "opened", None, False),
        (event("click", url="https://x.test"), "clicked", None, False),
        (event("bounce", type="bounce", status="5.1.1", reason="550 no"), "bounced", R.PROVIDER_ERROR, True),
        (event("bounce", type="blocked", status="4.7.1", reason="busy"), "bounced", R.PROVIDER_ERROR, False),
        (event("dropped", reason="Bounced Address"), "undeliverable", R.SUPPRESSED, True),
        (event("dropped", reason="Unsubscribed Address"), "undeliverable", R.SUPPRESSED, True),
        (event("dropped", reason="Spam Content"), "failed", R.PROVIDER_ERROR, False),
        (event("spamreport"), "complained", R.SUPPRESSED, True),
        (event("unsubscribe"), "clicked", R.SUPPRESSED, True),
        (event("group_unsubscribe"), "clicked", R.SUPPRESSED, True),
    ],
)
def test_outcomes(given: dict[str, Any], state: str, reason: FailureReason | None, suppress: bool) -> None:
    record = uuid4()
    (receipt,) = parse({**given, "record_id": str(record)})
    assert (receipt.state, receipt.reason, receipt.suppress) == (state, reason, suppress)
    assert receipt.provider_message_id == "14c5d75ce93.dfd.64b469"
    assert (receipt.record_id, receipt.address) == (record, "ada@example.com")
    assert receipt.occurred_at == datetime.fromtimestamp(1763647200, UTC)
    assert receipt.code == given.get("status", "")


def test_progress_is_no_receipt() -> None:
    assert (
        parse(event("processed"), event("deferred"), event("open", sg_machine_open=True), event("new"), 7, None, {})
        == []
    )


def test_a_batch_keeps_its_order_and_survives_odd_values() -> None:
    odd = {"event": "open", "timestamp": "soon", "record_id": 7, "sg_message_id": None}
    receipts = parse(event("delivered"), odd, event("click", timestamp=1e99))
    assert [receipt.state for receipt in receipts] == ["delivered", "opened", "clicked"]
    assert receipts[1].record_id is None


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b"\xff", b'"x"'])
def test_nonsense_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="list of events"):
        SendGridProvider().parse_receipt(ReceiptRequest("https://ours.test/", {}, body))
