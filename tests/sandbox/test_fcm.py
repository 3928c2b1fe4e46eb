"""The sandbox's end of Firebase Cloud Messaging, spoken to as Google documents it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.transport.requests import Request
from google.oauth2 import service_account

from sandbox.misbehaviour import markdown_table
from sandbox.vendors import fcm, webpush, whatsapp
from tests.sandbox.conftest import ROOT, Sandbox

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
SEND = "/v1/projects/sandbox-project/messages:send"


def post(sandbox: Sandbox, path: str, data: bytes, **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(sandbox.url + path, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as problem:
        return problem.code, json.loads(problem.read())


def ask(sandbox: Sandbox, assertion: str, grant: str = GRANT) -> tuple[int, Any]:
    return post(sandbox, "/token", urllib.parse.urlencode({"grant_type": grant, "assertion": assertion}).encode())


@pytest.fixture
def account(sandbox: Sandbox) -> dict[str, Any]:
    found: dict[str, Any] = sandbox.request("/demo/fcm-service-account").json()
    return found


def assertion(account: dict[str, Any], **changes: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": account["client_email"],
        "scope": SCOPE,
        "aud": "https://oauth2.googleapis.com/token",
        "iat": now,
        "exp": now + 3600,
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    headers = {"kid": account["private_key_id"]}
    return jwt.encode(claims, account["private_key"], algorithm="RS256", headers=headers)


def send(sandbox: Sandbox, account: dict[str, Any], message: Any, **more: Any) -> tuple[int, Any]:
    _, token = ask(sandbox, assertion(account))
    body = json.dumps({"message": message, **more}).encode()
    return post(sandbox, SEND, body, Authorization=f"Bearer {token['access_token']}")


def test_googles_own_library_gets_a_token(sandbox: Sandbox, account: dict[str, Any]) -> None:
    credentials = service_account.Credentials.from_service_account_info(account, scopes=[SCOPE])
    credentials.refresh(Request())
    assert credentials.valid
    body = json.dumps({"message": {"token": "device-1", "notification": {"title": "Hi", "body": "Hello"}}}).encode()
    status, answer = post(sandbox, SEND, body, Authorization=f"Bearer {credentials.token}")
    assert status == 200
    assert answer["name"].startswith("projects/sandbox-project/messages/")
    (caught,) = sandbox.messages(channel="push", to="device-1")
    assert (caught["subject"], caught["text"]) == ("Hi", "Hello")


@pytest.mark.parametrize(
    "changes",
    [
        lambda now: {"exp": now - 100, "iat": now - 3700},
        lambda now: {"exp": now + 7200},
        lambda now: {"iat": now + 1000, "exp": now + 2000},
        lambda now: {"aud": "https://elsewhere.example/token"},
        lambda now: {"scope": "https://www.googleapis.com/auth/drive"},
        lambda now: {"iss": "nobody"},
        lambda now: {"iss": None},
        lambda now: {"exp": None},
        lambda now: {"iss": "auth-fail@other.iam.gserviceaccount.com"},
    ],
)
def test_bad_assertions_get_no_token(
    sandbox: Sandbox, account: dict[str, Any], changes: Callable[[int], dict[str, Any]]
) -> None:
    status, answer = ask(sandbox, assertion(account, **changes(int(time.time()))))
    assert (status, answer["error"]) == (400, "invalid_grant")
    assert answer["error_description"]


def test_what_is_no_assertion_gets_no_token(sandbox: Sandbox, account: dict[str, Any]) -> None:
    assert ask(sandbox, "nonsense")[1]["error"] == "invalid_grant"
    assert ask(sandbox, "")[1]["error"] == "invalid_request"
    assert ask(sandbox, assertion(account), grant="password")[1]["error"] == "unsupported_grant_type"
    now = int(time.time())
    claims = {"iss": "a@b", "scope": SCOPE, "aud": "https://oauth2.googleapis.com/token", "iat": now, "exp": now + 60}
    assert ask(sandbox, jwt.encode(claims, "x" * 32, algorithm="HS256"))[1]["error"] == "invalid_grant"


def test_the_demo_accounts_signature_is_checked(sandbox: Sandbox, account: dict[str, Any]) -> None:
    other = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    forged = {**account, "private_key": other.decode()}
    status, answer = ask(sandbox, assertion(forged))
    assert (status, answer["error"]) == (400, "invalid_grant")
    assert ask(sandbox, assertion({**forged, "private_key_id": "unknown"}))[0] == 200


@pytest.mark.parametrize("header", ["", "Bearer x", "Bearer ya29.x", "Basic ya29.x"])
def test_messages_need_a_token(sandbox: Sandbox, header: str) -> None:
    status, answer = post(sandbox, SEND, b"{}", Authorization=header)
    assert (status, answer["error"]["status"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    "message",
    [
        None,
        {},
        {"token": "a", "topic": "b"},
        {"token": 7},
        {"token": "a", "surprise": 1},
        {"token": "a", "data": {"n": 1}},
        {"token": "a", "data": {"google.x": "1"}},
        {"token": "a", "data": []},
        {"token": "a", "android": {"ttl": 60}},
        {"token": "a", "data": {"k": "x" * 4096}},
    ],
)
def test_bad_messages_are_refused(sandbox: Sandbox, account: dict[str, Any], message: Any) -> None:
    status, answer = send(sandbox, account, message)
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert sandbox.messages() == []


def test_a_dry_run_keeps_nothing(sandbox: Sandbox, account: dict[str, Any]) -> None:
    status, answer = send(sandbox, account, {"topic": "news"}, validate_only=True)
    assert (status, answer) == (200, {"name": "projects/sandbox-project/messages/fake_message_id"})
    assert send(sandbox, account, {"token": "unregistered"}, validate_only=True)[0] == 404
    assert sandbox.messages() == []


@pytest.mark.parametrize("vendor", [fcm, webpush, whatsapp], ids=lambda vendor: vendor.__name__)
def test_tables_are_shown_and_documented(sandbox: Sandbox, vendor: Any) -> None:
    name = vendor.__name__.rpartition(".")[2]
    shown = [rule for rule in sandbox.request("/api/magic").json()["rules"] if rule.get("vendor") == name]
    assert [rule["example"] for rule in shown] == list(vendor.recipients)
    assert {rule["channel"] for rule in shown} == {vendor.channel}
    assert markdown_table(vendor.recipients) in (ROOT / "docs/sandbox.md").read_text()
