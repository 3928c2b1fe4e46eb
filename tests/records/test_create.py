"""``POST /api/notifications/records/``: what is accepted, and what each refusal says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from notification_service.lib.scope import tenant_scope
from notifications.records.models import NotificationRecord
from tenants.models import Role, Tenant
from tests.conftest import Persona
from tests.records.conftest import EXAMPLE, RECORDS, example, load


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def in_days(days: float) -> str:
    return (timezone.now() + timedelta(days=days)).isoformat()


def test_the_example_of_the_specification(sender: Persona) -> None:
    answer = sender.client.post(RECORDS, EXAMPLE)
    body = answer.json()
    assert answer.status_code == 201
    assert answer["Location"] == f"{RECORDS}{body['id']}/"
    assert {name: body[name] for name in EXAMPLE} == EXAMPLE
    assert (body["tenant_id"], body["status"], body["delivery_state"]) == (str(sender.tenant_id), "pending", "none")
    assert (body["lane"], body["mode"], body["metadata"]) == ("normal", "live", {})
    assert (body["attempt_count"], body["retry_count"], body["max_retries"]) == (0, 0, 3)
    assert body["failure_reason"] is None
    assert body["sent_at"] is None
    assert body["next_attempt_at"] is not None
    assert body["created_by"] == sender.user.email
    record = load(sender.tenant, body["id"])
    assert record.expires_at - record.created_at == timedelta(hours=24)
    assert sender.client.get(answer["Location"]).json() == body


@pytest.mark.parametrize(
    "content",
    [
        {"subject": "Hi"},
        {"body": "Hi"},
        {"text": "Hi"},
        {"html": "<p>Hi</p>"},
        {"subject": "S", "body": "b", "reply_to": "help@acme.example", "from_name": "Acme"},
        {"body": "Ğüzel, 日本, 🎉"},
    ],
)
def test_content_that_is_accepted(sender: Persona, content: dict[str, str]) -> None:
    answer = sender.client.post(RECORDS, example(content=content, context=...))
    assert (answer.status_code, answer.json()["content"]) == (201, content)


def test_a_backslash_is_no_null_character(sender: Persona) -> None:
    metadata = {"path": "\\u0000 \\\\u0000"}
    assert sender.client.post(RECORDS, example(metadata=metadata)).json()["metadata"] == metadata


def test_everything_that_may_be_given(sender: Persona) -> None:
    when = timezone.now().replace(microsecond=0) + timedelta(days=2)
    asked = example(
        recipient="Ada@EXAMPLE.com",
        lane="critical",
        metadata={"order": {"id": 7, "tags": ["a", None, True]}},
        scheduled_at=when.isoformat(),
        expires_at=(when + timedelta(hours=1)).isoformat(),
    )
    body = sender.client.post(RECORDS, asked).json()
    assert (body["status"], body["lane"], body["metadata"]) == ("scheduled", "critical", asked["metadata"])
    assert body["recipient"] == "Ada@example.com"
    assert parse_datetime(body["scheduled_at"]) == when == parse_datetime(body["next_attempt_at"])
    assert parse_datetime(body["expires_at"]) == when + timedelta(hours=1)


def test_a_time_that_has_passed_means_now(sender: Persona) -> None:
    body = sender.client.post(RECORDS, example(scheduled_at=in_days(-1))).json()
    assert body["status"] == "pending"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"channel": ...}, "channel"),
        ({"channel": None}, "channel"),
        ({"channel": "pigeon"}, "channel"),
        ({"channel": ["email"]}, "channel"),
        ({"recipient": ...}, "recipient"),
        ({"recipient": ""}, "recipient"),
        ({"recipient": "ada"}, "recipient"),
        ({"recipient": "ada@example.com, bob@example.com"}, "recipient"),
        ({"recipient": "Ada <ada@example.com>"}, "recipient"),
        ({"recipient": "ada@example.com\r\nBcc: eve@example.com"}, "recipient"),
        ({"recipient": "a\x00@example.com"}, "recipient"),
        ({"recipient": "a" * 600 + "@example.com"}, "recipient"),
        ({"recipient": 7}, "recipient"),
        ({"content": ...}, "content"),
        ({"content": None}, "content"),
        ({"content": "Hi"}, "content"),
        ({"content": ["Hi"]}, "content"),
        ({"content": {"body": "a\x00b"}}, "content"),
        ({"context": "Ada"}, "context"),
        ({"context": {"name": "Ada", "pad": "x" * 300_000}}, "context"),
        ({"metadata": [1]}, "metadata"),
        ({"metadata": {"pad": "x" * 300_000}}, "metadata"),
        ({"metadata": nested(900)}, "metadata"),
        ({"metadata": {"a": ["x\x00y"]}}, "metadata"),
        ({"metadata": {"a\x00": 1}}, "metadata"),
        ({"context": {"name": "A\x00da"}}, "context"),
        ({"lane": "express"}, "lane"),
        ({"lane": None}, "lane"),
        ({"scheduled_at": "tomorrow"}, "scheduled_at"),
        ({"scheduled_at": 12}, "scheduled_at"),
        ({"scheduled_at": in_days(400)}, "scheduled_at"),
        ({"scheduled_at": "9999-12-31T23:59:59Z"}, "scheduled_at"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"expires_at": in_days(-0.01)}, "expires_at"),
        ({"expires_at": in_days(1), "scheduled_at": in_days(2)}, "expires_at"),
    ],
)
def test_bad_input_is_refused_by_the_name_of_its_field(sender: Persona, changes: dict[str, Any], field: str) -> None:
    answer = sender.client.post(RECORDS, example(**changes))
    body = answer.json()
    assert (answer.status_code, body["code"]) == (400, "invalid"), body
    assert field in {name.partition(".")[0] for name in body["errors"]}
    assert field in body["detail"] or body["errors"][field][0] in body["detail"]
    with tenant_scope(sender.tenant_id):
        assert not NotificationRecord.objects.exists()


@pytest.mark.parametrize(
    ("content", "field", "word"),
    [
        ({}, "subject", "subject"),
        ({"subject": " "}, "subject", "subject"),
        ({"subject": "x" * 999}, "subject", "998"),
        ({"body": "x" * (1024 * 1024 + 1)}, "body", "1048576"),
        ({"body": 7}, "body", "string"),
        ({"headline": "Hi"}, "headline", "subject"),
        ({"subject": "Hi {{name"}, "subject", "}}"),
        ({"subject": "Hi {{ na/me }}"}, "subject", "na/me"),
        ({"subject": "Hi {{ surname }}"}, "context.surname", "surname"),
        ({"body": "{{ user.name }}"}, "context.user.name", "user.name"),
        ({"subject": "Hi", "reply_to": "nobody"}, "reply_to", "@"),
    ],
)
def test_content_that_can_not_be_sent(sender: Persona, content: dict[str, Any], field: str, word: str) -> None:
    answer = sender.client.post(RECORDS, example(content=content))
    body = answer.json()
    assert (answer.status_code, body["code"]) == (400, "content_error"), body
    assert word in body["detail"]
    assert list(body["errors"]) == [field]


def test_values_are_for_the_words_and_never_for_headers(sender: Persona) -> None:
    changes = {"context": {"name": "Eve\r\nBcc: all@example.com"}}
    assert sender.client.post(RECORDS, example(**changes)).status_code == 201  # flattened when it is sent


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b'{"channel": ', "application/json", 400, "malformed"),
        (b"", "application/json", 400, "invalid"),
        (b"\xff\xfe", "application/json", 400, "malformed"),
        (b'{"channel": "\\ud800"}', "application/json", 400, "malformed"),
        (b"[]", "application/json", 400, "invalid"),
        (b'"email"', "application/json", 400, "invalid"),
        (b"null", "application/json", 400, "invalid"),
        (b"<xml/>", "application/xml", 415, "unsupported_media_type"),
        (b"channel=email", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    ],
)
def test_what_is_no_json_object(sender: Persona, body: bytes, content_type: str, status: int, code: str) -> None:
    answer = sender.client.generic("POST", RECORDS, body, content_type=content_type)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.json()
    assert answer.json()["detail"]


def test_nothing_to_send_with(admin: Persona) -> None:
    answer = admin.client.post(RECORDS, EXAMPLE)
    assert (answer.status_code, answer.json()["code"]) == (409, "no_credential")
    assert "credential" in answer.json()["detail"]


@pytest.mark.parametrize("role", [Role.EMPLOYEE, Role.CUSTOMER])
def test_roles_that_may_not_send(
    sender: Persona, tenant: Tenant, make_persona: Callable[..., Persona], role: str
) -> None:
    client = make_persona(tenant, role).client
    for answer in (client.post(RECORDS, EXAMPLE), client.get(RECORDS)):
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


@pytest.mark.parametrize("role", [Role.OWNER, Role.MANAGER, Role.HR])
def test_roles_that_may_send(sender: Persona, tenant: Tenant, make_persona: Callable[..., Persona], role: str) -> None:
    assert make_persona(tenant, role).client.post(RECORDS, EXAMPLE).status_code == 201


def test_nobody_sends_without_saying_who(sender: Persona) -> None:
    sender.client.credentials()
    answer = sender.client.post(RECORDS, EXAMPLE)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


def test_the_tenant_comes_from_the_caller_and_never_from_the_body(
    sender: Persona, stranger: Persona, make_credential: Callable[..., object]
) -> None:
    make_credential(stranger.tenant)
    asked = example(tenant_id=str(sender.tenant_id), tenant=str(sender.tenant_id))
    assert stranger.client.post(RECORDS, asked).json()["tenant_id"] == str(stranger.tenant_id)


def test_a_phone_number_without_a_country_is_one_of_the_tenants_region(admin: Persona) -> None:
    body = {"channel": "sms", "recipient": "0151 23456789", "content": {"body": "Hi"}}
    credential = {
        "account_sid": "AC" + "0" * 32, "auth_token": "x" * 32, "from_phone": "+15005550006",
    }  # fmt: skip
    made = admin.client.post("/api/notifications/credentials/", {"channel": "sms", "credentials": credential})
    assert made.status_code == 201
    refused = admin.client.post(RECORDS, body)
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["recipient"])
    assert admin.client.patch("/api/v1/projects/me", {"default_region": "DE"}).status_code == 200
    accepted = admin.client.post(RECORDS, body)
    assert (accepted.status_code, accepted.json()["recipient"]) == (201, "+4915123456789")
