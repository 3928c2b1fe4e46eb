"""The demo page: on this machine, under ``make up``, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from notification_service.local.demo import PAGE_PEOPLE, TENANT
from tenants.models import Role, Tenant, User
from tests.conftest import bearer_client

ADDRESSES = [("GET", "/demo/"), ("GET", "/demo"), ("GET", "/demo/files/demo.js"), ("POST", "/demo/people")]
HERE = {"HTTP_HOST": "127.0.0.1:3001", "REMOTE_ADDR": "127.0.0.1"}


def ask(method: str, address: str, **headers: str) -> Any:
    return APIClient().generic(method, address, **{**HERE, **headers})


@pytest.mark.parametrize(("method", "address"), ADDRESSES)
def test_an_ordinary_installation_has_no_such_page(db: None, method: str, address: str) -> None:
    answer = ask(method, address)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.fixture
def demo(settings: Settings, tmp_path: Path, db: None) -> None:
    """What ``make up`` sets."""
    settings.ROOT_URLCONF = "notification_service.local.demo_page.urls"
    settings.DEMO_FILE = str(tmp_path / "demo.json")
    settings.PUBLIC_URL = "http://127.0.0.1:3001"
    settings.ALLOWED_HOSTS = ["*"]
    (tmp_path / "demo.json").write_text("{}")


@pytest.fixture
def people(demo: None, make_tenant: Any, make_member: Any) -> dict[str, User]:
    tenant: Tenant = make_tenant(TENANT)
    roles = (Role.HR, Role.CUSTOMER)
    return {email: make_member(tenant, role, email) for email, role in zip(PAGE_PEOPLE, roles, strict=True)}


def test_the_page_runs_nothing_but_its_own_files(demo: None) -> None:
    answer = ask("GET", "/demo/")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in answer["Content-Security-Policy"].split("; "))
    assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
    assert policy["frame-ancestors"] == "'none'"
    text = answer.content.decode()
    assert "<style" not in text
    assert " style=" not in text
    assert text.count("<script") == text.count('<script type="module" src=')


def test_the_page_is_shown_under_the_address_of_the_service(demo: None) -> None:
    answer = ask("GET", "/demo/", HTTP_HOST="localhost:3001")
    assert (answer.status_code, answer["Location"]) == (302, "http://127.0.0.1:3001/demo/")


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("demo.js", "text/javascript; charset=utf-8"),
        ("demo.css", "text/css; charset=utf-8"),
        ("notification-inbox.js", "text/javascript; charset=utf-8"),
        ("notification-chat.js", "text/javascript; charset=utf-8"),
    ],
)
def test_its_files_are_served(demo: None, name: str, content_type: str) -> None:
    answer = ask("GET", f"/demo/files/{name}")
    assert (answer.status_code, answer["Content-Type"]) == (200, content_type)


@pytest.mark.parametrize("name", ["missing.js", "views.py", "..%2Fviews.py", "..%2Fstatic%2Fdemo.js", "%00.js"])
def test_nothing_else_is_served(demo: None, name: str) -> None:
    assert ask("GET", f"/demo/files/{name}").status_code == 404


def test_both_people_get_a_token_of_their_own(people: dict[str, User]) -> None:
    answer = ask("POST", "/demo/people", HTTP_ORIGIN="http://127.0.0.1:3001", HTTP_SEC_FETCH_SITE="same-origin")
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    shown = answer.json()["people"]
    assert [person["user_id"] for person in shown] == [str(user.id) for user in people.values()]
    for person in shown:
        claims = jwt.decode(person["token"], options={"verify_signature": False})
        assert claims["sub"] == person["user_id"]
        assert claims["exp"] - claims["iat"] <= 900


def test_a_token_opens_the_door(people: dict[str, User], settings: Settings) -> None:
    token = ask("POST", "/demo/people").json()["people"][0]["token"]
    settings.ROOT_URLCONF = "notification_service.urls"
    assert bearer_client(token).get("/api/v1/users/me/notifications/unread-count").json()["unread"] == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_ORIGIN": "https://evil.example"},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_ORIGIN": "http://127.0.0.1:9999"},
        {"HTTP_SEC_FETCH_SITE": "cross-site"},
        {"HTTP_SEC_FETCH_SITE": "same-site"},
    ],
    ids=str,
)
def test_other_pages_get_no_token(people: dict[str, User], headers: dict[str, str]) -> None:
    assert ask("POST", "/demo/people", **headers).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"REMOTE_ADDR": "10.0.0.7"},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
        {"HTTP_HOST": "demo.example"},
        {"HTTP_HOST": "192.168.0.7:3001"},
    ],
    ids=str,
)
@pytest.mark.parametrize(("method", "address"), ADDRESSES)
def test_only_this_machine_sees_it(people: dict[str, User], method: str, address: str, headers: dict[str, str]) -> None:
    assert ask(method, address, **headers).status_code == 404


@pytest.mark.parametrize(("method", "address"), ADDRESSES)
def test_it_is_gone_with_the_demo(people: dict[str, User], settings: Settings, method: str, address: str) -> None:
    Path(settings.DEMO_FILE).unlink()
    assert ask(method, address).status_code == 404
    settings.DEMO_FILE = ""
    assert ask(method, address).status_code == 404
