"""The audit log over REST."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from notification_service.lib.scope import tenant_scope
from tenants import audit
from tenants.callers import system_caller
from tenants.models import Role, Tenant
from tests.conftest import Persona

AUDIT = "/api/v1/audit"


def ask(client: APIClient, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(AUDIT, query)
    assert answer.status_code == 200, answer.json()
    return answer.json()["results"]


def write(tenant: Tenant, action: str, **details: Any) -> None:
    with tenant_scope(tenant.id):
        audit.record(system_caller(tenant.id, "test"), action, "thing", "7", **details)


def test_actions_are_found(admin: Persona) -> None:
    made = admin.client.post(
        "/api/v1/projects/me/api-keys", {"name": "Server"}, HTTP_USER_AGENT="curl/8", REMOTE_ADDR="192.0.2.1"
    ).json()
    write(admin.tenant, "thing.done")
    [row] = ask(admin.client, action="api_key.created")
    assert (row["actor_type"], row["actor_id"], row["actor_label"]) == ("user", str(admin.user.id), admin.user.email)
    assert (row["resource_type"], row["resource_id"]) == ("api_key", made["id"])
    assert (row["ip_address"], row["user_agent"]) == ("192.0.2.1", "curl/8")
    assert [entry["action"] for entry in ask(admin.client)] == ["thing.done", "api_key.created"]
    assert len(ask(admin.client, resource_type="thing", resource_id="7")) == 1
    assert len(ask(admin.client, actor_id=str(admin.user.id))) == 1
    assert len(ask(admin.client, actor_type="system")) == 1


def test_times(admin: Persona) -> None:
    write(admin.tenant, "thing.done")
    now = timezone.now()
    past, future = (now - timedelta(minutes=1)).isoformat(), (now + timedelta(minutes=1)).isoformat()
    assert len(ask(admin.client, created_after=past, created_before=future)) == 1
    assert ask(admin.client, created_after=future) == []
    assert ask(admin.client, created_before=past) == []
    answer = admin.client.get(AUDIT, {"created_after": "yesterday"})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["created_after"])


def test_pages_and_cursor(admin: Persona) -> None:
    for number in range(5):
        write(admin.tenant, f"thing.{number}")
    page = admin.client.get(AUDIT, {"page": 2, "page_size": 2}).json()
    assert (page["count"], [row["action"] for row in page["results"]]) == (5, ["thing.2", "thing.1"])
    seen, url = [], f"{AUDIT}?cursor=&page_size=2"
    while url:
        body = admin.client.get(url).json()
        seen += [row["action"] for row in body["results"]]
        url = body["next"]
    assert seen == [f"thing.{number}" for number in (4, 3, 2, 1, 0)]


def test_secrets_are_masked(admin: Persona) -> None:
    write(admin.tenant, "thing.changed", before={"password": "correct horse"}, after={"password": "battery staple"})
    write(
        admin.tenant, "thing.said", note="the key is sk_live_abcdefghijklmnop", nested=[{"api_key": "abcdefghijklmnop"}]
    )
    said, changed = ask(admin.client)
    assert changed["metadata"] == {"before": {"password": "••••orse"}, "after": {"password": "••••aple"}}
    assert said["metadata"]["note"] == "the key is sk_live_••••"
    assert said["metadata"]["nested"] == [{"api_key": "••••mnop"}]


def test_only_what_differs_is_kept(admin: Persona) -> None:
    assert admin.client.patch("/api/v1/projects/me", {"name": "Acme Inc."}).status_code == 200
    [row] = ask(admin.client, action="tenant.updated")
    assert row["metadata"] == {"before": {"name": "Acme"}, "after": {"name": "Acme Inc."}}


def test_it_is_for_those_who_may(admin: Persona, make_persona: Callable[..., Persona], stranger: Persona) -> None:
    write(admin.tenant, "thing.done")
    assert ask(stranger.client) == []
    for role in (Role.HR, Role.MANAGER, Role.EMPLOYEE):
        assert make_persona(admin.tenant, role).client.get(AUDIT).status_code == 403
    assert len(ask(make_persona(admin.tenant, Role.OWNER).client)) == 1


def test_platform_staff_act_for_no_tenant(platform_client: APIClient) -> None:
    assert platform_client.get(AUDIT).status_code == 403


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_it_can_not_be_written(admin: Persona, method: str) -> None:
    assert getattr(admin.client, method)(AUDIT, {}).status_code == 405
