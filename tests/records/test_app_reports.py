"""``/webhooks/fcm``: what an app says of push messages, signed with its credential's secret."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any
from uuid import UUID

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.test import Client

from notification_service.lib.ids import new_id
from notification_service.lib.scope import tenant_scope
from notifications.credentials.models import Credential
from notifications.credentials.services import create_credential
from notifications.records.models import NotificationRecord, Receipt
from tenants.callers import system_caller
from tenants.models import Tenant
from tests.conftest import Persona
from tests.records.test_receipts import make_record, make_twilio, state

pytestmark = pytest.mark.django_db

SECRET = "a-secret-of-the-app-0001"


@pytest.fixture(scope="module")
def key() -> str:
    made = rsa.generate_private_key(65537, 2048)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def make_fcm(tenant: Tenant, key: str, **more: str) -> Credential:
    payload = {"project_id": "p1", "client_email": "a@p1.iam.example", "private_key": key, **more}
    with tenant_scope(tenant.id):
        caller = system_caller(tenant.id, "test")
        return create_credential(caller, channel="push", provider="fcm", payload=payload)


@pytest.fixture
def fcm(tenant: Tenant, key: str) -> Credential:
    return make_fcm(tenant, key, report_secret=SECRET)


@pytest.fixture
def pushed(tenant: Tenant, fcm: Credential) -> NotificationRecord:
    return make_record(tenant, channel="push", recipient="token-1:abc")


def report(path: str, *reports: dict[str, Any], secret: str = SECRET, body: bytes | None = None) -> Any:
    body = orjson.dumps({"reports": list(reports)}) if body is None else body
    signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Signature-256": signature}
    return Client().post(path, body, content_type="application/json", headers=headers)


def test_received_and_opened(admin: Persona, tenant: Tenant, fcm: Credential, pushed: NotificationRecord) -> None:
    path = f"/webhooks/fcm/{fcm.id}"
    one = {"notification_id": str(pushed.id)}
    assert report(path, {**one, "event": "opened", "at": "2026-11-20T16:00:00Z"}).status_code == 200
    assert state(tenant, pushed) == "opened"
    for _ in range(2):
        assert report(path, {**one, "event": "received"}).status_code == 200
    assert state(tenant, pushed) == "opened"
    with tenant_scope(tenant.id):
        assert sorted(Receipt.objects.values_list("state", flat=True)) == ["delivered", "opened"], "each once"
    (shown,) = admin.client.get("/api/notifications/credentials/").json()["results"]
    assert shown["receipts_url"].endswith(path)
    assert SECRET not in str(shown)


def test_a_wrong_signature_and_none(tenant: Tenant, fcm: Credential, pushed: NotificationRecord) -> None:
    one = {"notification_id": str(pushed.id), "event": "opened"}
    path = f"/webhooks/fcm/{fcm.id}"
    assert report(path, one, secret="another").status_code == 403
    assert Client().post(path, orjson.dumps({"reports": [one]}), content_type="application/json").status_code == 403
    assert report(f"/webhooks/fcm/{new_id()}", one).status_code == 404
    assert report("/webhooks/fcm", {"notification_id": str(new_id()), "event": "opened"}).status_code == 404
    assert state(tenant, pushed) == "none"


def test_without_a_secret_nothing_is_taken(tenant: Tenant, key: str, pushed: NotificationRecord) -> None:
    mute = make_fcm(tenant, key)
    one = {"notification_id": str(pushed.id), "event": "opened"}
    assert report(f"/webhooks/fcm/{mute.id}", one, secret="").status_code == 403


def test_the_record_says_whose_it_is(tenant: Tenant, fcm: Credential, pushed: NotificationRecord) -> None:
    with tenant_scope(tenant.id):
        NotificationRecord.objects.filter(id=pushed.id).update(credential_id=fcm.id, provider="fcm")
    assert report("/webhooks/fcm", {"notification_id": str(pushed.id), "event": "received"}).status_code == 200
    assert state(tenant, pushed) == "delivered"


def test_it_says_nothing_of_other_channels_and_tenants(
    tenant: Tenant, other_tenant: Tenant, fcm: Credential, pushed: NotificationRecord, key: str
) -> None:
    make_twilio(tenant)
    text = make_record(tenant)
    theirs = make_fcm(other_tenant, key, report_secret=SECRET)
    assert report(f"/webhooks/fcm/{fcm.id}", {"notification_id": str(text.id), "event": "opened"}).status_code == 200
    assert (
        report(f"/webhooks/fcm/{theirs.id}", {"notification_id": str(pushed.id), "event": "opened"}).status_code == 200
    )
    assert (state(tenant, text), state(tenant, pushed)) == ("none", "none")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"reports": [{"notification_id": "x", "event": "opened"}]}',
        b'{"reports": [{"notification_id": "%s", "event": "bounced"}]}' % str(UUID(int=1)).encode(),
        orjson.dumps({"reports": [{"notification_id": str(UUID(int=n)), "event": "opened"} for n in range(1001)]}),
    ],
    ids=["no JSON", "no id", "no good news", "too many"],
)
def test_what_is_no_report_is_a_bad_request(fcm: Credential, body: bytes) -> None:
    answer = report(f"/webhooks/fcm/{fcm.id}", body=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
