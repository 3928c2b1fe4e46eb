"""Tokens of outside issuers: what is believed, and every way in which it is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from pytest_django import Settings
from rest_framework.response import Response

from notification_service.lib.scope import platform_scope
from tenants import issuers, jwks
from tenants.identity import authenticate_bearer
from tenants.models import AuditLog, Role, Tenant, TenantStatus, User
from tenants.permissions import Permission
from tenants.tokens import issue_access_token
from tests.clock import Jump, jumping_clock
from tests.conftest import bearer_client
from tests.tenants.outside_issuer import Issuer, Key, ec_key, rsa_key, running_issuer


@pytest.fixture(scope="module")
def rsa_1() -> Key:
    return rsa_key("rsa-1")


@pytest.fixture(scope="module")
def rsa_2() -> Key:
    return rsa_key("rsa-2")


@pytest.fixture
def issuer(settings: Settings, rsa_1: Key) -> Iterator[Issuer]:
    issuers._issuers.cache_clear()
    with running_issuer() as running:
        running.keys = [rsa_1]
        settings.TRUSTED_ISSUERS = [running.entry()]
        yield running
    issuers._issuers.cache_clear()


@pytest.fixture
def acme(make_tenant: Callable[..., Tenant]) -> Tenant:
    return make_tenant("acme", external_id="TEN-0001")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Jump:
    """Let the key sets' clock jump ahead."""
    return jumping_clock(monkeypatch, jwks)


def me(token: str) -> Response:
    return bearer_client(token).get("/api/v1/auth/me")


def refusal(token: str) -> tuple[int, str]:
    answer = me(token)
    assert set(answer.json()) == {"detail", "code"}
    return answer.status_code, answer.json()["code"]


def test_a_token_of_the_auth_service(issuer: Issuer, acme: Tenant, rsa_1: Key) -> None:
    profile = me(issuer.sign(rsa_1)).json()
    assert (profile["id"], profile["email"], profile["role"]) == ("42", "ada@acme.example", "admin")
    assert profile["tenant"]["id"] == str(acme.id)
    assert profile["memberships"] == []
    caller = authenticate_bearer(issuer.sign(rsa_1))
    assert (caller.actor_type, caller.actor_label, caller.local_user_id()) == ("user", "ada", None)


def test_our_own_tenant_id_is_understood_too(issuer: Issuer, acme: Tenant, rsa_1: Key) -> None:
    token = issuer.sign(rsa_1, tenant_unique_id=None, projectId=str(acme.id))
    assert authenticate_bearer(token).tenant_id == acme.id


@pytest.mark.parametrize(
    ("claims", "role", "may", "may_not"),
    [
        ({"role": "root-admin"}, "root-admin", Permission.KEYS_MANAGE, Permission.PLATFORM_READ),
        ({"role": "admin"}, "admin", Permission.CREDENTIALS_MANAGE, Permission.PLATFORM_READ),
        ({"role": "hr"}, "hr", Permission.CAMPAIGNS_MANAGE, Permission.CREDENTIALS_READ),
        ({"role": "employee"}, "employee", Permission.SELF, Permission.NOTIFICATIONS_READ),
        ({"role": "wizard"}, "wizard", Permission.SELF, Permission.NOTIFICATIONS_READ),
        ({"role": None}, "", Permission.SELF, Permission.NOTIFICATIONS_READ),
        ({"role": "super_admin"}, "super_admin", Permission.SELF, Permission.PLATFORM_READ),
        ({"role": None, "type": "platform_admin"}, "", Permission.SELF, Permission.PLATFORM_READ),
        ({"role": None, "roles": ["finance", "hr"]}, "hr", Permission.TEMPLATES_MANAGE, Permission.KEYS_MANAGE),
        ({"scope": "keys:manage platform:manage"}, "admin", Permission.KEYS_MANAGE, Permission.PLATFORM_MANAGE),
    ],
)
def test_roles(
    issuer: Issuer, acme: Tenant, rsa_1: Key, claims: dict[str, Any], role: str, may: Permission, may_not: Permission
) -> None:
    caller = authenticate_bearer(issuer.sign(rsa_1, **claims))
    assert caller.role == role
    assert caller.may(may)
    assert not caller.may(may_not)


