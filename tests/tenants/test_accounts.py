"""Registering, signing in, staying signed in, signing out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from django.db import connections
from django.utils import timezone
from pytest_django import Settings
from rest_framework.response import Response
from rest_framework.test import APIClient

from notification_service.lib.scope import platform_scope
from tenants import signing_keys
from tenants.models import AuditLog, Membership, RefreshToken, Role, SigningKey, Tenant, TenantStatus, User
from tenants.tokens import issue_access_token
from tests.conftest import Persona, bearer_client

PASSWORD = "correct horse battery"


def post(path: str, body: dict[str, Any], client: APIClient | None = None, **headers: str) -> Response:
    return (client or APIClient()).post(f"/api/v1/auth/{path}", body, **headers)


def register(**fields: Any) -> dict[str, Any]:
    body = {"email": "ada@example.com", "password": PASSWORD, "name": "Ada", "company": "Acme Ltd.", **fields}
    answer = post("register", body)
    assert answer.status_code == 201, answer.json()
    return answer.json()


def me(token: str) -> Response:
    return bearer_client(token).get("/api/v1/auth/me")


def actions() -> list[str]:
    with platform_scope("test"):
        return list(AuditLog.objects.order_by("id").values_list("action", flat=True))


def test_register_with_a_company_makes_an_owner(db: None) -> None:
    tokens = register(email="Ada@Example.com")
    assert tokens["tenant"]["slug"] == "acme-ltd"
    assert (tokens["role"], tokens["user"]["email"]) == ("owner", "ada@example.com")
    profile = me(tokens["access_token"]).json()
    assert (profile["role"], profile["tenant"]["name"]) == ("owner", "Acme Ltd.")
    assert "keys:manage" in profile["permissions"]
    assert "platform:read" not in profile["permissions"]
    assert [each["role"] for each in profile["memberships"]] == ["owner"]
    assert "tenant.created" in actions()
    assert User.objects.get().password.startswith("argon2")


def test_two_companies_of_one_name_get_two_slugs(db: None) -> None:
    first, second = register(), register(email="bob@example.com")
    assert first["tenant"]["slug"] == "acme-ltd"
    assert second["tenant"]["slug"].startswith("acme-ltd-")


def test_register_without_a_company_opens_only_what_is_ones_own(db: None) -> None:
    tokens = register(company="")
    assert tokens["tenant"] is None
    client = bearer_client(tokens["access_token"])
    assert client.get("/api/v1/auth/me").json()["permissions"] == ["self"]
    assert client.post("/api/v1/projects/me/api-keys", {"name": "x"}).json()["code"] == "permission_denied"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"password": "short"}, "password"),
        ({"password": "1234567890123"}, "password"),
        ({"password": "ada@example.com"}, "password"),
        ({"email": "no address"}, "email"),
        ({"email": ""}, "email"),
        ({"company": "x" * 256}, "company"),
    ],
)
def test_register_names_the_field_at_fault(db: None, fields: dict[str, str], field: str) -> None:
    answer = post("register", {"email": "ada@example.com", "password": PASSWORD, **fields})
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]
    assert not User.objects.exists()


def test_an_email_is_one_persons_whatever_its_case(db: None) -> None:
    register()
    answer = post("register", {"email": "ADA@example.com", "password": PASSWORD, "company": "Other"})
    assert (answer.status_code, answer.json()["code"]) == (409, "email_taken")
    assert not Tenant.objects.filter(name="Other").exists()


def test_the_token_says_what_the_specification_says(db: None) -> None:
    tokens = register()
    jwks = APIClient().get("/.well-known/jwks.json")
    assert "max-age" in jwks["Cache-Control"]
    key = jwt.PyJWKSet.from_dict(jwks.json())[jwt.get_unverified_header(tokens["access_token"])["kid"]]
    claims = jwt.decode(tokens["access_token"], key, algorithms=["RS256"], audience="notification-service")
    tenant, user = tokens["tenant"]["id"], tokens["user"]["id"]
    assert (claims["tenant_unique_id"], claims["projectId"], claims["sub"]) == (tenant, tenant, user)
    assert claims["user"] == {"id": user, "username": "Ada"}
    assert (claims["role"], claims["roles"], claims["type"]) == ("owner", ["owner"], "project_admin")
    assert claims["exp"] - claims["iat"] == tokens["expires_in"] == 900
    assert {"iss", "nbf", "jti", "sid", "email"} <= claims.keys()
    assert "d" not in jwks.json()["keys"][0]


def test_login(db: None) -> None:
    register()
    answer = post("login", {"email": " ADA@example.com ", "password": PASSWORD})
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert me(answer.json()["access_token"]).status_code == 200
    assert "session.started" in actions()


def test_unknown_person_and_wrong_password_get_the_same_answer(db: None) -> None:
    register()
    wrong = post("login", {"email": "ada@example.com", "password": "wrong"})
    unknown = post("login", {"email": "nobody@example.com", "password": "wrong"})
    assert (wrong.status_code, wrong.json()) == (unknown.status_code, unknown.json())
    assert wrong.json()["code"] == "invalid_credentials"
    User.objects.update(is_active=False)
    assert post("login", {"email": "ada@example.com", "password": PASSWORD}).json() == wrong.json()


def test_an_expired_token_in_the_header_is_no_obstacle_to_signing_in(db: None) -> None:
    register()
    answer = post("login", {"email": "ada@example.com", "password": PASSWORD}, bearer_client("garbage"))
    assert answer.status_code == 200


def test_failures_are_throttled_by_email_from_anywhere(db: None) -> None:
    register()
    codes = [
        post("login", {"email": "ada@example.com", "password": "wrong"}, REMOTE_ADDR=f"192.0.2.{number}").status_code
        for number in range(11)
    ]
    assert codes == [401] * 10 + [429]
    answer = post("login", {"email": "ada@example.com", "password": PASSWORD})
    assert (answer.status_code, answer.json()["code"]) == (429, "throttled")
    assert int(answer["Retry-After"]) > 0
    assert post("login", {"email": "bob@example.com", "password": "wrong"}).status_code == 401


def test_attempts_are_throttled_by_address(db: None, settings: Settings) -> None:
    # Quick, so that the bucket does not refill meanwhile.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    codes = [post("login", {"email": f"{n}@example.com", "password": "wrong"}).status_code for n in range(40)]
    assert codes[:30] == [401] * 30
    assert 429 in codes
    elsewhere = post("login", {"email": "x@example.com", "password": "wrong"}, REMOTE_ADDR="192.0.2.1")
    assert elsewhere.status_code == 401


def test_members_of_several_tenants_choose(db: None, tenant: Tenant, other_tenant: Tenant) -> None:
    user = User.objects.create_user("ada@example.com", PASSWORD)
    with platform_scope("test"):
        Membership.objects.create(tenant=tenant, user=user, role=Role.HR)
        Membership.objects.create(tenant=other_tenant, user=user, role=Role.ADMIN)

    def login(**fields: str) -> Response:
        return post("login", {"email": user.email, "password": PASSWORD, **fields})

    assert login().json()["role"] == "hr"
    assert login(tenant="globex").json()["role"] == "admin"
    assert login(tenant=str(other_tenant.id)).json()["role"] == "admin"
    assert login(tenant="initech").json()["code"] == "not_a_member"
    Tenant.objects.filter(id=tenant.id).update(status=TenantStatus.SUSPENDED)
    assert login().json()["role"] == "admin"
    assert login(tenant="acme").json()["code"] == "tenant_suspended"


def test_platform_staff_sign_in_for_the_platform(db: None) -> None:
    User.objects.create_superuser("root@example.com", PASSWORD)
    tokens = post("login", {"email": "root@example.com", "password": PASSWORD}).json()
    assert me(tokens["access_token"]).json()["platform_role"] == "super_admin"
    renewed = post("refresh", {"refresh_token": tokens["refresh_token"]}).json()
    assert me(renewed["access_token"]).json()["platform_role"] == "super_admin"


def test_refresh_rotates_and_reuse_ends_the_session(db: None) -> None:
    first = register()
    second = post("refresh", {"refresh_token": first["refresh_token"]})
    assert second.status_code == 200
    assert second.json()["refresh_token"] != first["refresh_token"]
    assert me(second.json()["access_token"]).status_code == 200
    thief = post("refresh", {"refresh_token": first["refresh_token"]})
    assert (thief.status_code, thief.json()["code"]) == (401, "refresh_token_reused")
    assert me(second.json()["access_token"]).json()["code"] == "session_ended"
    owner = post("refresh", {"refresh_token": second.json()["refresh_token"]})
    assert (owner.status_code, owner.json()["code"]) == (401, "session_ended")
    assert "session.reuse_detected" in actions()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_renew_at_once_one_is_a_copy() -> None:
    tokens = register()
    answers: list[Response] = []

    def renew() -> None:
        answers.append(post("refresh", {"refresh_token": tokens["refresh_token"]}))
        connections.close_all()

    threads = [threading.Thread(target=renew) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    [winner] = [answer.json() for answer in answers if answer.status_code == 200]
    assert me(winner["access_token"]).json()["code"] == "session_ended"
    assert actions().count("session.reuse_detected") == 1


def test_a_wrong_secret_ends_nobodys_session(db: None) -> None:
    tokens = register()
    post("refresh", {"refresh_token": tokens["refresh_token"]})
    guess = tokens["refresh_token"][:-4] + "AAAA"
    assert post("refresh", {"refresh_token": guess}).json()["code"] == "invalid_refresh_token"
    assert me(tokens["access_token"]).status_code == 200


@pytest.mark.parametrize("token", ["x", "rt_", "rt_zz_x", "rt_" + "0" * 32 + "_secret", "\x00"])
def test_garbage_is_no_refresh_token(db: None, token: str) -> None:
    answer = post("refresh", {"refresh_token": token})
    assert answer.status_code in (400, 401)


def test_refresh_asks_again_whether_one_may(db: None) -> None:
    tokens = register()
    with platform_scope("test"):
        Membership.objects.update(role=Role.EMPLOYEE)
    assert (renewed := post("refresh", {"refresh_token": tokens["refresh_token"]}).json())["role"] == "employee"
    Tenant.objects.update(status=TenantStatus.CANCELLED)
    assert post("refresh", {"refresh_token": renewed["refresh_token"]}).json()["code"] == "tenant_suspended"
    Tenant.objects.update(status=TenantStatus.ACTIVE)
    User.objects.update(is_active=False)
    assert post("refresh", {"refresh_token": renewed["refresh_token"]}).json()["code"] == "membership_ended"


@pytest.mark.parametrize("how", ["refresh token", "access token"])
def test_logout_ends_access_and_refresh_tokens(db: None, how: str) -> None:
    tokens = register()
    if how == "refresh token":
        assert post("logout", {"refresh_token": tokens["refresh_token"]}).status_code == 204
    else:
        assert post("logout", {}, bearer_client(tokens["access_token"])).status_code == 204
    assert me(tokens["access_token"]).json()["code"] == "session_ended"
    assert post("refresh", {"refresh_token": tokens["refresh_token"]}).json()["code"] == "session_ended"
    assert post("logout", {"refresh_token": tokens["refresh_token"]}).status_code == 204
    assert actions().count("session.ended") == 1
    assert post("logout", {}).json()["code"] == "not_authenticated"


def test_only_hashes_are_stored(db: None) -> None:
    secret = register()["refresh_token"].rpartition("_")[2]
    stored = RefreshToken.objects.get()
    assert secret.encode() not in bytes(stored.secret_hash)
    assert len(bytes(stored.secret_hash)) == 32


def test_every_address_answers_with_and_without_the_slash(admin: Persona) -> None:
    for slash in ("", "/"):
        assert admin.client.get(f"/api/v1/auth/me{slash}").status_code == 200
        assert admin.client.get(f"/api/v1/projects/me/api-keys{slash}").status_code == 200
    assert admin.client.get("/api/v1/auth/me//").status_code == 404


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Basic YTpi", "invalid_authorization_header"),
        ("Bearer", "invalid_authorization_header"),
        ("Bearer a b", "invalid_authorization_header"),
        ("Bearer garbage", "invalid_token"),
        ("Bearer a.b.c", "invalid_token"),
        ("Bearer " + "x" * 20_000, "invalid_token"),
        ("", "not_authenticated"),
    ],
)
def test_malformed_headers(db: None, header: str, code: str) -> None:
    answer = APIClient().get("/api/v1/auth/me", HTTP_AUTHORIZATION=header)
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_method_that_is_not_there_is_405(admin: Persona) -> None:
    answer = admin.client.delete("/api/v1/projects/me")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_keys_rotate_without_anybody_noticing(admin: Persona, make_persona: Callable[..., Persona]) -> None:
    old = signing_keys.signer().kid
    signing_keys.rotate()
    newcomer = make_persona(admin.tenant, Role.HR)
    assert signing_keys.signer().kid != old
    assert admin.client.get("/api/v1/auth/me").status_code == 200
    assert newcomer.client.get("/api/v1/auth/me").status_code == 200
    published = [key["kid"] for key in APIClient().get("/.well-known/jwks.json").json()["keys"]]
    assert published == [signing_keys.signer().kid, old]
    signing_keys.rotate(distrust_old=True)
    assert admin.client.get("/api/v1/auth/me").json()["code"] == "invalid_token"


def test_a_key_verifies_for_as_long_as_its_longest_token(tenant: Tenant, make_member: Callable[..., User]) -> None:
    kid = signing_keys.signer().kid
    issue_access_token(make_member(tenant), tenant, Role.ADMIN, timedelta(days=40))
    signing_keys.rotate()
    retired_at = SigningKey.objects.get(id=UUID(kid)).retired_at
    assert retired_at is not None
    assert retired_at > timezone.now() + timedelta(days=40)
