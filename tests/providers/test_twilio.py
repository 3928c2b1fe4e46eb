"""Twilio: what is sent, what its answers mean, and what its callbacks report."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError
from twilio.request_validator import RequestValidator

from notification_service.lib.net import NetworkPolicy
from notifications.providers.base import (
    FailureReason,
    OutgoingMessage,
    Receipt,
    ReceiptRequest,
    SendResult,
    field_errors,
)
from notifications.providers.twilio import TwilioCredential, TwilioProvider
from tests.providers.http_servers import Received, http, odd_http

R = FailureReason
LOCAL = NetworkPolicy.parse(["127.0.0.0/8"])
ACCOUNT, SERVICE, TOKEN = "AC" + "0a" * 16, "MG" + "0b" * 16, "t0ken-/+=-41"
CREATED = {"sid": "SM" + "1" * 32, "status": "queued", "error_code": None}


def credential(**values: Any) -> TwilioCredential:
    return TwilioCredential.model_validate(
        {"account_sid": ACCOUNT, "auth_token": TOKEN, "from_phone": "+15005550006", **values}
    )


def talk(
    status: int, answer: Any, content: dict[str, Any] | None = None, message_id: UUID | None = None, **values: Any
) -> tuple[SendResult, Received]:
    """Send one message; return its result and the request that was made."""

    async def scenario() -> tuple[SendResult, Received]:
        async with odd_http([http(status, answer)]) as server:
            provider = TwilioProvider(network_policy=LOCAL)
            message = OutgoingMessage(message_id or uuid4(), "+15551234567", content or {"body": "Grüße & 50% + 1 €"})
            result = await provider.send(message, credential(base_url=server.url, **values))
            await provider.aclose()
            return result, server.requests[0]

    return asyncio.run(asyncio.wait_for(scenario(), 20))


def test_request_and_success() -> None:
    result, request = talk(201, CREATED)
    assert result == SendResult.success(code="201", response="queued", provider_message_id="SM" + "1" * 32)
    assert (request.method, request.path) == ("POST", f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["authorization"] == credential().authorization()
    assert parse_qs(request.body.decode()) == {
        "To": ["+15551234567"],
        "Body": ["Grüße & 50% + 1 €"],
        "From": ["+15005550006"],
    }


def test_messaging_service_media_and_callback() -> None:
    record = uuid4()
    content = {"body": "Look", "media_urls": ["https://a.test/1.png", "https://a.test/2.png"]}
    _, request = talk(
        201, CREATED, content, record, from_phone=None, messaging_service_sid=SERVICE,
        status_callback="https://ours.test/webhooks/twilio?a=1",
    )  # fmt: skip
    fields = parse_qs(request.body.decode())
    assert fields["MessagingServiceSid"] == [SERVICE]
    assert "From" not in fields
    assert fields["MediaUrl"] == content["media_urls"]
    assert fields["StatusCallback"] == [f"https://ours.test/webhooks/twilio?a=1&record_id={record}"]


@pytest.mark.parametrize(
    ("status", "code", "reason", "retryable"),
    [
        (400, 21211, R.CONTENT_ERROR, False),
        (400, 21408, R.PROVIDER_ERROR, False),
        (400, 21610, R.SUPPRESSED, False),
        (400, 21611, R.RATE_LIMITED, True),
        (400, 21614, R.PROVIDER_ERROR, False),
        (400, 21617, R.CONTENT_ERROR, False),
        (401, 20003, R.AUTH_ERROR, False),
        (403, 20005, R.AUTH_ERROR, False),
        (404, 20404, R.AUTH_ERROR, False),
        (429, 20429, R.RATE_LIMITED, True),
        (500, 20500, R.PROVIDER_ERROR, True),
        (400, 99999, R.CONTENT_ERROR, False),
        (429, 99999, R.RATE_LIMITED, True),
    ],
)
def test_error_codes(status: int, code: int, reason: FailureReason, retryable: bool) -> None:
    document = {"code": code, "message": f"words {TOKEN}", "more_info": "https://…", "status": status}
    result, _ = talk(status, document)
    assert (result.reason, result.retryable, result.ambiguous) == (reason, retryable, False)
    assert (result.code, result.response) == (str(code), "words ••••")


def test_check_tells_what_twilio_answers() -> None:
    async def scenario(status: int, answer: Any) -> Any:
        async with odd_http([http(status, answer)]) as server:
            provider = TwilioProvider(network_policy=LOCAL)
            result = await provider.check(credential(base_url=server.url))
            await provider.aclose()
            assert server.requests[0].path == f"/2010-04-01/Accounts/{ACCOUNT}.json"
            return result

    assert asyncio.run(scenario(200, {"status": "active"})).ok
    refused = asyncio.run(scenario(401, {"code": 20003, "message": "Authenticate", "status": 401}))
    assert (refused.ok, refused.reason, refused.detail) == (False, R.AUTH_ERROR, "20003 Authenticate")


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"account_sid": "AC123"}, "account_sid"),
        ({"account_sid": "SK" + "0" * 32}, "account_sid"),
        ({"account_sid": "AC" + "0" * 32 + "\n/../x"}, "account_sid"),
        ({"auth_token": "two\nlines"}, "auth_token"),
        ({"auth_token": ""}, "auth_token"),
        ({"from_phone": "no number!"}, "from_phone"),
        ({"from_phone": "0171 123"}, "from_phone"),
        ({"from_phone": None}, "credentials"),
        ({"from_phone": ""}, "credentials"),
        ({"messaging_service_sid": "MG1"}, "messaging_service_sid"),
        ({"status_callback": "ours.test/x"}, "status_callback"),
        ({"base_url": "ftp://x"}, "base_url"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_bad_credentials_name_the_field(values: dict[str, Any], name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        credential(**values)
    assert list(field_errors(caught.value)) == [name]
    assert "two" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("+1 (500) 555-0006", "+15005550006"),
        ("12345", "12345"),
        ("Acme Ltd", "Acme Ltd"),
        (" +15005550006 ", "+15005550006"),
    ],
)
def test_senders(given: str, stored: str) -> None:
    assert credential(from_phone=given).from_phone == stored
    assert credential(from_phone=None, from_number=given).from_phone == stored


# --- receipts --------------------------------------------------------------------------------------------------------

URL = "https://ours.test/webhooks/twilio"


def callback(
    fields: dict[str, str],
    *,
    url: str = URL,
    signed_url: str | None = None,
    token: str = TOKEN,
    header: str = "x-twilio-signature",
) -> ReceiptRequest:
    """Return a callback as Twilio sends it, signed by the vendor's own code."""
    signature = RequestValidator(token).compute_signature(signed_url or url, fields)
    return ReceiptRequest(url, {header: signature}, urlencode(fields).encode())


