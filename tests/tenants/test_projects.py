"""The caller's tenant over REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from tenants.models import Role, Tenant
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