def test_a_service_account_has_its_scopes(issuer: Issuer, acme: Tenant, rsa_1: Key) -> None:
    scope = "openid notifications:write keys:manage self platform:manage"
    token = issuer.sign(rsa_1, role=None, user=None, sub="uuid", azp="crm-backend", scope=scope)
    caller = authenticate_bearer(token)
    assert (caller.actor_type, caller.actor_id) == ("service", "crm-backend")
    assert caller.permissions == {Permission.NOTIFICATIONS_WRITE}


def test_claims_are_mapped(issuer: Issuer, acme: Tenant, rsa_1: Key, settings: Settings) -> None:
    claims = {"tenant": "https://example.com/tenant", "role": "realm_access.roles", "user_id": "sub"}
    settings.TRUSTED_ISSUERS = [issuer.entry(claims=claims)]
    token = issuer.sign(
        rsa_1,
        **{"https://example.com/tenant": "TEN-0001", "realm_access": {"roles": ["hr"]}, "sub": "s-1"},
        tenant_unique_id="TEN-0002",
    )
    caller = authenticate_bearer(token)
    assert (caller.tenant_id, caller.role, caller.actor_id) == (acme.id, "hr", "s-1")


def test_elliptic_curves(issuer: Issuer, acme: Tenant) -> None:
    key = ec_key("ec-1")
    issuer.keys = [key]
    assert me(issuer.sign(key)).status_code == 200


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        (lambda now: {"exp": now - 60}, "token_expired"),
        (lambda now: {"exp": None}, "invalid_token"),
        (lambda now: {"exp": "soon"}, "invalid_token"),
        (lambda now: {"nbf": now + 600}, "token_not_yet_valid"),
        (lambda now: {"iat": now + 600}, "token_not_yet_valid"),
        (lambda now: {"iss": "https://evil.example.com"}, "untrusted_issuer"),
        (lambda now: {"iss": None}, "untrusted_issuer"),
        (lambda now: {"tenant_unique_id": None}, "tenant_missing"),
        (lambda now: {"tenant_unique_id": {"id": 1}}, "tenant_missing"),
        (lambda now: {"tenant_unique_id": "TEN-9999"}, "unknown_tenant"),
        (lambda now: {"tenant_unique_id": str(uuid4())}, "unknown_tenant"),
        (lambda now: {"user": None, "sub": None}, "subject_missing"),
    ],
)
def test_refusals(issuer: Issuer, acme: Tenant, rsa_1: Key, claims: Callable[[int], dict[str, Any]], code: str) -> None:
    assert refusal(issuer.sign(rsa_1, **claims(int(time.time())))) == (401, code)


def test_clocks_may_differ_by_half_a_minute(issuer: Issuer, acme: Tenant, rsa_1: Key) -> None:
    now = int(time.time())
    assert me(issuer.sign(rsa_1, exp=now - 25)).status_code == 200
    assert me(issuer.sign(rsa_1, nbf=now + 25, iat=now + 25)).status_code == 200


@pytest.mark.parametrize(("audience", "status"), [(["other", "us"], 200), ("us", 200), ("other", 401), (None, 401)])
def test_audience(issuer: Issuer, acme: Tenant, rsa_1: Key, settings: Settings, audience: Any, status: int) -> None:
    settings.TRUSTED_ISSUERS = [issuer.entry(audience="us")]
    answer = me(issuer.sign(rsa_1, aud=audience))
    assert answer.status_code == status
    assert status == 200 or answer.json()["code"] == "invalid_audience"


def _b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def test_alg_none(issuer: Issuer, acme: Tenant, rsa_1: Key) -> None:
    payload = issuer.sign(rsa_1).split(".")[1]
    for alg in ("none", "None", "NONE"):
        header = _b64(json.dumps({"alg": alg, "kid": rsa_1.kid}).encode())
        assert refusal(f"{header}.{payload}.") == (401, "invalid_token")


def test_hs256_with_the_public_key(issuer: Issuer, acme: Tenant, rsa_1: Key) -> None:
    pem = rsa_1.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    payload = issuer.sign(rsa_1).split(".")[1]
    signed = f"{_b64(json.dumps({'alg': 'HS256', 'kid': rsa_1.kid}).encode())}.{payload}"
    signature = _b64(hmac.new(pem, signed.encode(), hashlib.sha256).digest())
    assert refusal(f"{signed}.{signature}") == (401, "invalid_token")


