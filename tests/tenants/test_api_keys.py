"""API keys: how a tenant's servers say who they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings
from rest_framework.response import Response
from rest_framework.test import APIClient

from notification_service.lib import redis
from notification_service.lib.scope import current_scope, platform_scope
from tenants import notices
from tenants.api_key_check import authenticate_api_key
from tenants.models import ApiKey, AuditLog, Role, Tenant, TenantStatus, User
from tenants.permissions import API_KEY_SCOPES, ROLE_PERMISSIONS, Permission
from tenants.tasks import mail_admins
from tests.conftest import Persona

KEYS = "/api/v1/projects/me/api-keys"
EVERYTHING = sorted(API_KEY_SCOPES)


def make(persona: Persona, **fields: Any) -> dict[str, Any]:
    answer = persona.client.post(KEYS, {"name": "Production", "mode": "live", "scopes": EVERYTHING, **fields})
    assert answer.status_code == 201, answer.json()
    return answer.json()


def call(key: str | None, secret: str | None, address: str = "127.0.0.1") -> Response:
    """Ask for the project with an API key: it needs ``project:read``."""
    headers = {"HTTP_X_API_KEY": key, "HTTP_X_API_SECRET": secret}
    given = {name: value for name, value in headers.items() if value is not None}
    return APIClient().get("/api/v1/projects/me", REMOTE_ADDR=address, **given)


def stored(**fields: Any) -> ApiKey:
    with platform_scope("test"):
        if fields:
            ApiKey.objects.update(**fields)
        return ApiKey.objects.get()


def audit_rows(action: str) -> list[AuditLog]:
    with platform_scope("test"):
        return list(AuditLog.objects.filter(action=action))


def test_a_key_is_made_and_used(admin: Persona) -> None:
    made = make(admin)
    assert made["key"].startswith("pk_live_")
    assert len(made["key"]) == len("pk_live_") + 24
    assert made["secret"].startswith("sk_live_")
    assert len(made["secret"]) == len("sk_live_") + 43
    answer = call(made["key"], made["secret"])
    assert answer.status_code == 200
    assert answer.json()["id"] == str(admin.tenant_id)
    alone = APIClient().get("/api/v1/projects/me", HTTP_AUTHORIZATION=f"Bearer {made['secret']}")
    assert alone.status_code == 200
    assert current_scope() is None


def test_the_secret_is_shown_once_and_stored_hashed(admin: Persona) -> None:
    made = make(admin)
    seen = admin.client.get(KEYS).content + admin.client.get(f"{KEYS}/{made['id']}").content
    assert made["secret"].encode() not in seen
    assert admin.client.get(f"{KEYS}/{made['id']}").json()["secret_hint"] == made["secret"][-4:]
    key = stored()
    assert made["secret"].encode() not in bytes(key.secret_hash)
    assert made["secret"] not in str(audit_rows("api_key.created")[0].metadata)


@pytest.mark.django_db(transaction=True)
def test_asking_who_calls_leaves_no_scope_behind(admin: Persona) -> None:
    made = make(admin)
    assert call(made["key"], made["secret"]).status_code == 200
    assert authenticate_api_key(made["key"], made["secret"], None).tenant_id == admin.tenant_id
    assert admin.client.get("/api/v1/auth/me").status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting('app.scope', true), ''), (SELECT count(*) FROM api_key)")
        assert cursor.fetchone() == ("", 0)
    assert stored().last_used_at is not None


def test_modes(admin: Persona) -> None:
    live, test = make(admin), make(admin, mode="test")
    assert test["key"].startswith("pk_test_")
    assert test["secret"].startswith("sk_test_")
    assert authenticate_api_key(live["key"], live["secret"], None).mode == "live"
    assert authenticate_api_key(None, test["secret"], None).mode == "test"


def test_scopes_are_what_a_key_may(admin: Persona) -> None:
    default = admin.client.post(KEYS, {"name": "Default"}).json()
    assert default["scopes"] == sorted(
        ["notifications:write", "notifications:read", "events:write", "events:read", "templates:read"]
    )
    assert default["mode"] == "live"
    refused = call(default["key"], default["secret"])
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")


def test_a_key_can_not_make_keys(admin: Persona) -> None:
    made = make(admin)
    answer = APIClient().post(KEYS, {"name": "x"}, HTTP_X_API_KEY=made["key"], HTTP_X_API_SECRET=made["secret"])
    assert answer.status_code == 403


def test_nobody_gives_what_they_do_not_have(
    admin: Persona, make_persona: Callable[..., Persona], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ROLE_PERMISSIONS[Role.HR] | {Permission.KEYS_MANAGE}
    monkeypatch.setitem(ROLE_PERMISSIONS, Role.HR, few)  # type: ignore[arg-type]
    hr = make_persona(admin.tenant, Role.HR)
    answer = hr.client.post(KEYS, {"name": "x", "scopes": ["credentials:manage"]})
    assert answer.status_code == 400
    assert "credentials:manage" in answer.json()["errors"]["scopes"][0]
    assert hr.client.post(KEYS, {"name": "x", "scopes": ["events:write"]}).status_code == 201


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"mode": "prod"}, "mode"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["self"]}, "scopes"),
        ({"scopes": ["keys:manage"]}, "scopes"),
        ({"scopes": ["platform:manage"]}, "scopes"),
        ({"scopes": ["nonsense"]}, "scopes"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"allowed_networks": ["10.0.0.0/33"]}, "allowed_networks"),
        ({"allowed_networks": ["10.0.0.1/8"]}, "allowed_networks"),
        ({"allowed_networks": ["example.com"]}, "allowed_networks"),
    ],
)
def test_bad_input_names_the_field(admin: Persona, fields: dict[str, Any], field: str) -> None:
    answer = admin.client.post(KEYS, {"name": "x", **fields})
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]


def test_every_wrong_pair_gets_the_same_answer(admin: Persona) -> None:
    made, other = make(admin), make(admin)
    unknown = "sk_live_" + "x" * 43
    answers = [
        call(made["key"], unknown),
        call("pk_live_" + "x" * 24, made["secret"]),
        call(made["key"], None),
        call(None, made["secret"]),
        call(made["key"], ""),
        call(made["key"], other["secret"]),
        call(made["key"], "x" * 5000),
        APIClient().get("/api/v1/projects/me", HTTP_AUTHORIZATION=f"Bearer {unknown}"),
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(401, answers[0].content)}
    assert answers[0].json()["code"] == "invalid_api_key"


def test_expiry(admin: Persona) -> None:
    made = make(admin, expires_at=(timezone.now() + timedelta(hours=1)).isoformat())
    assert call(made["key"], made["secret"]).status_code == 200
    stored(expires_at=timezone.now() - timedelta(seconds=1))
    assert call(made["key"], made["secret"]).json()["code"] == "api_key_expired"


def test_allowed_networks(admin: Persona) -> None:
    made = make(admin, allowed_networks=["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"])
    assert made["allowed_networks"] == ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7/32"]
    for address in ("192.0.2.200", "2001:db8::1", "198.51.100.7", "::ffff:192.0.2.1"):
        assert call(made["key"], made["secret"], address).status_code == 200
    refused = call(made["key"], made["secret"], "203.0.113.1")
    assert (refused.status_code, refused.json()["code"]) == (403, "address_not_allowed")


def test_rotation_overlaps(admin: Persona) -> None:
    made = make(admin)
    new = admin.client.post(f"{KEYS}/{made['id']}/rotate").json()
    assert new["key"] == made["key"]
    assert new["secret"] != made["secret"]
    for secret in (made["secret"], new["secret"]):
        assert call(made["key"], secret).status_code == 200
        assert APIClient().get("/api/v1/projects/me", HTTP_AUTHORIZATION=f"Bearer {secret}").status_code == 200
    stored(previous_secret_expires_at=timezone.now())
    assert call(made["key"], made["secret"]).json()["code"] == "invalid_api_key"
    assert call(made["key"], new["secret"]).status_code == 200


def test_rotation_without_overlap_ends_the_old_secret_at_once(admin: Persona) -> None:
    made = make(admin)
    new = admin.client.post(f"{KEYS}/{made['id']}/rotate", {"overlap_seconds": 0}).json()
    assert call(made["key"], made["secret"]).status_code == 401
    assert call(made["key"], new["secret"]).status_code == 200
    too_long = admin.client.post(f"{KEYS}/{made['id']}/rotate", {"overlap_seconds": 7 * 86400 + 1})
    assert list(too_long.json()["errors"]) == ["overlap_seconds"]


def test_revocation_is_effective_at_once_and_for_good(admin: Persona) -> None:
    made = make(admin)
    assert call(made["key"], made["secret"]).status_code == 200
    assert admin.client.delete(f"{KEYS}/{made['id']}").status_code == 204
    assert call(made["key"], made["secret"]).json()["code"] == "api_key_revoked"
    assert admin.client.delete(f"{KEYS}/{made['id']}").status_code == 204
    assert admin.client.post(f"{KEYS}/{made['id']}/rotate").status_code == 409
    assert len(audit_rows("api_key.revoked")) == 1
    assert admin.client.get(f"{KEYS}/{made['id']}").json()["status"] == "revoked"


def test_a_suspended_tenants_key_is_refused(admin: Persona) -> None:
    made = make(admin)
    Tenant.objects.filter(id=admin.tenant_id).update(status=TenantStatus.SUSPENDED)
    answer = call(made["key"], made["secret"])
    assert (answer.status_code, answer.json()["code"]) == (403, "tenant_suspended")


def test_last_use_is_noted_once_a_minute(admin: Persona) -> None:
    made = make(admin)
    call(made["key"], made["secret"])
    first = stored().last_used_at
    assert first is not None
    call(made["key"], made["secret"])
    assert stored().last_used_at == first
    stored(last_used_at=first - timedelta(minutes=2))
    call(made["key"], made["secret"])
    assert stored().last_used_at > first  # type: ignore[operator]


def test_another_tenants_keys_are_not_there(admin: Persona, stranger: Persona) -> None:
    made = make(admin)
    assert stranger.client.get(KEYS).json()["results"] == []
    for answer in (
        stranger.client.get(f"{KEYS}/{made['id']}"),
        stranger.client.delete(f"{KEYS}/{made['id']}"),
        stranger.client.post(f"{KEYS}/{made['id']}/rotate"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert call(made["key"], made["secret"]).status_code == 200


def test_lists_are_filtered(admin: Persona) -> None:
    make(admin)
    made = make(admin, mode="test")
    admin.client.delete(f"{KEYS}/{made['id']}")
    assert [key["mode"] for key in admin.client.get(KEYS, {"status": "revoked"}).json()["results"]] == ["test"]
    assert admin.client.get(KEYS, {"mode": "live"}).json()["count"] == 1
    assert list(admin.client.get(KEYS, {"mode": "x"}).json()["errors"]) == ["mode"]


def wrong(made: dict[str, Any], number: int, address: str) -> int:
    return call(made["key"], f"sk_live_{number:043}", address).status_code


def test_one_source_is_turned_away_and_can_not_revoke(admin: Persona) -> None:
    made = make(admin)
    codes = [wrong(made, number, "192.0.2.1") for number in range(30)]
    assert codes == [401] * 10 + [429] * 20
    answer = call(made["key"], "sk_live_x", "192.0.2.1")
    assert int(answer["Retry-After"]) > 0
    assert call(made["key"], made["secret"], "192.0.2.1").status_code == 200, "the right secret is always let in"
    assert wrong(made, 1, "192.0.2.2") == 401
    assert stored().status == "active"


def test_one_ipv6_network_is_one_source(admin: Persona) -> None:
    made = make(admin)
    codes = [wrong(made, number, f"2001:db8::{number:x}") for number in range(20)]
    assert codes == [401] * 10 + [429] * 10


def test_many_sources_lead_to_revocation_with_notice(
    admin: Persona,
    settings: Settings,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.EMAIL_URL = "smtp://localhost"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    monkeypatch.setattr(mail_admins, "delay", mail_admins)  # runs here instead of in a worker
    made = make(admin)
    with django_capture_on_commit_callbacks(execute=True):
        codes = {wrong(made, number, f"192.0.2.{number % 5}") for number in range(50)}
    assert codes == {401}
    assert call(made["key"], made["secret"]).json()["code"] == "api_key_revoked"
    [row] = audit_rows("api_key.revoked")
    assert (row.tenant_id, row.actor_type) == (admin.tenant_id, "system")
    assert "50 wrong secrets" in row.metadata["reason"]
    [message] = mail.outbox
    assert message.to == [admin.user.email]
    assert made["key"] in message.body


def test_strangers_can_not_revoke_a_key_with_an_allow_list(admin: Persona) -> None:
    made = make(admin, allowed_networks=["198.51.100.0/24"])
    for number in range(60):
        wrong(made, number, f"192.0.2.{number % 20}")
    assert stored().status == "active"


def test_a_server_that_kept_the_old_secret_revokes_nothing(admin: Persona) -> None:
    made = make(admin)
    admin.client.post(f"{KEYS}/{made['id']}/rotate", {"overlap_seconds": 0})
    codes = {call(made["key"], made["secret"], f"192.0.2.{number % 20}").status_code for number in range(60)}
    assert codes == {401}
    assert stored().status == "active"


def test_nothing_is_enqueued_where_the_platform_has_no_mail(
    admin: Persona, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        notices.tell_admins(admin.tenant_id, "subject", "text")
    assert callbacks == []


@pytest.fixture
def no_redis(admin: Persona, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Redis is down: nothing listens at its address."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(redis, "_breaker", redis._Breaker(1.0))
    redis.connection.cache_clear()
    yield
    redis.connection.cache_clear()


def test_without_redis_keys_work_and_wrong_ones_are_counted_in_memory(admin: Persona, no_redis: None) -> None:
    made = make(admin)
    codes = [wrong(made, number, "192.0.2.1") for number in range(15)]
    assert codes == [401] * 10 + [429] * 5
    assert call(made["key"], made["secret"], "192.0.2.1").status_code == 200


def test_without_redis_a_notice_is_in_nobodys_way(
    admin: Persona,
    no_redis: None,
    settings: Settings,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    settings.EMAIL_URL = "smtp://localhost"
    started = time.monotonic()
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        notices.tell_admins(admin.tenant_id, "subject", "text")
    assert len(callbacks) == 1
    assert time.monotonic() - started < 2


def test_admins_are_told_each_by_themselves(
    admin: Persona, make_member: Callable[..., User], settings: Settings
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    make_member(admin.tenant, Role.OWNER)
    make_member(admin.tenant, Role.HR)
    mail_admins(str(admin.tenant_id), "subject", "text")
    assert sorted(message.to for message in mail.outbox) == [["admin@acme.example"], ["owner@acme.example"]]
