"""The caller's tenant over REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from notification_service.lib.scope import tenant_scope
from tenants.models import AuditLog, Role, Tenant
from tests.conftest import Persona

PROJECT = "/api/v1/projects/me"


def test_read_and_change(admin: Persona, stranger: Persona) -> None:
    body = {"name": "Acme Inc.", "timezone": "Africa/Lagos", "locale": "en-NG", "brand_color": "#0F766E"}
    answer = admin.client.patch(PROJECT, {**body, "logo_url": "https://acme.example/logo.png"})
    assert answer.status_code == 200
    assert admin.client.get(PROJECT).json().items() >= body.items()
    assert admin.client.put(PROJECT, {"name": "Acme"}).json()["timezone"] == "Africa/Lagos"
    assert stranger.client.get(PROJECT).json()["name"] == "Globex"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("timezone", "Mars/Olympus"),
        ("locale", "English please"),
        ("brand_color", "red"),
        ("logo_url", "javascript:alert(1)"),
        ("delivery_guarantee", "exactly_once"),
        ("default_region", "XX"),
        ("default_region", "Nigeria"),
        ("retention_days", 30),
    ],
)
def test_bad_input_names_the_field(admin: Persona, field: str, value: str) -> None:
    answer = admin.client.patch(PROJECT, {field: value})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


@pytest.mark.parametrize("change", [{"plan": "enterprise"}, {"status": "active"}, {"slug": "globex"}, {"id": "x"}])
def test_what_is_the_platforms_to_decide_stays(admin: Persona, change: dict[str, Any]) -> None:
    before = Tenant.objects.filter(id=admin.tenant_id).values("plan", "status", "slug", "id").get()
    assert admin.client.patch(PROJECT, change).status_code == 200
    assert Tenant.objects.filter(id=admin.tenant_id).values("plan", "status", "slug", "id").get() == before


def test_who_may(
    tenant: Tenant, make_persona: Callable[..., Persona], api_key_client: Callable[..., APIClient]
) -> None:
    assert make_persona(tenant, Role.HR).client.get(PROJECT).status_code == 200
    assert make_persona(tenant, Role.MANAGER).client.patch(PROJECT, {"name": "x"}).status_code == 403
    assert make_persona(tenant, Role.CUSTOMER).client.get(PROJECT).status_code == 403
    assert api_key_client(tenant, scopes=["project:read"]).get(PROJECT).status_code == 200
    assert api_key_client(tenant, "test", ["events:read"]).get(PROJECT).status_code == 403


def test_how_the_tenant_wants_to_be_served(admin: Persona, stranger: Persona) -> None:
    defaults = {"delivery_guarantee": "at_least_once", "retention_days": {}, "default_region": ""}
    assert admin.client.get(PROJECT).json().items() >= defaults.items()
    chosen = {"delivery_guarantee": "at_most_once", "retention_days": {"email": 90, "*": 365}}
    assert admin.client.patch(PROJECT, {**chosen, "default_region": "ng"}).status_code == 200
    assert admin.client.get(PROJECT).json().items() >= {**chosen, "default_region": "NG"}.items()
    assert Tenant.objects.get(id=admin.tenant_id).settings == {**chosen, "default_region": "NG"}
    assert stranger.client.get(PROJECT).json().items() >= defaults.items()
    # One is changed, the others and what the platform keeps there stay.
    Tenant.objects.filter(id=admin.tenant_id).update(settings={**chosen, "of_the_platform": 1})
    assert admin.client.patch(PROJECT, {"retention_days": {}}).json()["delivery_guarantee"] == "at_most_once"
    assert Tenant.objects.get(id=admin.tenant_id).settings["of_the_platform"] == 1


def test_a_changed_setting_is_in_the_audit_log(admin: Persona) -> None:
    admin.client.patch(PROJECT, {"default_region": "NG", "retention_days": {"sms": 30}})
    with tenant_scope(admin.tenant_id):
        entry = AuditLog.objects.get(action="tenant.updated")
    assert entry.metadata["before"] == {"default_region": "", "retention_days": {}}
    assert entry.metadata["after"] == {"default_region": "NG", "retention_days": {"sms": 30}}


@pytest.mark.parametrize(
    ("days", "field"),
    [
        ({"email": 0}, "retention_days.email"),
        ({"email": 3651}, "retention_days.email"),
        ({"*": "soon"}, "retention_days.*"),
        ({"email": True}, "retention_days.email"),
        ({"E mail": 30}, "retention_days.E mail"),
    ],
)
def test_bad_retention_names_the_channel(admin: Persona, days: dict[str, Any], field: str) -> None:
    answer = admin.client.patch(PROJECT, {"retention_days": days})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
