"""``POST …/{id}/test/``: really connects, and says what the other side said."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django.fixtures import Settings
from rest_framework.response import Response

from notification_service.lib.scope import tenant_scope
from tenants.models import AuditLog
from tests.conftest import Persona
from tests.credentials.conftest import CREDENTIALS, PASSWORD
from tests.sandbox.conftest import Sandbox

Create = Callable[..., dict[str, Any]]


def check(admin: Persona, credential: dict[str, Any]) -> Response:
    return admin.client.post(f"{CREDENTIALS}{credential['id']}/test/")


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_password_that_is_accepted(admin: Persona, create: Create, mail_server: Sandbox) -> None:
    answer = check(admin, create(host="127.0.0.1", port=mail_server.smtp_port, security="none"))
    body = answer.json()
    assert (answer.status_code, body["ok"], body["reason"]) == (200, True, None)
    assert all(step["ok"] for step in body["steps"])
    assert len(body["steps"]) >= 2
    assert body["duration_ms"] >= 0
    assert mail_server.messages() == []
    with tenant_scope(admin.tenant_id):
        row = AuditLog.objects.get(action="credential.tested")
    assert row.metadata["ok"] is True


def test_a_password_that_is_refused(admin: Persona, create: Create, mail_server: Sandbox) -> None:
    credential = create(host="127.0.0.1", port=mail_server.smtp_port, security="none", password="wrong")
    body = check(admin, credential).json()
    assert (body["ok"], body["reason"]) == (False, "auth_error")
    assert "535" in body["detail"]
    assert not body["steps"][-1]["ok"]
    # It says so to the person who asked, and stops nothing.
    assert admin.client.get(f"{CREDENTIALS}{credential['id']}/").json()["status"] == "active"


def test_a_server_without_encryption_is_told_apart(admin: Persona, create: Create, mail_server: Sandbox) -> None:
    body = check(admin, create(host="127.0.0.1", port=mail_server.smtp_port, security="starttls")).json()
    assert body["ok"] is False
    assert "STARTTLS" in body["detail"].upper()


def test_nobody_answers(admin: Persona, create: Create, closed_port: int) -> None:
    body = check(admin, create(host="127.0.0.1", port=closed_port, security="none")).json()
    assert (body["ok"], body["reason"]) == (False, "network_error")
    assert PASSWORD not in str(body)


def test_a_name_that_does_not_exist(admin: Persona, create: Create) -> None:
    body = check(admin, create(host="no-such-host.invalid", security="none")).json()
    assert (body["ok"], body["reason"]) == (False, "network_error")
    assert "does not resolve" in body["detail"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "2130706433", "169.254.169.254", "10.0.0.1"])
def test_hosts_inside_are_out_of_reach(
    admin: Persona, create: Create, mail_server: Sandbox, settings: Settings, host: str
) -> None:
    settings.OUTBOUND_ALLOWED_NETWORKS = []
    answer = check(admin, create(host=host, port=mail_server.smtp_port, security="none"))
    body = answer.json()
    assert (answer.status_code, body["ok"]) == (200, False)
    assert "not allowed" in body["detail"]
    assert mail_server.messages() == []
