"""Receipts: genuine ones only, once, in whatever order, and what they mean for recipients."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import permutations
from threading import Barrier
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings
from twilio.request_validator import RequestValidator

from notification_service.lib.ids import id_floor, new_id
from notification_service.lib.scope import tenant_scope
from notifications.credentials.models import Credential
from notifications.credentials.services import create_credential
from notifications.providers.base import FailureReason, SendResult
from notifications.recipients.models import Device, Suppression
from notifications.records import hooks
from notifications.records.intake import NewRecord, accept
from notifications.records.models import NotificationRecord, Receipt
from notifications.records.outcomes import decide, write_outcomes
from notifications.records.queue import claim
from notifications.records.receipts import _records_of
from notifications.records.states import DELIVERY_RANKS, DeliveryState
from notifications.records.tasks import housekeep, sweep
from tenants.callers import Caller, system_caller
from tenants.models import Tenant
from tests.conftest import Persona
from tests.records.conftest import load

ADA = "+353861234567"
TOKEN = "an-auth-token-of-twilio"
SITE = "https://notify.example.com"


@pytest.fixture(autouse=True)
def _public_address(settings: Settings) -> None:
    settings.PUBLIC_URL = SITE


def make_twilio(tenant: Tenant, account: str = "AC" + "1" * 32, token: str = TOKEN) -> Credential:
    payload = {"account_sid": account, "auth_token": token, "from_phone": "+15551234567"}
    with tenant_scope(tenant.id):
        return create_credential(system_caller(tenant.id, "test"), channel="sms", provider="twilio", payload=payload)


@pytest.fixture
def twilio(tenant: Tenant) -> Credential:
    return make_twilio(tenant)


def make_record(tenant: Tenant, channel: str = "sms", recipient: str = ADA, mode: str = "live") -> NotificationRecord:
    content = {
        "sms": {"body": "Hi"},
        "push": {"title": "Hi"},
        "email": {"body": "Hi"},
        "whatsapp": {"text": {"body": "Hi"}},
    }[channel]
    with tenant_scope(tenant.id):
        caller = Caller(tenant.id, "system", "test", mode=mode)  # type: ignore[arg-type]
        record = accept(caller, NewRecord(channel, recipient, content))
        # Due since before this test's transaction began, whose start PostgreSQL takes for now.
        NotificationRecord.objects.filter(id=record.id).update(due_at=timezone.now() - timedelta(minutes=1))
    return record


def send(tenant: Tenant, result: SendResult, provider: str = "twilio", credential: Credential | None = None) -> None:
    """Give every record that is due this result, as the engine does."""
    with tenant_scope(tenant.id):
        now = timezone.now()
        outcomes = [
            decide(each, result, provider=provider, credential_id=credential and credential.id, started_at=now, now=now)
            for each in claim(tenant.id, "normal", token=new_id(), limit=50)
        ]
        assert outcomes
        hooks.announce(write_outcomes(tenant.id, outcomes))


@pytest.fixture
def sent(tenant: Tenant, twilio: Credential) -> NotificationRecord:
    """A text message that Twilio has taken as SM1."""
    record = make_record(tenant)
    send(tenant, SendResult.success(provider_message_id="SM1"), credential=twilio)
    return record


def call(path: str, status: str = "delivered", *, token: str = TOKEN, site: str = SITE, **fields: str) -> Any:
    """Call as Twilio does, signed."""
    form = {"MessageSid": "SM1", "MessageStatus": status, "To": ADA, "AccountSid": "AC" + "1" * 32, **fields}
    form = {name: value for name, value in form.items() if value}
    signature = RequestValidator(token).compute_signature(site + path, form)
    return Client().post(
        path,
        urlencode(form),
        content_type="application/x-www-form-urlencoded",
        headers={"X-Twilio-Signature": signature},
    )


def state(tenant: Tenant, record: NotificationRecord) -> str:
    return load(tenant, record.id).delivery_state


def suppressed(tenant: Tenant) -> dict[str, str]:
    with tenant_scope(tenant.id):
        return {each.address: each.reason for each in Suppression.objects.all()}


def receipts(tenant: Tenant) -> list[Receipt]:
    with tenant_scope(tenant.id):
        return list(Receipt.objects.all())


def test_a_receipt_moves_the_delivery_state_and_stands_in_the_timeline(
    admin: Persona, twilio: Credential, sent: NotificationRecord
) -> None:
    answer = call(f"/webhooks/twilio/{twilio.id}", Price="-0.0075", PriceUnit="usd")
    assert (answer.status_code, answer.content) == (200, b"")
    shown = admin.client.get(f"/api/notifications/records/{sent.id}/").json()
    assert (shown["status"], shown["delivery_state"]) == ("success", "delivered")
    timeline = admin.client.get(f"/api/notifications/records/{sent.id}/timeline/").json()["timeline"]
    step = timeline[-1]
    assert (step["event"], step["actor"], step["price"], step["currency"]) == ("delivered", "twilio", "0.0075", "USD")
    shown = admin.client.get(f"/api/notifications/records/{sent.id}/").json()
    assert (shown["price"], shown["price_currency"]) == ("0.0075", "USD")
    assert suppressed(admin.tenant) == {}


def test_a_credential_says_where_its_provider_shall_report(
    admin: Persona, twilio: Credential, sent: NotificationRecord
) -> None:
    shown = admin.client.get(f"/api/notifications/credentials/{twilio.id}/").json()
    assert shown["receipts_url"] == f"{SITE}/webhooks/twilio/{twilio.id}"
    assert call(shown["receipts_url"].removeprefix(SITE)).status_code == 200
    assert state(admin.tenant, sent) == "delivered"


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("query", ["", "?a=b&c=%20d"])
def test_the_address_is_signed_as_it_was_called(
    tenant: Tenant, twilio: Credential, sent: NotificationRecord, slash: str, query: str
) -> None:
    assert call(f"/webhooks/twilio/{twilio.id}{slash}{query}").status_code == 200
    assert state(tenant, sent) == "delivered"


def test_behind_no_proxy_the_address_really_called_counts_too(
    tenant: Tenant, twilio: Credential, sent: NotificationRecord
) -> None:
    assert call(f"/webhooks/twilio/{twilio.id}", site="http://testserver").status_code == 200
    assert state(tenant, sent) == "delivered"


def test_the_account_says_whose_it_is(
    tenant: Tenant, other_tenant: Tenant, twilio: Credential, sent: NotificationRecord
) -> None:
    make_twilio(other_tenant, token="a stranger's token")
    assert call("/webhooks/twilio").status_code == 200
    assert state(tenant, sent) == "delivered"
    assert call("/webhooks/twilio", "read", AccountSid="AC" + "9" * 32).status_code == 404
    assert call(f"/webhooks/twilio?credential={twilio.id}", "read", AccountSid="").status_code == 200
    assert state(tenant, sent) == "opened"


def test_our_record_says_whose_it_is(tenant: Tenant, twilio: Credential, sent: NotificationRecord) -> None:
    assert call(f"/webhooks/twilio?record_id={sent.id}", AccountSid="").status_code == 200
    assert state(tenant, sent) == "delivered"


def test_a_wrong_signature_is_refused(tenant: Tenant, twilio: Credential, sent: NotificationRecord) -> None:
    for path in (f"/webhooks/twilio/{twilio.id}", "/webhooks/twilio"):
        answer = call(path, token="guessed")
        assert (answer.status_code, answer.json()["code"]) == (403, "invalid_signature")
    unsigned = Client().post(f"/webhooks/twilio/{twilio.id}", {"MessageSid": "SM1", "MessageStatus": "delivered"})
    assert unsigned.status_code == 403
    assert (state(tenant, sent), receipts(tenant)) == ("none", [])


def test_what_is_unknown_is_not_found(twilio: Credential) -> None:
    for path in (f"/webhooks/twilio/{uuid4()}", f"/webhooks/pigeon/{twilio.id}", "/webhooks/pigeon", "/webhooks/smtp"):
        assert call(path).status_code == 404, path
    assert call(f"/webhooks/webpush/{twilio.id}").status_code == 404, "another provider's credential"
    assert call("/webhooks/twilio", AccountSid="").status_code == 404
    assert call("/webhooks/twilio?credential=x").status_code == 400
    assert Client().get("/webhooks/twilio").status_code == 405


def test_a_genuine_call_that_is_no_report(tenant: Tenant, twilio: Credential) -> None:
    path = f"/webhooks/twilio/{twilio.id}"
    assert call(path, "", MessageSid="").status_code == 400
    assert call(path, "sent").status_code == 200
    assert receipts(tenant) == []


def test_a_tenants_signature_moves_no_record_of_another(
    tenant: Tenant, other_tenant: Tenant, sent: NotificationRecord
) -> None:
    theirs = make_twilio(other_tenant, "AC" + "2" * 32)
    assert call(f"/webhooks/twilio/{theirs.id}?record_id={sent.id}").status_code == 200
    assert state(tenant, sent) == "none"
    assert [receipt.applied_at for receipt in receipts(other_tenant)] == [None]


def test_replays_change_nothing(admin: Persona, twilio: Credential, sent: NotificationRecord) -> None:
    told: list[Receipt] = []
    hooks.on_receipts(told.extend)
    try:
        for _ in range(3):
            assert call(f"/webhooks/twilio/{twilio.id}").status_code == 200
    finally:
        hooks._on_receipts.remove(told.extend)
    assert [receipt.record_id for receipt in told] == [sent.id]
    assert len(receipts(admin.tenant)) == 1
    timeline = admin.client.get(f"/api/notifications/records/{sent.id}/timeline/").json()["timeline"]
    assert [step["event"] for step in timeline].count("delivered") == 1


@pytest.mark.parametrize(
    ("price", "unit"), [("free", "USD"), ("NaN", "USD"), ("1e99", "USD"), ("0.01", "dollars"), ("0.01", "")]
)
def test_what_is_no_price_is_not_noted(
    tenant: Tenant, twilio: Credential, sent: NotificationRecord, price: str, unit: str
) -> None:
    assert call(f"/webhooks/twilio/{twilio.id}", Price=price, PriceUnit=unit).status_code == 200
    assert (load(tenant, sent.id).price, state(tenant, sent)) == (None, "delivered")


@pytest.mark.django_db(transaction=True)
def test_the_same_receipt_many_times_at_once(admin: Persona, twilio: Credential, sent: NotificationRecord) -> None:
    together = Barrier(6)

    def report(_: int) -> int:
        try:
            together.wait(timeout=10)
            return int(call(f"/webhooks/twilio/{twilio.id}").status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(report, range(6))) == {200}
    assert len(receipts(admin.tenant)) == 1
    assert state(admin.tenant, sent) == "delivered"


@pytest.mark.parametrize("order", list(permutations(["delivered", "read", "undelivered"])))
def test_in_any_order_the_end_is_the_same(
    tenant: Tenant, twilio: Credential, sent: NotificationRecord, order: tuple[str, ...]
) -> None:
    seen = []
    for status in order:
        call(f"/webhooks/twilio/{twilio.id}", status)
        seen.append(DELIVERY_RANKS[DeliveryState(state(tenant, sent))])
    assert seen == sorted(seen), "only forward"
    assert state(tenant, sent) == "undeliverable"


def test_a_failure_is_of_the_delivery_and_not_of_the_status(
    tenant: Tenant, twilio: Credential, sent: NotificationRecord
) -> None:
    call(f"/webhooks/twilio/{twilio.id}", "failed", ErrorCode="30008")
    record = load(tenant, sent.id)
    assert (record.status, record.delivery_state, record.failure_reason) == ("success", "undeliverable", "")
    assert suppressed(tenant) == {}


def test_every_delivery_state_has_a_rank() -> None:
    assert set(DELIVERY_RANKS) == set(DeliveryState)
    bad = {DeliveryState.BOUNCED, DeliveryState.COMPLAINED, DeliveryState.UNDELIVERABLE}
    assert min(DELIVERY_RANKS[each] for each in bad) > max(DELIVERY_RANKS[each] for each in set(DeliveryState) - bad)


def test_a_receipt_that_is_faster_than_its_outcome_waits_for_it(tenant: Tenant, twilio: Credential) -> None:
    record = make_record(tenant)
    assert call(f"/webhooks/twilio/{twilio.id}").status_code == 200
    assert (state(tenant, record), receipts(tenant)[0].applied_at) == ("none", None)
    send(tenant, SendResult.success(provider_message_id="SM1"), credential=twilio)
    assert state(tenant, record) == "delivered"
    (receipt,) = receipts(tenant)
    assert (receipt.record_id, receipt.applied_at is None) == (record.id, False)


def test_a_receipt_with_our_reference_does_not_wait(tenant: Tenant, twilio: Credential) -> None:
    record = make_record(tenant)
    assert call(f"/webhooks/twilio/{twilio.id}?record_id={record.id}").status_code == 200
    assert (state(tenant, record), load(tenant, record.id).status) == ("delivered", "pending")
    send(tenant, SendResult.success(provider_message_id="SM1"), credential=twilio)
    assert (state(tenant, record), load(tenant, record.id).status) == ("delivered", "success")


@pytest.mark.parametrize(("minutes", "expected"), [(0, "delivered"), (59, "delivered"), (61, "none")])
def test_the_sweeper_finds_what_missed_its_outcome(
    tenant: Tenant, twilio: Credential, sent: NotificationRecord, minutes: int, expected: str
) -> None:
    """Receipt and outcome that are committed at the same moment do not see each other."""
    with tenant_scope(tenant.id):
        Receipt.objects.create(
            tenant=tenant,
            provider="twilio",
            credential_id=twilio.id,
            event_key="k",
            provider_message_id="SM1",
            state="delivered",
            payload={
                **dict.fromkeys(("code", "detail", "address", "reason", "price", "currency"), ""),
                "suppress": False,
            },
            occurred_at=timezone.now(),
            received_at=timezone.now() - timedelta(minutes=minutes),
        )
    sweep()
    assert state(tenant, sent) == expected


def test_old_receipts_are_forgotten(tenant: Tenant, twilio: Credential, sent: NotificationRecord) -> None:
    call(f"/webhooks/twilio/{twilio.id}")
    housekeep()
    assert len(receipts(tenant)) == 1
    with tenant_scope(tenant.id):
        Receipt.objects.update(id=UUID(int=id_floor(timezone.now() - timedelta(days=31)).int))
    housekeep()
    assert receipts(tenant) == []


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("undelivered", "30005", {ADA: "dead_address"}),
        ("undelivered", "21610", {ADA: "stop"}),
        ("undelivered", "30007", {}),
        ("failed", "21211", {ADA: "dead_address"}),
    ],
)
def test_what_a_receipt_says_of_the_address(
    tenant: Tenant, twilio: Credential, sent: NotificationRecord, status: str, code: str, expected: dict[str, str]
) -> None:
    call(f"/webhooks/twilio/{twilio.id}", status, ErrorCode=code)
    assert suppressed(tenant) == expected


def test_an_address_is_suppressed_even_if_the_record_is_not_ours(tenant: Tenant, twilio: Credential) -> None:
    call(f"/webhooks/twilio/{twilio.id}", "undelivered", ErrorCode="30005", MessageSid="SM-of-another-system")
    assert suppressed(tenant) == {ADA: "dead_address"}


def test_test_traffic_suppresses_nobody(tenant: Tenant, twilio: Credential) -> None:
    record = make_record(tenant, mode="test")
    call(f"/webhooks/twilio/{twilio.id}?record_id={record.id}", "undelivered", ErrorCode="30005")
    assert (state(tenant, record), suppressed(tenant)) == ("undeliverable", {})


@pytest.mark.parametrize(
    ("fields", "holds"),
    [
        ({"Body": " stop "}, True),
        ({"Body": "ARRÊT", "OptOutType": "STOP"}, True),
        ({"Body": "Do not stop"}, False),
        ({"Body": "HELP", "OptOutType": "HELP"}, False),
    ],
)
def test_a_reply_of_stop(tenant: Tenant, twilio: Credential, fields: dict[str, str], holds: bool) -> None:
    incoming = {"SmsStatus": "received", "From": ADA, "To": "+15551234567", **fields}
    assert call("/webhooks/twilio", "", **incoming).status_code == 200
    assert suppressed(tenant) == ({ADA: "stop"} if holds else {})
    incoming = {"SmsStatus": "received", "From": ADA, "Body": "Start"}
    assert call("/webhooks/twilio", "", **incoming).status_code == 200
    assert suppressed(tenant) == {}


def test_a_dead_token_loses_its_device_and_is_suppressed(admin: Persona) -> None:
    with tenant_scope(admin.tenant_id):
        Credential.objects.create(tenant=admin.tenant, channel="push", provider="fcm", name="F", payload_encrypted=b"x")
    phone = {"device_id": "phone", "platform": "ios", "token": "dead-token"}
    assert admin.client.post("/api/notifications/devices/", phone).status_code == 201
    dead = make_record(admin.tenant, "push", "dead-token")
    dead_result = SendResult.failure(
        FailureReason.PROVIDER_ERROR, "gone", code="UNREGISTERED", retryable=False, dead_address=True
    )
    send(admin.tenant, dead_result, "fcm")
    with tenant_scope(admin.tenant_id):
        device = Device.objects.get()
    assert (device.active, device.deactivated_reason) == (False, "dead_address")
    assert suppressed(admin.tenant) == {"dead-token": "dead_address"}
    assert load(admin.tenant, dead.id).status == "failed"


def test_a_refusal_because_of_stop_is_remembered(tenant: Tenant, twilio: Credential) -> None:
    make_record(tenant)
    refused = SendResult.failure(FailureReason.SUPPRESSED, "replied STOP", code="21610", retryable=False)
    send(tenant, refused, credential=twilio)
    assert suppressed(tenant) == {ADA: "stop"}
    again = make_record(tenant)
    assert (again.status, again.failure_reason, again.provider_response) == ("suppressed", "suppressed", "stop")


def make_whatsapp(tenant: Tenant) -> Credential:
    payload = {
        "access_token": "EAAG-token",
        "phone_number_id": "1234567890",
        "app_secret": TOKEN,
        "verify_token": "a word of our choice",
    }
    with tenant_scope(tenant.id):
        return create_credential(
            system_caller(tenant.id, "test"), channel="whatsapp", provider="whatsapp_cloud", payload=payload
        )


def call_whatsapp(path: str, value: dict[str, Any], secret: str = TOKEN) -> Any:
    """Call as Meta does, signed."""
    value = {"metadata": {"phone_number_id": "1234567890"}, **value}
    entry = {"id": "1", "changes": [{"field": "messages", "value": value}]}
    body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
    signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return Client().post(path, body, content_type="application/json", headers={"X-Hub-Signature-256": signature})


def status_of(message_id: str, status: str, **fields: Any) -> dict[str, Any]:
    return {"statuses": [{"id": message_id, "status": status, "timestamp": "1700000000", **fields}]}


def test_the_challenge_of_whatsapp(tenant: Tenant, twilio: Credential) -> None:
    path = f"/webhooks/whatsapp/{make_whatsapp(tenant).id}"
    asked = {"hub.mode": "subscribe", "hub.verify_token": "a word of our choice", "hub.challenge": "42"}
    answer = Client().get(path, asked)
    assert (answer.status_code, answer.content, answer["Content-Type"]) == (200, b"42", "text/plain")
    for wrong in ({"hub.verify_token": "guessed"}, {"hub.mode": "x"}, {"hub.challenge": "<script>"}):
        assert Client().get(path, {**asked, **wrong}).status_code == 403
    assert Client().get(f"/webhooks/whatsapp/{uuid4()}", asked).status_code == 404
    assert Client().get(f"/webhooks/twilio/{twilio.id}", asked).status_code == 404, "Twilio never asks"


def test_whatsapp(tenant: Tenant) -> None:
    credential = make_whatsapp(tenant)
    record = make_record(tenant, "whatsapp")
    send(tenant, SendResult.success(provider_message_id="wamid.1"), "whatsapp_cloud", credential)
    assert call_whatsapp("/webhooks/whatsapp", status_of("wamid.1", "delivered"), "guessed").status_code == 403
    assert call_whatsapp("/webhooks/whatsapp", status_of("wamid.1", "delivered")).status_code == 200
    assert state(tenant, record) == "delivered"
    assert call_whatsapp(f"/webhooks/whatsapp/{credential.id}", status_of("wamid.1", "read")).status_code == 200
    assert state(tenant, record) == "opened"


def test_each_person_may_say_stop_to_whatsapp_and_again(tenant: Tenant) -> None:
    make_whatsapp(tenant)

    def stop(number: str, second: int) -> None:
        said = {"id": "m", "from": number, "timestamp": str(1_700_000_000 + second), "text": {"body": "Stop."}}
        assert call_whatsapp("/webhooks/whatsapp", {"messages": [said]}).status_code == 200

    stop("353861234567", 1)
    stop("353867654321", 2)
    assert suppressed(tenant) == {ADA: "stop", "+353867654321": "stop"}
    with tenant_scope(tenant.id):
        Suppression.objects.all().delete()
    stop("353861234567", 1)
    assert suppressed(tenant) == {}, "the same message once more is a replay"
    stop("353861234567", 3)
    assert suppressed(tenant) == {ADA: "stop"}
    assert all(receipt.applied_at for receipt in receipts(tenant))


@pytest.mark.parametrize(
    ("event", "reached", "reason"),
    [
        ({"event": "delivered"}, "delivered", None),
        ({"event": "open"}, "opened", None),
        ({"event": "bounce", "type": "bounce", "status": "5.1.1"}, "bounced", "hard_bounce"),
        ({"event": "bounce", "type": "blocked", "status": "4.0.0"}, "bounced", None),
        ({"event": "spamreport"}, "complained", "complaint"),
        ({"event": "unsubscribe"}, "clicked", "unsubscribed"),
        ({"event": "dropped", "reason": "Unsubscribed Address"}, "undeliverable", "unsubscribed"),
        ({"event": "dropped", "reason": "Spam Reporting Address"}, "undeliverable", "complaint"),
        ({"event": "dropped", "reason": "Bounced Address"}, "undeliverable", "hard_bounce"),
    ],
)
def test_sendgrid(tenant: Tenant, event: dict[str, str], reached: str, reason: str | None) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    payload = {"api_key": "SG.x", "from_email": "a@acme.example", "webhook_public_key": b64encode(public).decode()}
    with tenant_scope(tenant.id):
        caller = system_caller(tenant.id, "test")
        credential = create_credential(caller, channel="email", provider="sendgrid", payload=payload)
    record = make_record(tenant, "email", "Ada@example.com")
    send(tenant, SendResult.success(provider_message_id="sg1"), "sendgrid", credential)
    events = [{"email": "ada@example.com", "timestamp": 1_700_000_000, "record_id": str(record.id), **event}]
    body, moment = json.dumps(events).encode(), "1700000001"
    signature = b64encode(key.sign(moment.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
    headers = {
        "X-Twilio-Email-Event-Webhook-Signature": signature,
        "X-Twilio-Email-Event-Webhook-Timestamp": moment,
    }

    def report(path: str, **more: str) -> int:
        answer = Client().post(path, body, content_type="application/json", headers={**headers, **more})
        return int(answer.status_code)

    assert report("/webhooks/sendgrid", **{"X-Twilio-Email-Event-Webhook-Timestamp": "1"}) == 403
    assert report("/webhooks/sendgrid") == 200, "the record says whose it is"
    assert report(f"/webhooks/sendgrid/{credential.id}") == 200
    assert state(tenant, record) == reached
    assert suppressed(tenant) == ({"ada@example.com": reason} if reason else {})


def test_looking_for_a_providers_id_uses_the_index(tenant: Tenant, sent: NotificationRecord) -> None:
    with tenant_scope(tenant.id), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        with CaptureQueriesContext(connection) as queries:
            call_id = Receipt(id=new_id(), provider="twilio", provider_message_id="SM1")
            assert _records_of([call_id])[call_id.id].id == sent.id
        (lookup,) = [each["sql"] for each in queries if "provider_message_id" in each["sql"].partition("WHERE")[2]]
        cursor.execute(f"EXPLAIN {lookup}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "provider_message_id" in plan.partition("Index Cond")[2], plan
