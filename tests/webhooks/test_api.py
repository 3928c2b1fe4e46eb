"""Endpoints and deliveries through the API: what is refused, what is shown, and to whom."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings
from rest_framework.test import APIClient

from notification_service.lib.scope import tenant_scope
from notifications.webhooks import services
from notifications.webhooks.models import WebhookDelivery, WebhookEndpoint
from tenants.models import AuditLog, Tenant
from tests.conftest import Persona
from tests.webhooks.conftest import DELIVERIES, DOOR, ENDPOINTS, deliveries, publish

URL = "https://crm.acme.example/webhooks"


@pytest.fixture
def endpoint(admin: Persona) -> dict[str, Any]:
    found: dict[str, Any] = admin.client.post(ENDPOINTS, {"url": URL}).json()
    return found


def test_the_secret_is_shown_once(admin: Persona, endpoint: dict[str, Any]) -> None:
    secret = endpoint["secret"]
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    for address in (ENDPOINTS, f"{ENDPOINTS}/{endpoint['id']}"):
        text = admin.client.get(address).content.decode()
        assert "••••" in text
        assert secret not in text
    admin.client.post(f"{ENDPOINTS}/{endpoint['id']}/rotate-secret")
    with tenant_scope(admin.tenant_id):
        (row,) = WebhookEndpoint.objects.all()
        stored = bytes(row.secret_encrypted) + bytes(row.previous_secret_encrypted or b"")
        said = json.dumps(list(AuditLog.objects.values_list("metadata", flat=True)))
    assert secret.encode() not in stored
    assert secret not in said


def test_a_secret_of_another_row_does_not_decrypt(admin: Persona, endpoint: dict[str, Any]) -> None:
    other = admin.client.post(ENDPOINTS, {"url": URL}).json()
    with tenant_scope(admin.tenant_id):
        stolen = bytes(WebhookEndpoint.objects.get(id=endpoint["id"]).secret_encrypted)
        WebhookEndpoint.objects.filter(id=other["id"]).update(secret_encrypted=stolen)
        with pytest.raises(Exception, match="does not belong here"):
            services.masked_secret(WebhookEndpoint.objects.get(id=other["id"]))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "ftp://crm.example"),
        ("url", "https://user:password@crm.example/"),
        ("url", "https://crm.example/#part"),
        ("url", "crm.example"),
        ("url", "https://crm.example:99999/"),
        ("url", "https://10.0.0.1/"),
        ("url", "https://169.254.169.254/latest"),
        ("url", "https://100.64.0.1/"),
        ("url", "https://[::1]/"),
        ("url", "https://[fd00::1]/"),
        ("event_types", ["notification.lost"]),
        ("legacy_header", "Authorization"),
        ("legacy_header", "X-A\r\nB"),
        ("secret", "a-secret"),
        ("secret", "whsec_" + base64.b64encode(bytes(23)).decode()),
        ("scheme", "v2"),
    ],
    ids=str,
)
def test_what_is_refused_is_named(admin: Persona, field: str, value: Any) -> None:
    answer = admin.client.post(ENDPOINTS, {"url": URL, field: value})
    assert answer.status_code == 400
    assert field in answer.json()["errors"]


def test_http_is_for_permitted_networks(admin: Persona, settings: Settings) -> None:
    assert admin.client.post(ENDPOINTS, {"url": "http://127.0.0.1:8000/hook"}).status_code == 201
    settings.OUTBOUND_ALLOWED_NETWORKS = []
    assert "url" in admin.client.post(ENDPOINTS, {"url": "http://crm.example/hook"}).json()["errors"]


def test_a_chosen_secret(admin: Persona) -> None:
    secret = "whsec_" + base64.b64encode(bytes(range(24))).decode()
    assert admin.client.post(ENDPOINTS, {"url": URL, "secret": secret}).json()["secret"] == secret
    answer = admin.client.post(ENDPOINTS, {"url": URL, "secret": secret, "scheme": "v1a"})
    assert "secret" in answer.json()["errors"]


def test_change_and_delete(admin: Persona, endpoint: dict[str, Any]) -> None:
    address = f"{ENDPOINTS}/{endpoint['id']}"
    publish(admin, "a")
    changed = admin.client.patch(address, {"enabled": False, "event_types": ["user.registered"]}).json()
    assert (changed["enabled"], changed["disabled_reason"]) == (False, "manual")
    assert [row.status for row in deliveries(admin)] == ["cancelled"]
    assert publish(admin, "b") == 0
    assert admin.client.post(f"{address}/test").json()["code"] == "endpoint_disabled"
    assert admin.client.delete(address).status_code == 204
    assert admin.client.get(address).status_code == 404
    assert deliveries(admin) == []


def test_the_simple_door(admin: Persona) -> None:
    assert admin.client.get(DOOR).status_code == 404
    made = admin.client.put(DOOR, {"url": URL}).json()
    assert made["is_default"]
    assert made["secret"].startswith("whsec_")
    changed = admin.client.put(DOOR, {"url": URL + "/v2", "event_types": ["quota.warning"]}).json()
    assert (changed["id"], changed["url"]) == (made["id"], URL + "/v2")
    assert changed["secret"].startswith("••••")
    assert admin.client.get(DOOR).json()["event_types"] == ["quota.warning"]
    replaced = admin.client.put(DOOR, {"url": URL, "legacy_header": "X-Signature", "ordered": True}).json()
    assert (replaced["id"], replaced["secret"], replaced["event_types"]) == (made["id"], changed["secret"], [])
    again = admin.client.put(DOOR, {"url": URL}).json()
    assert (again["legacy_header"], again["ordered"], again["ordered_by"], again["enabled"]) == ("", False, "key", True)
    assert admin.client.delete(DOOR).status_code == 204
    assert admin.client.get(DOOR).status_code == 404


def test_another_tenant_sees_nothing(admin: Persona, stranger: Persona, endpoint: dict[str, Any]) -> None:
    publish(admin, "a")
    (row,) = deliveries(admin)
    assert publish(stranger, "b") == 0
    assert stranger.client.get(ENDPOINTS).json()["count"] == 0
    assert stranger.client.get(DELIVERIES).json()["count"] == 0
    assert stranger.client.get(DELIVERIES, {"endpoint_id": endpoint["id"]}).json()["count"] == 0
    address = f"{ENDPOINTS}/{endpoint['id']}"
    for method, path in (
        ("get", address),
        ("patch", address),
        ("delete", address),
        ("post", f"{address}/rotate-secret"),
        ("post", f"{address}/test"),
        ("get", f"{DELIVERIES}/{row.id}"),
        ("post", f"{DELIVERIES}/{row.id}/replay"),
    ):
        assert getattr(stranger.client, method)(path, {}).status_code == 404, path
    since = {"since": "2020-01-01T00:00:00Z"}
    assert stranger.client.post(f"{address}/replay", since).status_code == 404


def test_the_permission(tenant: Tenant, api_key_client: Callable[..., APIClient]) -> None:
    assert api_key_client(tenant, scopes=["webhooks:manage"]).get(ENDPOINTS).status_code == 200
    for address in (ENDPOINTS, DELIVERIES, DOOR):
        assert api_key_client(tenant, scopes=["notifications:read"]).get(address).status_code == 403


def test_deliveries_are_filtered_and_paged(admin: Persona, endpoint: dict[str, Any]) -> None:
    publish(admin, "a", "b", "c")
    publish(admin, "a", kind="campaign.completed")
    with tenant_scope(admin.tenant_id):
        WebhookDelivery.objects.filter(key="b").update(status="failed")

    def found(**query: str) -> list[str]:
        return [row["key"] for row in admin.client.get(DELIVERIES, query).json()["results"]]

    assert found() == ["a", "c", "b", "a"]
    assert found(status="failed") == ["b"]
    assert found(event_type="campaign.completed") == ["a"]
    assert found(key="c", endpoint_id=endpoint["id"]) == ["c"]
    assert found(created_after="2999-01-01T00:00:00Z") == []
    first = admin.client.get(DELIVERIES, {"cursor": "", "page_size": "3"}).json()
    assert len(first["results"]) == 3
    assert len(admin.client.get(first["next"]).json()["results"]) == 1
    assert admin.client.get(DELIVERIES, {"status": "lost"}).status_code == 400


def test_a_tenant_without_endpoints_pays_nothing(admin: Persona) -> None:
    publish(admin, "a")
    with tenant_scope(admin.tenant_id):
        before = len(connection.queries_log)
        connection.force_debug_cursor = True
        try:
            assert services.publish("user.registered", {"userId": "b"}) == 0
        finally:
            connection.force_debug_cursor = False
        assert len(connection.queries_log) == before


def test_what_is_told_twice_is_written_once(admin: Persona, endpoint: dict[str, Any]) -> None:
    with tenant_scope(admin.tenant_id):
        for _ in range(2):
            services.publish("quota.warning", {"used": 4000}, unique="2026-11")
    assert len(deliveries(admin)) == 1


def test_an_unknown_type_is_a_bug(admin: Persona) -> None:
    with tenant_scope(admin.tenant_id), pytest.raises(ValueError, match=r"webhook\.unknown"):
        services.publish("webhook.unknown", {})
