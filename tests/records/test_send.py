"""``/api/v1/services/notifications/``: one call, several channels and people, all or nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from notification_service.lib.scope import tenant_scope
from notifications.credentials.models import Credential
from notifications.records.models import NotificationRecord
from tenants.models import Plan, Role, Tenant
from tests.conftest import Persona

SEND = "/api/v1/services/notifications/send"
EMAIL = {"subject": "Hi {{name}}", "body": "Welcome"}
SMS = {"body": "Hi {{name}}"}
ADA = {"email": "Ada@Example.com", "phone": "+353 86 123 4567", "context": {"name": "Ada"}}


@pytest.fixture(autouse=True)
def _credentials(tenant: Tenant) -> None:
    with tenant_scope(tenant.id):
        for channel, provider in (("email", "smtp"), ("sms", "twilio"), ("push", "fcm")):
            Credential.objects.create(
                tenant=tenant, channel=channel, provider=provider, name=channel, payload_encrypted=b""
            )


def call(**changes: Any) -> dict[str, Any]:
    body = {"channels": ["email", "sms"], "recipients": [ADA], "content": {"email": EMAIL, "sms": SMS}}
    return {name: value for name, value in {**body, **changes}.items() if value is not ...}


def one(**changes: Any) -> dict[str, Any]:
    """One channel, one address."""
    body = {"channels": ..., "recipients": ..., "channel": "email", "to": "ada@example.com", "content": {"body": "Hi"}}
    return call(**{**body, **changes})


def sent(persona: Persona, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = persona.client.post(SEND, body, headers=headers)
    assert answer.status_code == 201, answer.json()
    found: dict[str, Any] = answer.json()
    return found


def refused(persona: Persona, body: dict[str, Any]) -> dict[str, list[str]]:
    answer = persona.client.post(SEND, body)
    assert answer.status_code == 400, answer.json()
    assert rows(persona) == []
    return dict(answer.json().get("errors", {}))


def rows(persona: Persona) -> list[NotificationRecord]:
    with tenant_scope(persona.tenant_id):
        return list(NotificationRecord.objects.order_by("id"))


def register(persona: Persona, user_id: str, *tokens: str) -> None:
    for token in tokens:
        device = {"user_id": user_id, "device_id": f"of {token}", "platform": "ios", "token": token}
        assert persona.client.post("/api/notifications/devices/", device).status_code == 201


def test_several_channels_and_people(admin: Persona) -> None:
    grace = {"email": "grace@example.com", "sms": "+353867654321"}
    body = sent(admin, call(recipients=[ADA, grace], context={"name": "friend"}, metadata={"a": 1}, lane="bulk"))
    assert [(each["channel"], each["recipient"], each["status"]) for each in body["notifications"]] == [
        ("email", "Ada@example.com", "pending"),
        ("sms", "+353861234567", "pending"),
        ("email", "grace@example.com", "pending"),
        ("sms", "+353867654321", "pending"),
    ]
    assert (body["id"], body["errors"]) == (None, [])
    assert [(row.context["name"], row.metadata, row.lane) for row in rows(admin)] == [
        ("Ada", {"a": 1}, "bulk"),
        ("Ada", {"a": 1}, "bulk"),
        ("friend", {"a": 1}, "bulk"),
        ("friend", {"a": 1}, "bulk"),
    ]
    assert [str(row.id) for row in rows(admin)] == [each["id"] for each in body["notifications"]]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"content": {"email": {"body": "Hi"}}},
        {"to": ["ada@example.com"]},
        {"to": {"email": "ada@example.com"}},
        {"to": [{"email": "ada@example.com", "phone": "+353861234567"}]},
        {"to": ..., "recipients": ["ada@example.com"]},
        {"channel": ..., "channels": ["email"]},
    ],
)
def test_one_message_in_all_its_spellings(admin: Persona, changes: dict[str, Any]) -> None:
    body = sent(admin, one(**changes))
    (record,) = rows(admin)
    assert (record.recipient, record.content) == ("ada@example.com", {"body": "Hi"})
    assert body["id"] == body["notifications"][0]["id"] == str(record.id)
    shown = admin.client.get(f"/api/v1/services/notifications/{body['id']}")
    assert shown.json() == admin.client.get(f"/api/notifications/records/{body['id']}/").json()
    assert shown.json()["id"] == body["id"]


def test_for_later(admin: Persona) -> None:
    later = (timezone.now() + timedelta(days=1)).isoformat()
    assert sent(admin, one(scheduled_at=later))["notifications"][0]["status"] == "scheduled"


def test_push_goes_to_each_device_of_a_person(admin: Persona) -> None:
    register(admin, "crm-17", "token-a", "token-b")
    push = {"channel": "push", "content": {"title": "Hi"}}
    assert [each["recipient"] for each in sent(admin, one(**push, to={"user_id": "crm-17"}))["notifications"]] == [
        "token-a",
        "token-b",
    ]
    tokens = {each["recipient"] for each in sent(admin, one(**push, to=["crm-17", "token-c"]))["notifications"]}
    assert tokens == {"token-a", "token-b", "token-c"}
    body = sent(admin, one(**push, to=[{"user_id": "crm-17", "token": "token-x"}]))
    assert [each["recipient"] for each in body["notifications"]] == ["token-x"]


def test_who_has_no_device_is_named_and_the_others_are_sent_to(admin: Persona) -> None:
    register(admin, "crm-17", "token-a")
    people = [{"user_id": "crm-17", "email": "a@x.example"}, {"user_id": "crm-18", "email": "b@x.example"}]
    content = {"email": {"body": "Hi"}, "push": {"title": "Hi"}}
    body = sent(admin, call(channels=["email", "push"], recipients=people, content=content))
    assert [each["recipient"] for each in body["notifications"]] == ["a@x.example", "token-a", "b@x.example"]
    assert [(each["index"], each["channel"], each["code"]) for each in body["errors"]] == [(1, "push", "no_device")]


def test_nobody_at_all_is_a_refusal(admin: Persona) -> None:
    push = one(channel="push", to=[{"user_id": "crm-18"}], content={"title": "Hi"})
    assert list(refused(admin, push)) == ["recipients.0"]
    assert admin.client.post(SEND, push).json()["code"] == "no_recipient"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (call(recipients=[ADA, {**ADA, "email": "nobody"}]), ["recipients.1.email"]),
        (call(recipients=[ADA, {**ADA, "phone": "12"}]), ["recipients.1.phone"]),
        (call(recipients=[{**ADA, "sms": "12"}]), ["recipients.0.sms"]),
        (call(recipients=[ADA, {"email": "a@x.example"}]), ["recipients.1.phone"]),
        (call(recipients=[{**ADA, "fax": "1"}]), ["recipients.0.fax"]),
        (call(recipients=[{**ADA, "email": 5}]), ["recipients.0.email"]),
        (call(recipients=[{**ADA, "context": 5}]), ["recipients.0.context"]),
        (call(recipients=["ada@example.com"]), ["recipients.0"]),
        (call(recipients=[ADA, 5, ""]), ["recipients.1", "recipients.2"]),
        (call(recipients=[ADA, None]), ["recipients.1"]),
        (call(recipients=[{**ADA, "context": {}}, ADA]), ["recipients.0.context.name"]),
        (call(content={"email": EMAIL}), ["content.sms"]),
        (call(content={"email": EMAIL, "sms": SMS, "push": {}}), ["content.push"]),
        (call(content={"email": {**EMAIL, "colour": "red"}, "sms": SMS}), ["content.email.colour"]),
        (one(content={"colour": "red"}), ["content.colour"]),
        (one(to=["ada@example.com", "nobody", "nowhere"]), ["recipients.1", "recipients.2"]),
        (one(expires_at="2020-01-01T00:00:00Z"), ["expires_at"]),
        (one(channel="pigeon"), ["channel"]),
        (one(channels=["email"]), ["channels"]),
        (one(channel=...), ["channels"]),
        (one(to=...), ["recipients"]),
        (one(to=[]), ["to"]),
        (one(to=["a@x.example"] * 1001), ["to"]),
        (one(content=...), ["content"]),
        (one(lane="express"), ["lane"]),
        (call(channels=["email", "email"]), ["channels"]),
        (call(recipients=[ADA] * 501), ["recipients"]),
    ],
)
def test_what_is_refused_names_its_place_and_nothing_is_sent(
    admin: Persona, body: dict[str, Any], fields: list[str]
) -> None:
    assert list(refused(admin, body)) == fields


def test_a_thousand_at_once(admin: Persona) -> None:
    body = sent(admin, one(to=[f"person{number}@example.com" for number in range(1000)]))
    assert len(body["notifications"]) == len(rows(admin)) == 1000


def test_a_channel_without_a_credential(admin: Persona) -> None:
    with tenant_scope(admin.tenant_id):
        Credential.objects.filter(channel="sms").delete()
    answer = admin.client.post(SEND, call())
    assert (answer.status_code, answer.json()["code"]) == (409, "no_credential")
    assert rows(admin) == []


def test_suppressed_recipients_are_written_and_not_sent(admin: Persona) -> None:
    barred = {"channel": "email", "address": "ada@example.com", "reason": "complaint"}
    assert admin.client.post("/api/notifications/suppressions/", barred).status_code == 201
    body = sent(admin, call())
    assert [each["status"] for each in body["notifications"]] == ["suppressed", "pending"]
    record = rows(admin)[0]
    assert (record.failure_reason, record.provider_response) == ("suppressed", "complaint")


def test_repeated_with_its_key_it_is_carried_out_once(admin: Persona) -> None:
    key = {"Idempotency-Key": "once"}
    first = admin.client.post(SEND, call(), headers=key)
    again = admin.client.post(SEND, call(), headers=key)
    assert (again.status_code, again.json(), again["Idempotent-Replayed"]) == (201, first.json(), "true")
    assert len(rows(admin)) == 2
    assert admin.client.post(SEND, one(), headers=key).status_code == 422


def test_every_notification_counts_towards_the_quota(admin: Persona) -> None:
    assert admin.tenant.plan == Plan.FREE
    everybody = one(to=[f"person{number}@example.com" for number in range(1000)])
    for _ in range(5):
        sent(admin, everybody)
    answer = admin.client.post(SEND, one())
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")


def test_who_may(
    tenant: Tenant,
    stranger: Persona,
    admin: Persona,
    make_persona: Callable[..., Persona],
    api_key_client: Callable[..., APIClient],
) -> None:
    body = sent(admin, one())
    address = f"/api/v1/services/notifications/{body['id']}"
    employee = make_persona(tenant, Role.EMPLOYEE)
    assert employee.client.post(SEND, one()).status_code == 403
    assert employee.client.get(address).status_code == 403
    writer = api_key_client(tenant, scopes=["notifications:write"])
    assert (writer.post(SEND, one()).status_code, writer.get(address).status_code) == (201, 403)
    assert stranger.client.get(address).status_code == 404
