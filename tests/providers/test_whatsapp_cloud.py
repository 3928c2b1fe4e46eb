"""WhatsApp Cloud API against the sandbox's end: messages, refusals, signed webhooks, verification."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from aiohttp import web
from pydantic import ValidationError

from notifications.providers.base import FailureReason, Receipt, ReceiptRequest, SendResult, field_errors
from notifications.providers.whatsapp_cloud import SIGNATURE, WhatsAppCloudProvider, WhatsAppCredential
from notifications.providers.whatsapp_webhooks import STOP_WORDS
from tests.providers.vendor_ends import message_to, opened, send_all, send_through
from tests.sandbox.conftest import Sandbox

ADA = "+4915112345678"
TEXT = {"text": {"body": "Grüße"}}


def demo(sandbox: Sandbox, **changes: str) -> WhatsAppCredential:
    return WhatsAppCredential.model_validate({**sandbox.request("/demo/whatsapp").json(), **changes})


TEMPLATE = {
    "template": {
        "name": "order_shipped",
        "language": "de",
        "components": [{"type": "body", "parameters": [{"type": "text", "text": "Zoë"}]}],
    }
}
MEDIA = {"media": {"type": "document", "link": "https://cdn.example/a.pdf", "caption": "Invoice", "filename": "a.pdf"}}


@pytest.mark.parametrize(
    ("content", "sent", "text"),
    [
        (TEXT, {"type": "text", "text": {"body": "Grüße"}}, "Grüße"),
        (
            TEMPLATE,
            {
                "type": "template",
                "template": {
                    "name": "order_shipped",
                    "language": {"code": "de"},
                    "components": [{"type": "body", "parameters": [{"type": "text", "text": "Zoë"}]}],
                },
            },
            "Zoë",
        ),
        (
            MEDIA,
            {
                "type": "document",
                "document": {"link": "https://cdn.example/a.pdf", "caption": "Invoice", "filename": "a.pdf"},
            },
            "Invoice",
        ),
    ],
)
def test_a_message_arrives(run: Any, sandbox: Sandbox, content: Any, sent: dict[str, Any], text: str) -> None:
    message = message_to(ADA, **content)
    (result,) = send_through(run, WhatsAppCloudProvider, demo(sandbox), message)
    assert result.accepted
    assert result.provider_message_id.startswith("wamid.")
    (caught,) = sandbox.messages(channel="whatsapp", to=ADA)
    assert caught["text"] == text
    assert json.loads(caught["raw"]) == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": ADA,
        "biz_opaque_callback_data": str(message.id),
        **sent,
    }


@pytest.mark.parametrize(
    ("number", "reason", "code", "retryable", "retry_after", "ambiguous"),
    [
        ("+15005550001", "content_error", "131009", False, None, False),
        ("+15005550002", "provider_error", "131026", False, None, False),
        ("+15005550003", "content_error", "131047", False, None, False),
        ("+15005550004", "suppressed", "131050", False, None, False),
        ("+15005550005", "auth_error", "190", False, None, False),
        ("+15005550029", "rate_limited", "130429", True, 1.0, False),
        ("+15005550050", "provider_error", "131000", True, None, False),
        ("+15005550051", "provider_error", "500", True, None, False),
        ("+15005550053", "provider_error", "131016", True, 2.0, False),
        ("+15005550062", "network_error", "", True, None, True),
        ("+15005550064", "provider_error", "200", True, None, True),
        ("+15005550065", "provider_error", "307", False, None, False),
    ],
)
def test_every_refusal_has_its_meaning(
    run: Any,
    sandbox: Sandbox,
    number: str,
    reason: str,
    code: str,
    retryable: bool,
    retry_after: float | None,
    ambiguous: bool,
) -> None:
    (result,) = send_through(run, WhatsAppCloudProvider, demo(sandbox), message_to(number, **TEXT))
    assert not result.accepted
    assert (result.reason, result.code, result.retryable) == (FailureReason(reason), code, retryable)
    assert (result.retry_after, result.ambiguous) == (retry_after, ambiguous)
    assert sandbox.messages() == []


def test_outside_the_window_a_template_still_goes(run: Any, sandbox: Sandbox) -> None:
    refused, taken = send_through(
        run,
        WhatsAppCloudProvider,
        demo(sandbox),
        message_to("+15005550003", **TEXT),
        message_to("+15005550003", **TEMPLATE),
    )
    assert "only a template can be sent now" in refused.response
    assert taken.accepted


def test_an_answer_that_is_lost_is_ambiguous(run: Any, sandbox: Sandbox) -> None:
    (result,) = send_through(run, WhatsAppCloudProvider, demo(sandbox), message_to("+15005550063", **TEXT))
    assert (result.accepted, result.ambiguous, result.retryable) == (False, True, True)
    assert len(sandbox.messages()) == 1


def test_the_check_fetches_the_number(run: Any, sandbox: Sandbox) -> None:
    async def conversation() -> list[Any]:
        async with opened(WhatsAppCloudProvider) as provider:
            logins = (demo(sandbox), demo(sandbox, access_token="expired-7f3a"))
            return [await provider.check(login) for login in logins]

    good, bad = run(conversation())
    assert good.ok
    assert (bad.ok, bad.reason) == (False, FailureReason.AUTH_ERROR)
    assert "expired" in bad.detail
    assert "7f3a" not in repr(bad)


class Listener:
    """An address of ours: answers the verification, and keeps what is posted."""

    def __init__(self, credential: WhatsAppCredential) -> None:
        self.credential = credential
        self.provider = WhatsAppCloudProvider()
        self.calls: asyncio.Queue[ReceiptRequest] = asyncio.Queue()
        self.url = ""

    async def __aenter__(self) -> Listener:
        app = web.Application()
        app.router.add_get("/hook", self._verify)
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _verify(self, request: web.Request) -> web.Response:
        answer = self.provider.answer_challenge(request.query, self.credential)
        return web.Response(status=403) if answer is None else web.Response(text=answer)

    async def _take(self, request: web.Request) -> web.Response:
        self.calls.put_nowait(ReceiptRequest(str(request.url), dict(request.headers), await request.read()))
        return web.Response()

    async def receipts(self, count: int) -> list[Receipt]:
        """Wait for ``count`` receipts; every call must be signed."""
        found: list[Receipt] = []
        while len(found) < count:
            call = await asyncio.wait_for(self.calls.get(), 10)
            assert self.provider.verify_receipt(call, self.credential)
            forged = ReceiptRequest(call.url, call.headers, call.body + b" ")
            assert not self.provider.verify_receipt(forged, self.credential)
            found += self.provider.parse_receipt(call)
        return found


async def api(sandbox: Sandbox, method: str, path: str, **body: Any) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.request(method, sandbox.url + path, json=body) as answer:
        return answer.status, await answer.json()


def test_statuses_come_back_signed_and_with_our_reference(run: Any, sandbox: Sandbox) -> None:
    credential = demo(sandbox, phone_number_id="100000000000077")  # nobody else's statuses
    good, bad = message_to(ADA, **TEXT), message_to("+15005550021", **TEXT)

    async def conversation() -> tuple[list[SendResult], list[Receipt]]:
        async with Listener(credential) as listener, opened(WhatsAppCloudProvider) as provider:
            hook = {"phone_number_id": credential.phone_number_id, "verify_token": credential.verify_token}
            assert (await api(sandbox, "PUT", "/demo/whatsapp/webhook", url=listener.url, **hook))[0] == 200
            results = await send_all(provider, [good, bad], credential)
            return results, await listener.receipts(3)

    (first, second), receipts = run(conversation())
    by_state = {receipt.state: receipt for receipt in receipts}
    assert set(by_state) == {"delivered", "opened", "failed"}
    assert by_state["delivered"].record_id == by_state["opened"].record_id == good.id
    assert by_state["delivered"].provider_message_id == first.provider_message_id
    assert by_state["delivered"].address == ADA
    assert abs((by_state["opened"].occurred_at - datetime.now(UTC)).total_seconds()) < 60
    failed = by_state["failed"]
    assert (failed.record_id, failed.provider_message_id) == (bad.id, second.provider_message_id)
    assert (failed.code, failed.reason) == ("131047", FailureReason.CONTENT_ERROR)
    assert failed.detail
    assert not any(receipt.suppress for receipt in receipts)


def test_a_reply_of_stop_asks_to_suppress(run: Any, sandbox: Sandbox) -> None:
    credential = demo(sandbox)
    number = "100000000000078"

    async def conversation() -> list[Receipt]:
        async with Listener(credential) as listener:
            hook = {"url": listener.url, "verify_token": credential.verify_token, "phone_number_id": number}
            assert (await api(sandbox, "PUT", "/demo/whatsapp/webhook", **hook))[0] == 200
            for words in ("Hello", "please stop calling it that", " Stop! "):
                body = {"from": ADA, "text": words, "context": "wamid.ours", "phone_number_id": number}
                status, answer = await api(sandbox, "POST", "/demo/whatsapp/inbound", **body)
                assert (status, answer["taken"]) == (200, True)
            return await listener.receipts(1)

    (receipt,) = run(conversation())
    assert (receipt.state, receipt.suppress, receipt.address, receipt.code) == ("complained", True, ADA, "STOP")
    assert (receipt.provider_message_id, receipt.detail) == ("wamid.ours", "Stop!")


def test_a_webhook_is_only_set_up_by_who_knows_the_token(run: Any, sandbox: Sandbox) -> None:
    async def conversation() -> tuple[int, Any]:
        async with Listener(demo(sandbox)) as listener:
            return await api(sandbox, "PUT", "/demo/whatsapp/webhook", url=listener.url, verify_token="guessed-it")

    status, answer = run(conversation())
    assert (status, answer["code"]) == (400, "not_verified")


CREDENTIAL = WhatsAppCredential.model_validate(
    {"access_token": "EAA", "phone_number_id": "12345", "app_secret": "s3cret", "verify_token": "chosen-word"}
)


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, "1158201444"),
        ({"hub.verify_token": "other-word"}, None),
        ({"hub.verify_token": ""}, None),
        ({"hub.mode": "unsubscribe"}, None),
        ({"hub.challenge": "<script>alert(1)</script>"}, None),
        ({"hub.challenge": ""}, None),
        ({"hub.verify_token": "chösen-word"}, None),
    ],
)
def test_verification_requests(changes: dict[str, str], answer: str | None) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": "chosen-word", "hub.challenge": "1158201444", **changes}
    assert WhatsAppCloudProvider().answer_challenge(query, CREDENTIAL) == answer
    without = WhatsAppCredential.model_validate({"access_token": "EAA", "phone_number_id": "12345"})
    assert WhatsAppCloudProvider().answer_challenge({**query, "hub.verify_token": ""}, without) is None


def test_signatures() -> None:
    body = b'{"object": "whatsapp_business_account"}'
    good = "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    provider = WhatsAppCloudProvider()
    without = WhatsAppCredential.model_validate({"access_token": "EAA", "phone_number_id": "12345"})

    def verified(header: str, name: str = SIGNATURE, credential: WhatsAppCredential = CREDENTIAL) -> bool:
        return provider.verify_receipt(ReceiptRequest("https://us.example/hook", {name: header}, body), credential)

    assert verified(good)
    assert verified(good, name=SIGNATURE.lower())
    for bad in ("", "sha256=", good.removeprefix("sha256="), good[:-1], "sha1=" + good[7:], "sha256=☃"):
        assert not verified(bad)
    assert not verified("sha256=" + hmac.new(b"", body, hashlib.sha256).hexdigest(), credential=without)


def parse(*values: dict[str, Any], field: str = "messages") -> list[Receipt]:
    changes = [{"field": field, "value": value} for value in values]
    body = json.dumps({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]}).encode()
    return WhatsAppCloudProvider().parse_receipt(ReceiptRequest("https://us.example/hook", {}, body))


def status(state: str, **more: Any) -> dict[str, Any]:
    known = {"id": "wamid.1", "status": state, "timestamp": "1700000000", "recipient_id": "4915112345678"}
    return {"statuses": [{**known, **more}]}


def test_parsing_of_statuses() -> None:
    record = uuid4()
    found = parse(
        status("sent"),
        status("delivered", biz_opaque_callback_data=str(record)),
        status("read", biz_opaque_callback_data="not ours", pricing={"billable": True}),
        status("deleted"),
        status("failed", errors=[{"code": 131026, "title": "Message undeliverable"}]),
        status("failed"),
    )
    assert [(r.state, r.record_id, r.code) for r in found] == [
        ("delivered", record, ""),
        ("opened", None, ""),
        ("undeliverable", None, "131026"),
        ("failed", None, ""),
    ]
    assert found[0].occurred_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert isinstance(found[0].record_id, UUID)
    assert parse({"event": "APPROVED", "statuses": 7}, field="message_template_status_update") == []


@pytest.mark.parametrize(
    "message",
    [
        {"text": {"body": "STOP"}},
        {"text": {"body": "unsubscribe."}},
        {"button": {"text": "Stop promotions", "payload": "x"}},
        {"interactive": {"type": "button_reply", "button_reply": {"id": "1", "title": "Stop"}}},
        *({"text": {"body": word.upper()}} for word in sorted(STOP_WORDS)),
    ],
)
def test_every_way_to_say_stop(message: dict[str, Any]) -> None:
    known = {"from": "4915112345678", "id": "wamid.in", "timestamp": "1700000000", "type": "any"}
    (receipt,) = parse({"messages": [{**known, **message}]})
    assert (receipt.suppress, receipt.address, receipt.provider_message_id) == (True, ADA, "")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"{}",
        b'{"object": "page", "entry": []}',
        b'{"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "messages", "value": 7}]}]}',
        b'{"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "messages", "value": {"statuses": '
        b'[{"id": "1", "status": "read", "timestamp": "soon"}]}}]}]}',
    ],
)
def test_foreign_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        WhatsAppCloudProvider().parse_receipt(ReceiptRequest("https://us.example/hook", {}, body))


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"phone_number_id": "+4915112345678"}, "phone_number_id"),
        ({"access_token": "two words"}, "access_token"),
        ({"access_token": ""}, "access_token"),
        ({"app_secret": "ü"}, "app_secret"),
        ({"verify_token": "short"}, "verify_token"),
        ({"api_version": "23"}, "api_version"),
        ({"base_url": "ftp://x"}, "base_url"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_bad_credentials_name_the_field(payload: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        WhatsAppCredential.model_validate({"access_token": "EAA", "phone_number_id": "12345", **payload})
    assert list(field_errors(caught.value)) == [field]
