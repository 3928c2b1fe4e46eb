"""A tenant that can send: a real mail server, a credential that points at it, and an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from pytest_django import Settings

from notification_service.lib.redis import attempt
from notification_service.lib.scope import tenant_scope
from notifications.credentials.models import Credential
from notifications.credentials.services import create_credential
from notifications.records import queue
from notifications.records.engine import Engine
from notifications.records.models import Attempt, NotificationRecord
from tenants.callers import system_caller
from tenants.models import Tenant
from tests.conftest import Persona
from tests.sandbox.conftest import Sandbox

RECORDS = "/api/notifications/records/"

#: The specification's example.
EXAMPLE: dict[str, Any] = {
    "channel": "email",
    "recipient": "ada@example.com",
    "content": {"subject": "Hi {{name}}", "body": "<p>Welcome, {{name}}.</p>"},
    "context": {"name": "Ada"},
}


def example(**changes: Any) -> dict[str, Any]:
    """Return the specification's example with some fields changed; ``...`` takes one out."""
    return {name: value for name, value in {**EXAMPLE, **changes}.items() if value is not ...}


@pytest.fixture(autouse=True)
def _database_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' database has only just started: that is no reason here to wait for workers."""
    monkeypatch.setattr(queue, "GRACE_SECONDS", 0)


@pytest.fixture(scope="session")
def mail_program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    program = Sandbox(tmp_path_factory.mktemp("mail"))
    yield program
    program.stop()


@pytest.fixture
def mail_server(mail_program: Sandbox) -> Sandbox:
    """A real mail server that holds no message."""
    mail_program.request("/api/messages", "DELETE")
    return mail_program


@pytest.fixture
def make_credential(settings: Settings) -> Callable[..., Credential]:
    """Give a tenant a credential at a mail server on this machine."""

    def make(tenant: Tenant, port: int = 2525, **payload: Any) -> Credential:
        payload = {
            "host": "127.0.0.1",
            "port": port,
            "security": "none",
            "from_email": f"app@{tenant.slug}.example",
            **payload,
        }
        with tenant_scope(tenant.id):
            return create_credential(
                system_caller(tenant.id, "test"), channel="email", provider="smtp", payload=payload, name="Mail"
            )

    return make


@pytest.fixture
def credential(tenant: Tenant, make_credential: Callable[..., Credential]) -> Credential:
    """A credential of ``acme``: for tests that do not send."""
    return make_credential(tenant)


@pytest.fixture
def sender(admin: Persona, credential: Credential) -> Persona:
    """An admin of ``acme``, which has something to send with."""
    return admin


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """An engine whose retries are due at once."""
    settings.RETRY_BASE_SECONDS = 0.001
    started = Engine()
    yield started
    started.close()


@pytest.fixture
def posted(mail_server: Sandbox, admin: Persona, make_credential: Callable[..., Credential]) -> Callable[..., UUID]:
    """Post the example with changes for ``acme``, which sends through the mail server; returns the record's id."""
    make_credential(admin.tenant, mail_server.smtp_port)

    def post(**changes: Any) -> UUID:
        answer = admin.client.post(RECORDS, example(**changes))
        assert answer.status_code == 201, answer.json()
        return UUID(answer.json()["id"])

    return post


def load(tenant: Tenant, record_id: UUID | str) -> NotificationRecord:
    """Return a record as the database has it."""
    with tenant_scope(tenant.id):
        return NotificationRecord.objects.get(id=record_id)


def attempts_of(tenant: Tenant, record_id: UUID | str) -> list[Attempt]:
    """Return a record's attempts in order."""
    with tenant_scope(tenant.id):
        return list(Attempt.objects.filter(record_id=record_id).order_by("number"))


def change(tenant: Tenant, *record_ids: UUID, **fields: Any) -> None:
    """Set columns of records, as time or another process would."""
    with tenant_scope(tenant.id):
        assert NotificationRecord.objects.filter(id__in=record_ids).update(**fields) == len(record_ids)


def tokens(lane: str = "normal") -> int:
    """Return how many drain tokens are in a lane's queue."""
    return int(attempt(lambda client: client.llen(lane)))  # type: ignore[arg-type]
