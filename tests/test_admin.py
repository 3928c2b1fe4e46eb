"""Django admin: staff see everything but secrets; nobody else sees anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from notification_service.lib.scope import current_scope, platform_scope
from tenants import signing_keys
from tenants.models import ApiKey, AuditLog, RefreshToken, SigningKey, Tenant, TenantStatus, User
from tests.conftest import Persona

REGISTERED = sorted(admin.site._registry, key=lambda model: model._meta.label)
OURS = [
    model for model in apps.get_models() if model.__module__.split(".")[0] in ("tenants", "notifications", "messaging")
]


def page(model: type[Model], name: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


@pytest.fixture
def staff(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root@example.com"))
    return client


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.label)
def test_every_model_is_registered(model: type[Model]) -> None:
    assert admin.site.is_registered(model)


def test_a_member_of_staff_signs_in(db: None) -> None:
    User.objects.create_superuser("root@example.com", "correct horse battery")
    client = Client()
    assert client.get(reverse("admin:login")).status_code == 200
    body = {"username": "root@example.com", "password": "correct horse battery"}
    answer = client.post(reverse("admin:login") + "?next=/admin/", body)
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    assert client.get("/admin/").status_code == 200


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.label)
def test_every_list_opens(staff: Client, admin: Persona, model: type[Model]) -> None:
    admin.client.post("/api/v1/projects/me/api-keys", {"name": "Server"})
    answer = staff.get(page(model, "changelist"))
    assert answer.status_code == 200
    assert current_scope() is None
    assert staff.get(page(model, "changelist"), {"q": "x"}).status_code == 200


def test_details_show_no_secrets(staff: Client, db: None) -> None:
    tokens = (
        APIClient()
        .post(
            "/api/v1/auth/register",
            {"email": "ada@example.com", "password": "correct horse battery", "company": "Acme"},
        )
        .json()
    )
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens['access_token']}")
    client.post("/api/v1/projects/me/api-keys", {"name": "Server"})
    signing_keys.signer()
    with platform_scope("test"):
        key, link, signing, entry = (model.objects.first() for model in (ApiKey, RefreshToken, SigningKey, AuditLog))
    user = User.objects.get(email="ada@example.com")
    for row in (key, link, signing, entry, user, Tenant.objects.get()):
        text = staff.get(page(type(row), "change", row.pk)).content.decode()
        assert str(row.pk) in text
        for secret in ("secret_hash", "private_pem", "argon2", "BEGIN PRIVATE", 'name="password"'):
            assert secret not in text


@pytest.mark.parametrize("model", [AuditLog, ApiKey, SigningKey, RefreshToken], ids=lambda model: model.__name__)
def test_what_is_only_for_looking_at_can_not_be_changed(staff: Client, admin: Persona, model: type[Model]) -> None:
    assert staff.get(page(model, "add")).status_code == 403
    with platform_scope("test"):
        row = model._default_manager.first()
    if row is not None:
        assert staff.post(page(model, "change", row.pk), {}).status_code == 403
        assert staff.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_changes_by_staff_are_audited(staff: Client, tenant: Tenant) -> None:
    form = {"name": tenant.name, "slug": tenant.slug, "status": "suspended", "plan": "free", "timezone": "UTC"}
    answer = staff.post(page(Tenant, "change", tenant.pk), {**form, "locale": "en", "settings": "{}"})
    assert answer.status_code == 302, answer.content
    tenant.refresh_from_db()
    assert tenant.status == TenantStatus.SUSPENDED
    with platform_scope("test"):
        row = AuditLog.objects.get(action="tenant.updated")
    assert (row.actor_label, row.resource_id) == ("root@example.com", str(tenant.pk))
    assert row.metadata == {"before": {"status": "active"}, "after": {"status": "suspended"}}


def test_support_looks_and_does_not_touch(db: None, tenant: Tenant) -> None:
    client = Client()
    client.force_login(User.objects.create_user("support@example.com", platform_role="support"))
    assert client.get(page(Tenant, "change", tenant.pk)).status_code == 200
    assert client.post(page(Tenant, "change", tenant.pk), {}).status_code == 403


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.label)
def test_nobody_else_gets_in(admin: Persona, make_member: Callable[..., User], model: type[Model]) -> None:
    for user in (None, admin.user):
        client = Client()
        if user is not None:
            client.force_login(user)
        answer = client.get(page(model, "changelist"))
        assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/admin/login/")


def test_who_tries_too_often_waits(db: None, client: Client) -> None:
    form = {"username": "root@platform.example", "password": "wrong"}
    answers = [client.post("/admin/login/", form) for _ in range(12)]
    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1