def fields(status: str = "delivered", **more: str) -> dict[str, str]:
    return {
        "MessageSid": "SM1",
        "MessageStatus": status,
        "To": "+15551234567",
        "AccountSid": ACCOUNT,
        "Empty": "",
        **more,
    }


def test_signatures() -> None:
    provider = TwilioProvider()
    good = callback(fields())
    assert provider.verify_receipt(good, credential())
    assert provider.verify_receipt(callback(fields(), header="X-Twilio-Signature"), credential())
    assert provider.verify_receipt(callback(fields(), signed_url="https://ours.test:443/webhooks/twilio"), credential())
    unknown = callback(fields(NewField="ünicode & more"))
    assert provider.verify_receipt(unknown, credential()), "fields that we do not know are signed as well"


def test_signatures_that_do_not_fit() -> None:
    provider, good = TwilioProvider(), callback(fields())
    assert not provider.verify_receipt(good, credential(auth_token="another"))
    assert not provider.verify_receipt(callback(fields(), signed_url=URL + "?x=1"), credential())
    assert not provider.verify_receipt(ReceiptRequest(URL, good.headers, good.body + b"&Price=1"), credential())
    assert not provider.verify_receipt(
        ReceiptRequest(URL, good.headers, good.body.replace(b"SM1", b"SM2")), credential()
    )
    for header in ({}, {"X-Twilio-Signature": ""}, {"X-Twilio-Signature": "ü☃"}):
        assert not provider.verify_receipt(ReceiptRequest(URL, header, good.body), credential())
    for body in (b"\xff\xfe", b"&" * 1000, b"a=1" * 1000):
        assert not provider.verify_receipt(ReceiptRequest(URL, good.headers, body), credential())
    assert not provider.verify_receipt(ReceiptRequest("https://[broken", good.headers, good.body), credential())


def parse(request: ReceiptRequest) -> list[Receipt]:
    return TwilioProvider().parse_receipt(request)


def test_delivered_with_price_and_reference() -> None:
    record = uuid4()
    request = callback(
        fields(Price="-0.00790", PriceUnit="usd", RawDlrDoneDate="2611201402"), url=f"{URL}?record_id={record}"
    )
    assert parse(request) == [
        Receipt(
            "SM1", "delivered", datetime(2026, 11, 20, 14, 2, tzinfo=UTC), record, address="+15551234567",
            price="0.00790", currency="USD",
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "code", "state", "reason", "suppress"),
    [
        ("undelivered", "30003", "undeliverable", R.PROVIDER_ERROR, False),
        ("undelivered", "30005", "undeliverable", R.PROVIDER_ERROR, True),
        ("undelivered", "30007", "undeliverable", R.CONTENT_ERROR, False),
        ("undelivered", "21610", "undeliverable", R.SUPPRESSED, True),
        ("failed", "30008", "failed", R.PROVIDER_ERROR, False),
        ("failed", "", "failed", R.PROVIDER_ERROR, False),
        ("read", "", "opened", None, False),
        ("delivered", "30005", "delivered", None, False),
    ],
)
def test_outcomes(status: str, code: str, state: str, reason: FailureReason | None, suppress: bool) -> None:
    (receipt,) = parse(callback(fields(status, ErrorCode=code)))
    assert (receipt.state, receipt.reason, receipt.suppress) == (state, reason, suppress)
    assert receipt.record_id is None
    assert abs((receipt.occurred_at - datetime.now(UTC)).total_seconds()) < 60


def test_progress_is_no_receipt_and_nonsense_is_an_error() -> None:
    for status in ("accepted", "scheduled", "queued", "sending", "sent", "brand-new"):
        assert parse(callback(fields(status))) == []
    for body in (b"", b"MessageSid=SM1", b"\xff", b"{}"):
        with pytest.raises(ValueError):
            parse(ReceiptRequest(URL, {}, body))
    assert parse(callback(fields(), url=f"{URL}?record_id=none"))[0].record_id is None
