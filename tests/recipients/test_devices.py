"""``/api/notifications/devices/``: whose, how many, and where a token goes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from notification_service.lib.scope import tenant_scope
from notifications.recipients.models import Device, SuppressionReason
from notifications.recipients.services import deactivate, devices_of
from notifications.recipients.suppressions import Addressee, NewSuppression, find_suppressed, suppress
from tenants.models import Role, Tenant
from tests.conftest import Persona

DEVICES = "/api/notifications/devices/"
BROWSER = {
    "endpoint": "https://push.example.com/send/abc",
    "keys": {
        "p256dh": "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM",
        "auth": "tBHItJI5svbpez7KI4CCXg",
    },
}


def phone(**changes: Any) -> dict[str, Any]:
    device = {"device_id": "phone", "platform": "android", "token": "token-of-a-phone"}
    return {name: value for name, value in {**device, **changes}.items() if value is not ...}


@pytest.fixture
def employee(tenant: Tenant, make_persona: Callable[..., Persona]) -> Persona:
    return make_persona(tenant, Role.EMPLOYEE)


def test_a_person_registers_their_own(employee: Persona) -> None:
    answer = employee.client.post(DEVICES, phone(app_version="2.1", locale="en-IE"))
    body = answer.json()
    assert answer.status_code == 201, body
    assert (body["user_id"], body["device_id"], body["platform"]) == (str(employee.user.id), "phone", "android")
    assert (body["app_version"], body["locale"], body["active"]) == ("2.1", "en-IE", True)
    assert "token-of-a-phone" not in answer.content.decode()
    assert body["token"].endswith("hone")
    assert employee.client.get(f"{DEVICES}{body['id']}/").json() == body
    assert employee.client.get(DEVICES).json()["results"] == [body]


def test_a_device_of_a_person_replaces_its_token(employee: Persona) -> None:
    first = employee.client.post(DEVICES, phone()).json()
    again = employee.client.post(DEVICES, phone(token="a-newer-token"))
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    with tenant_scope(employee.tenant_id):
        assert [device.token for device in Device.objects.all()] == ["a-newer-token"]


def test_a_token_that_moves_leaves_the_old_owner(employee: Persona, admin: Persona) -> None:
    old = employee.client.post(DEVICES, phone()).json()
    new = admin.client.post(DEVICES, phone(device_id="the same telephone")).json()
    assert new["active"]
    left = employee.client.get(f"{DEVICES}{old['id']}/").json()
    assert (left["active"], left["deactivated_reason"]) == (False, "moved")
    with tenant_scope(admin.tenant_id):
        assert devices_of([str(employee.user.id)]) == {}
        assert [device.device_id for device in devices_of([str(admin.user.id)])[str(admin.user.id)]] == [
            "the same telephone"
        ]


def test_browsers_register_a_subscription(employee: Persona) -> None:
    answer = employee.client.post(DEVICES, phone(platform="web", token=..., subscription=BROWSER))
    assert answer.status_code == 201, answer.json()
    with tenant_scope(employee.tenant_id):
        assert Device.objects.get().token.startswith('{"endpoint":"https://push.example.com/send/abc"')
    assert "tBHItJI5" not in answer.content.decode()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"token": ...}, "token"),
        ({"token": "two words"}, "token"),
        ({"token": "x" * 3000}, "token"),
        ({"subscription": BROWSER}, "token"),
        ({"token": ..., "subscription": {"endpoint": "https://push.example.com"}}, "token"),
        ({"platform": "toaster"}, "platform"),
        ({"platform": ...}, "platform"),
        ({"device_id": ...}, "device_id"),
        ({"device_id": "d" * 256}, "device_id"),
        ({"user_id": ""}, "user_id"),
    ],
)
def test_what_is_refused_names_its_field(employee: Persona, changes: dict[str, Any], field: str) -> None:
    answer = employee.client.post(DEVICES, phone(**changes))
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


def test_other_peoples_devices_need_a_permission(
    employee: Persona, admin: Persona, make_persona: Callable[..., Persona]
) -> None:
    made = admin.client.post(DEVICES, phone(user_id="crm-17"))
    assert (made.status_code, made.json()["user_id"]) == (201, "crm-17")
    address = f"{DEVICES}{made.json()['id']}/"
    assert employee.client.post(DEVICES, phone(user_id="crm-17")).status_code == 403
    assert employee.client.get(DEVICES, {"user_id": "crm-17"}).status_code == 403
    assert employee.client.get(DEVICES, {"all": "true"}).status_code == 403
    assert employee.client.get(DEVICES).json()["results"] == []
    for call in (employee.client.get, employee.client.delete, employee.client.patch):
        assert call(address).status_code == 404
    assert len(admin.client.get(DEVICES, {"user_id": "crm-17"}).json()["results"]) == 1
    assert admin.client.get(DEVICES).json()["results"] == []
    assert len(admin.client.get(DEVICES, {"all": "true"}).json()["results"]) == 1


def test_api_keys_name_the_person(tenant: Tenant, api_key_client: Callable[..., APIClient]) -> None:
    client = api_key_client(tenant, scopes=["notifications:write"])
    answer = client.post(DEVICES, phone())
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["user_id"])
    assert client.post(DEVICES, phone(user_id="crm-17")).status_code == 201
    assert [row["user_id"] for row in client.get(DEVICES).json()["results"]] == ["crm-17"]
    reader = api_key_client(tenant, scopes=["templates:read"])
    assert reader.get(DEVICES).status_code == 403


def test_change_and_forget(employee: Persona) -> None:
    address = f"{DEVICES}{employee.client.post(DEVICES, phone(locale='de')).json()['id']}/"
    changed = employee.client.patch(address, {"active": False}).json()
    assert (changed["active"], changed["deactivated_reason"], changed["locale"]) == (False, "by the tenant", "de")
    replaced = employee.client.put(address, {"platform": "ios", "token": "another-token"}).json()
    assert (replaced["active"], replaced["deactivated_reason"], replaced["locale"]) == (True, "", "")
    assert employee.client.delete(address).status_code == 204
    assert employee.client.get(address).status_code == 404


def test_filters(employee: Persona) -> None:
    employee.client.post(DEVICES, phone())
    employee.client.post(DEVICES, phone(device_id="tablet", platform="ios", token="other"))
    for query, expected in (({"platform": "ios"}, 1), ({"active": "false"}, 0), ({"device_id": "phone"}, 1)):
        assert len(employee.client.get(DEVICES, query).json()["results"]) == expected
    assert employee.client.get(DEVICES, {"platform": "toaster"}).status_code == 400


def test_another_tenant_sees_nothing_and_may_have_the_same_token(employee: Persona, stranger: Persona) -> None:
    made = employee.client.post(DEVICES, phone()).json()
    assert stranger.client.post(DEVICES, phone()).status_code == 201
    assert stranger.client.get(f"{DEVICES}{made['id']}/").status_code == 404
    assert len(stranger.client.get(DEVICES, {"all": "true"}).json()["results"]) == 1
    assert employee.client.get(f"{DEVICES}{made['id']}/").json()["active"]


def test_a_dead_token_is_used_no_more_until_it_is_registered_again(employee: Persona) -> None:
    employee.client.post(DEVICES, phone())
    dead = Addressee("push", "token-of-a-phone", "critical")
    with tenant_scope(employee.tenant_id):
        assert deactivate(["token-of-a-phone", "unknown"], "dead_address") == 1
        assert deactivate(["token-of-a-phone"], "dead_address") == 0
        suppress([NewSuppression("push", "token-of-a-phone", SuppressionReason.DEAD_ADDRESS)], by="test")
        assert devices_of([str(employee.user.id)]) == {}
        assert find_suppressed([dead]) == {dead: "dead_address"}
    assert employee.client.post(DEVICES, phone()).json()["active"]
    with tenant_scope(employee.tenant_id):
        assert find_suppressed([dead]) == {}


@pytest.mark.django_db(transaction=True)
def test_one_token_registered_by_many_at_once_has_one_owner(admin: Persona) -> None:
    together = Barrier(6)

    def register(number: int) -> int:
        try:
            together.wait(timeout=10)
            return admin.client.post(DEVICES, phone(user_id=f"user{number % 3}", device_id=f"d{number}")).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(register, range(6))) == {201}
    with tenant_scope(admin.tenant_id):
        assert Device.objects.filter(active=True).count() == 1
        assert Device.objects.count() == 6
