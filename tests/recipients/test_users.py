"""``/api/v1/users`` and ``/api/v1/roles``."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.recipients import hooks
from notifications.recipients.models import Device, Preference, Recipient
from notifications.recipients.people import Person, find_people
from tenants.models import AuditLog, Role, Tenant
from tests.conftest import Persona

USERS = "/api/v1/users"
ROLES = "/api/v1/roles"
ADA = {
    "external_user_id": "crm-17",
    "email": "Ada@Example.com",
    "phone": "+353 86 123 4567",
    "name": "Ada",
    "roles": ["staff", "finance"],
    "locale": "en-IE",
    "time_zone": "Europe/Dublin",
    "metadata": {"city": "Cork"},
}


def created(persona: Persona, **changes: Any) -> dict[str, Any]:
    answer = persona.client.post(USERS, {**ADA, **changes})
    assert answer.status_code == 201, answer.json()
    found: dict[str, Any] = answer.json()
    return found


def test_create_and_read(admin: Persona) -> None:
    body = created(admin, push_tokens={"fcm": "token-of-a-phone"})
    assert (body["user_id"], body["external_user_id"], body["status"]) == ("crm-17", "crm-17", "active")
    assert (body["email"], body["phone"], body["roles"]) == ("Ada@example.com", "+353861234567", ["finance", "staff"])
    assert (body["metadata"], body["locale"], body["time_zone"]) == ({"city": "Cork"}, "en-IE", "Europe/Dublin")
    assert body["push_tokens"] == {"fcm": "••••hone"}
    assert admin.client.get(f"{USERS}/{body['id']}").json() == body
    assert admin.client.get(f"{USERS}/{body['id']}/").json() == body
    assert admin.client.get(USERS).json()["results"] == [body]
    assert [role["name"] for role in admin.client.get(ROLES).json()["results"]] == ["finance", "staff"]
    with tenant_scope(admin.tenant_id):
        assert Device.objects.get().user_id == "crm-17"


def test_the_other_spelling_of_the_fields(admin: Persona) -> None:
    body = {"email": "a@b.example", "externalUserId": "user_44", "pushTokens": {"apns": "another-token-x"}}
    answer = admin.client.post(USERS, body)
    assert (answer.status_code, answer.json()["external_user_id"]) == (201, "user_44")
    assert list(answer.json()["push_tokens"]) == ["apns"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"email": "nobody"}, "email"),
        ({"phone": "12"}, "phone"),
        ({"locale": "english please"}, "locale"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"status": "sleepy"}, "status"),
        ({"roles": "staff"}, "roles"),
        ({"roles": ["r" * 65]}, "roles"),
        ({"metadata": {"x": "y" * 20_000}}, "metadata"),
        ({"metadata": "x"}, "metadata"),
        ({"external_user_id": "x" * 256}, "external_user_id"),
        ({"name": "a\x07b"}, "name"),
        ({"push_tokens": {"pigeon": "coo"}}, "push_tokens.pigeon"),
        ({"push_tokens": {"fcm": "two words"}}, "push_tokens.fcm"),
        ({"external_user_id": "", "email": None, "phone": ""}, "email"),
    ],
)
def test_what_is_refused_names_its_field(admin: Persona, changes: dict[str, Any], field: str) -> None:
    answer = admin.client.post(USERS, {**ADA, **changes})
    assert (answer.status_code, [name.partition(".0")[0] for name in answer.json()["errors"]]) == (400, [field])
    assert admin.client.get(USERS).json()["count"] == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"external_user_id": "crm-18", "email": "ADA@EXAMPLE.COM"}, "email"),
        ({"email": "other@example.com"}, "external_user_id"),
    ],
)
def test_one_person_per_email_and_external_id(
    admin: Persona, stranger: Persona, changes: dict[str, Any], field: str
) -> None:
    created(admin)
    answer = admin.client.post(USERS, {**ADA, **changes})
    assert (answer.status_code, answer.json()["code"], list(answer.json()["errors"])) == (409, "duplicate", [field])
    created(stranger)


@pytest.mark.parametrize("text", ["\\u0000", "back\\slash"])
def test_metadata_may_hold_any_text(admin: Persona, text: str) -> None:
    assert created(admin, metadata={"a": text})["metadata"] == {"a": text}


@pytest.mark.django_db(transaction=True)
def test_one_of_many_at_once_gets_the_email(admin: Persona) -> None:
    together = Barrier(4)

    def create(number: int) -> int:
        try:
            together.wait(timeout=10)
            return admin.client.post(USERS, {**ADA, "external_user_id": f"crm-{number}"}).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(create, range(4))) == [201, 409, 409, 409]


def test_change_some_or_all(admin: Persona) -> None:
    address = f"{USERS}/{created(admin, status='pending')['id']}"
    changed = admin.client.patch(address, {"name": "Ada L.", "phone": None}).json()
    assert (changed["name"], changed["phone"], changed["email"]) == ("Ada L.", "", "Ada@example.com")
    replaced = admin.client.put(address, {"email": "new@example.com"}).json()
    assert (replaced["email"], replaced["name"], replaced["roles"], replaced["metadata"]) == (
        "new@example.com",
        "",
        [],
        {},
    )
    assert (replaced["external_user_id"], replaced["status"]) == ("", "pending")


def test_devices_and_preferences_follow_a_new_external_id(admin: Persona) -> None:
    body = created(admin, push_tokens={"fcm": "token-of-a-phone"})
    address = f"{USERS}/{body['id']}"
    admin.client.put(f"{address}/preferences", {"digest": "daily"})
    changed = admin.client.patch(address, {"external_user_id": "crm-99"}).json()
    assert changed["push_tokens"] == body["push_tokens"]
    assert admin.client.get(f"{address}/preferences").json()["digest"] == "daily"
    with tenant_scope(admin.tenant_id):
        assert Device.objects.get().user_id == Preference.objects.get().user_id == "crm-99"


@pytest.mark.parametrize("status", ["pending", "unverified"])
def test_approval(admin: Persona, status: str) -> None:
    body = created(admin, status=status)
    address = f"{USERS}/{body['id']}"
    with tenant_scope(admin.tenant_id):
        assert find_people(user_ids=["crm-17"]) == []
    assert [admin.client.post(f"{address}/approve").json()["status"] for _ in range(2)] == ["approved", "approved"]
    with tenant_scope(admin.tenant_id):
        assert [person.user_id for person in find_people(user_ids=["crm-17"])] == ["crm-17"]
    admin.client.patch(address, {"status": "disabled"})
    refused = admin.client.post(f"{address}/approve")
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_status")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["Eve", "Bob", "Ada"]),
        ({"cursor": ""}, ["Eve", "Bob", "Ada"]),
        ({"role": "finance"}, ["Ada"]),
        ({"status": "pending"}, ["Bob"]),
        ({"email": "ADA@example.com"}, ["Ada"]),
        ({"external_user_id": "crm-18"}, ["Bob"]),
        ({"search": "ob"}, ["Bob"]),
        ({"locale": "de"}, ["Eve"]),
        ({"created_before": "2020-01-01T00:00:00Z"}, []),
    ],
)
def test_filters(admin: Persona, query: dict[str, str], expected: list[str]) -> None:
    created(admin)
    admin.client.post(USERS, {"external_user_id": "crm-18", "name": "Bob", "status": "pending"})
    admin.client.post(USERS, {"email": "eve@example.com", "name": "Eve", "locale": "de"})
    assert [row["name"] for row in admin.client.get(USERS, query).json()["results"]] == expected
    assert admin.client.get(USERS, {"status": "sleepy"}).status_code == 400


def test_a_page_asks_for_devices_once(admin: Persona, django_assert_max_num_queries: Any) -> None:
    for number in range(5):
        created(
            admin,
            external_user_id=f"crm-{number}",
            email=f"u{number}@x.example",
            push_tokens={"fcm": f"token-number-{number}"},
        )
    with django_assert_max_num_queries(12):
        rows = admin.client.get(USERS).json()["results"]
    assert [row["push_tokens"] for row in rows] == [{"fcm": f"••••er-{number}"} for number in (4, 3, 2, 1, 0)]


def test_deleted_people_are_gone_and_may_come_back(admin: Persona) -> None:
    body = created(admin, push_tokens={"fcm": "token-of-a-phone"})
    address = f"{USERS}/{body['id']}"
    admin.client.put(f"{address}/preferences", {"digest": "daily"})
    assert admin.client.delete(address).status_code == 204
    for call in (admin.client.get, admin.client.patch, admin.client.delete):
        assert call(address).status_code == 404
    assert admin.client.get(USERS).json()["results"] == []
    with tenant_scope(admin.tenant_id):
        assert find_people(where={}) == []
        assert not Device.objects.filter(active=True).exists()
    again = created(admin)
    assert again["id"] != body["id"]
    assert admin.client.get(f"{USERS}/{again['id']}/preferences").json()["digest"] == "daily"


def test_erasure_leaves_nothing(admin: Persona) -> None:
    body = created(admin, push_tokens={"fcm": "token-of-a-phone"})
    address = f"{USERS}/{body['id']}"
    admin.client.put(f"{address}/preferences", {"digest": "daily"})
    admin.client.delete(address)
    again = created(admin, name="Ada once more")
    asked: list[hooks.KnownAs] = []
    hooks.on_erased(asked.append)
    try:
        assert admin.client.delete(f"{USERS}/{again['id']}?erase=true").status_code == 204
    finally:
        hooks._erased.pop()
    (known,) = asked
    assert known.user_ids == ("crm-17", again["id"])
    addresses = {"Ada@example.com", "ada@example.com", "+353861234567", "token-of-a-phone"}
    assert set(known.addresses) == {*addresses, *known.user_ids}
    with tenant_scope(admin.tenant_id):
        assert not any(model.objects.exists() for model in (Recipient, Device, Preference))
    with platform_scope("test"):
        log = str(list(AuditLog.objects.values()))
    assert "user.erased" in log
    assert not [text for text in ("Ada@", "ada@", "353861234567", "Cork", "token-of") if text in log]


def test_export(admin: Persona) -> None:
    body = created(admin, push_tokens={"fcm": "token-of-a-phone"})
    admin.client.post("/api/notifications/suppressions/", {"channel": "email", "address": "ada@example.com"})
    admin.client.post("/api/notifications/suppressions/", {"channel": "email", "address": "eve@example.com"})
    answer = admin.client.get(f"{USERS}/{body['id']}/export")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    found = answer.json()
    assert found["user"] == body
    assert [device["device_id"] for device in found["devices"]] == ["fcm"]
    assert [each["reason"] for each in found["suppressions"]] == ["manual"]
    assert found["preferences"]["user_id"] == "crm-17"
    assert "token-of-a-phone" not in answer.content.decode()


def test_new_people_are_announced(admin: Persona) -> None:
    heard: list[Person] = []
    hooks.on_registered(heard.extend)
    try:
        created(admin)
        users = [{"external_user_id": "crm-17", "name": "Ada"}, {"external_user_id": "crm-18", "name": "Bob"}]
        admin.client.post(f"{USERS}/sync", {"users": users})
    finally:
        hooks._registered.pop()
    assert [person.name for person in heard] == ["Ada", "Bob"]


def test_who_may(
    tenant: Tenant, make_persona: Callable[..., Persona], api_key_client: Callable[..., APIClient]
) -> None:
    employee = make_persona(tenant, Role.EMPLOYEE)
    assert employee.client.get(USERS).status_code == employee.client.post(USERS, ADA).status_code == 403
    reader = api_key_client(tenant, scopes=["users:read"])
    assert (reader.get(USERS).status_code, reader.post(USERS, ADA).status_code) == (200, 403)
    assert reader.get(ROLES).status_code == 200
    assert api_key_client(tenant, scopes=["users:manage"]).post(USERS, ADA).status_code == 201


def test_roles(admin: Persona) -> None:
    body = created(admin)
    made = admin.client.post(ROLES, {"name": "board", "description": "Directors"})
    assert (made.status_code, made.json()["description"]) == (201, "Directors")
    taken = admin.client.post(ROLES, {"name": "finance"})
    assert (taken.status_code, list(taken.json()["errors"])) == (409, ["name"])
    roles = {role["name"]: role["id"] for role in admin.client.get(ROLES).json()["results"]}
    assert sorted(roles) == ["board", "finance", "staff"]
    assert admin.client.put(f"{ROLES}/{roles['finance']}", {"name": "treasury"}).json()["name"] == "treasury"
    assert admin.client.patch(f"{ROLES}/{roles['board']}", {"name": " "}).status_code == 400
    assert admin.client.get(f"{USERS}/{body['id']}").json()["roles"] == ["staff", "treasury"]
    assert admin.client.delete(f"{ROLES}/{roles['staff']}").status_code == 204
    assert admin.client.get(f"{USERS}/{body['id']}").json()["roles"] == ["treasury"]
    assert admin.client.get(f"{ROLES}/{roles['staff']}").status_code == 404


def test_another_tenant_sees_and_touches_nothing(admin: Persona, stranger: Persona) -> None:
    body = created(admin)
    address = f"{USERS}/{body['id']}"
    assert stranger.client.get(USERS).json()["results"] == []
    assert stranger.client.get(ROLES).json()["results"] == []
    assert stranger.client.get(USERS, {"search": "Ada"}).json()["results"] == []
    for path in (address, f"{address}/export", f"{address}/preferences"):
        assert stranger.client.get(path).status_code == 404
    for answer in (
        stranger.client.patch(address, {"name": "Mallory"}),
        stranger.client.delete(f"{address}?erase=true"),
        stranger.client.post(f"{address}/approve"),
        stranger.client.put(f"{address}/preferences", {"digest": "daily"}),
    ):
        assert answer.status_code == 404
    assert admin.client.get(address).json() == body