def test_a_forged_signature(issuer: Issuer, acme: Tenant, rsa_1: Key, rsa_2: Key) -> None:
    assert refusal(issuer.sign(rsa_2, headers={"kid": rsa_1.kid})) == (401, "invalid_token")
    head, payload, signature = issuer.sign(rsa_1).split(".")
    claims = jwt.decode(issuer.sign(rsa_1), options={"verify_signature": False})
    forged = _b64(json.dumps({**claims, "role": "root-admin"}).encode())
    assert refusal(f"{head}.{forged}.{signature}") == (401, "invalid_token")
    assert refusal(f"{head}.{payload}.") == (401, "invalid_token")


def test_an_issuer_can_not_speak_as_us(issuer: Issuer, acme: Tenant, rsa_1: Key, settings: Settings) -> None:
    assert refusal(issuer.sign(rsa_1, iss=settings.JWT_ISSUER, aud=settings.JWT_AUDIENCE)) == (401, "invalid_token")


def test_our_tokens_have_an_audience(tenant: Tenant, make_member: Callable[..., User], settings: Settings) -> None:
    token = issue_access_token(make_member(tenant), tenant, Role.ADMIN)
    settings.JWT_AUDIENCE = "another service"
    assert refusal(token) == (401, "invalid_audience")


def test_a_key_of_another_algorithm(issuer: Issuer, acme: Tenant, rsa_1: Key) -> None:
    other = ec_key(rsa_1.kid)
    assert refusal(issuer.sign(other)) == (401, "invalid_token")


def test_an_algorithm_that_the_issuer_may_not_use(issuer: Issuer, acme: Tenant, settings: Settings) -> None:
    key = ec_key("ec-1")
    issuer.keys = [key]
    settings.TRUSTED_ISSUERS = [issuer.entry(algorithms=["RS256"])]
    assert refusal(issuer.sign(key)) == (401, "invalid_token")
    assert issuer.asked == 0


@pytest.mark.parametrize("status", [TenantStatus.SUSPENDED, TenantStatus.CANCELLED])
def test_a_closed_tenant(issuer: Issuer, acme: Tenant, rsa_1: Key, status: TenantStatus) -> None:
    Tenant.objects.update(status=status)
    assert refusal(issuer.sign(rsa_1)) == (403, "tenant_suspended")


def test_unknown_tenants_are_made_if_wanted(issuer: Issuer, acme: Tenant, rsa_1: Key, settings: Settings) -> None:
    settings.AUTO_PROVISION_TENANTS = True
    token = issuer.sign(rsa_1, tenant_unique_id="Acme")  # whose slug is taken
    assert me(token).status_code == 200
    assert me(token).status_code == 200
    made = Tenant.objects.get(external_id="Acme")
    assert made.slug.startswith("acme-")
    with platform_scope("test"):
        [row] = AuditLog.objects.filter(action="tenant.provisioned")
    assert (row.tenant_id, row.metadata["issuer"], row.metadata["by"]) == (made.id, issuer.name, "ada")


@pytest.mark.django_db(transaction=True)
def test_a_tenant_is_provisioned_once_however_many_ask(issuer: Issuer, rsa_1: Key, settings: Settings) -> None:
    settings.AUTO_PROVISION_TENANTS = True
    token = issuer.sign(rsa_1, tenant_unique_id="TEN-7")
    statuses: list[int] = []
    threads = [threading.Thread(target=_ask, args=(token, statuses)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 6
    assert Tenant.objects.count() == 1
    assert issuer.asked == 1


def _ask(token: str, statuses: list[int]) -> None:
    statuses.append(me(token).status_code)
    connections.close_all()


def test_keys_are_fetched_once(issuer: Issuer, acme: Tenant, rsa_1: Key) -> None:
    for _ in range(5):
        assert me(issuer.sign(rsa_1)).status_code == 200
    assert issuer.asked == 1


def test_a_rotated_key_is_found_and_unknown_ones_are_asked_for_rarely(
    issuer: Issuer, acme: Tenant, rsa_1: Key, rsa_2: Key, clock: Callable[[float], None]
) -> None:
    assert me(issuer.sign(rsa_1)).status_code == 200
    clock(31)
    issuer.keys = [rsa_1, rsa_2]
    assert me(issuer.sign(rsa_2)).status_code == 200
    assert issuer.asked == 2
    for number in range(5):
        assert refusal(issuer.sign(rsa_2, headers={"kid": f"unknown-{number}"})) == (401, "invalid_token")
    assert issuer.asked == 2
    clock(31)
    assert refusal(issuer.sign(rsa_2, headers={"kid": "unknown"})) == (401, "invalid_token")
    assert issuer.asked == 3
    issuer.keys = [rsa_2]
    clock(601)
    assert refusal(issuer.sign(rsa_1)) == (401, "invalid_token")


def test_stale_keys_serve_while_the_issuer_is_down_for_a_day(
    issuer: Issuer, acme: Tenant, rsa_1: Key, rsa_2: Key, clock: Callable[[float], None]
) -> None:
    assert me(issuer.sign(rsa_1)).status_code == 200
    issuer.broken = True
    clock(3600)
    assert me(issuer.sign(rsa_1)).status_code == 200
    assert me(issuer.sign(rsa_1)).status_code == 200
    assert issuer.asked == 2
    answer = me(issuer.sign(rsa_2))
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (503, "issuer_unavailable", "30")
    clock(24 * 3600)
    assert refusal(issuer.sign(rsa_1)) == (503, "issuer_unavailable")
    issuer.broken = False
    clock(31)
    assert me(issuer.sign(rsa_1)).status_code == 200


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"keys": 1}', b"x" * 600_000])
def test_an_issuer_that_talks_nonsense(issuer: Issuer, acme: Tenant, rsa_1: Key, body: bytes) -> None:
    issuer.body = body
    assert refusal(issuer.sign(rsa_1)) == (503, "issuer_unavailable")


def test_who_has_its_key_at_hand_does_not_wait_for_the_issuer(
    issuer: Issuer, acme: Tenant, rsa_1: Key, clock: Callable[[float], None]
) -> None:
    token, unknown = issuer.sign(rsa_1), issuer.sign(rsa_1, headers={"kid": "unknown"})
    issuers.verify(token)
    clock(31)
    issuer.delay = 2.0
    slow = threading.Thread(target=_refused, args=(unknown,))
    slow.start()
    while issuer.asked < 2:
        time.sleep(0.01)
    started = time.monotonic()
    issuers.verify(token)
    assert slow.is_alive(), "answered while the fetch was under way"
    assert time.monotonic() - started < 1.5
    slow.join()


def _refused(token: str) -> None:
    with pytest.raises(issuers.NotAuthenticated):
        issuers.verify(token)


def test_a_token_without_kid_is_of_the_only_key(issuer: Issuer, acme: Tenant, rsa_1: Key, rsa_2: Key) -> None:
    assert me(issuer.sign(rsa_1, headers={"typ": "JWT"})).status_code == 200


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"issuer": "x"}, "jwks_url"),
        ("x", "object"),
        ({"issuer": "x", "jwks_url": "file:///etc/passwd"}, "https"),
        ({"issuer": "x", "jwks_url": "https://x", "algorithms": ["HS256"]}, "algorithms"),
        ({"issuer": "x", "jwks_url": "https://x", "claims": {"tennant": "x"}}, "tennant"),
        ({"issuer": "x", "jwks_url": "https://x", "audiance": "x"}, "audiance"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(settings: Settings, entry: Any, message: str) -> None:
    settings.TRUSTED_ISSUERS = [entry]
    with pytest.raises(ImproperlyConfigured, match=message):
        issuers.trusted_issuers()


def test_nesting_without_end(db: None) -> None:
    for header, payload in (("[" * 5000, "{}"), ('{"alg":"RS256"}', "[" * 5000)):
        with pytest.raises(issuers.NotAuthenticated) as refused:
            issuers.verify(f"{_b64(header.encode())}.{_b64(payload.encode())}.x")
        assert refused.value.error_code == "invalid_token"


def test_text_that_no_database_takes(issuer: Issuer, acme: Tenant, rsa_1: Key) -> None:
    assert refusal(issuer.sign(rsa_1, tenant_unique_id="TEN\ud800\x00")) == (401, "unknown_tenant")


@pytest.mark.parametrize("token", ["", ".", "..", "a.b", "e30.W10.x", "é.é.é", "\x00", "eyJhbGciOiJSUzI1NiJ9.bnVsbA.x"])
def test_garbage(db: None, token: str) -> None:
    with pytest.raises(issuers.NotAuthenticated) as refused:
        issuers.verify(token)
    assert refused.value.error_code == "invalid_token"
