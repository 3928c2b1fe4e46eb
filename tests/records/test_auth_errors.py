"""A credential that its provider refuses: it is paused, its tenant hears of it, and what waits goes out later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from celery import current_app
from cryptography.fernet import Fernet
from django.core import mail
from django.utils import timezone
from kombu import Connection
from pytest_django.fixtures import Settings

from notification_service.lib.redis import attempt
from notification_service.lib.scope import tenant_scope
from notifications.credentials.models import Credential
from notifications.records import hooks
from notifications.records.engine import Engine
from notifications.records.models import NotificationRecord
from notifications.records.outcomes import HOLD
from notifications.records.queue import Claimed
from tenants.models import AuditLog, Role, User
from tests.conftest import Persona
from tests.records.conftest import RECORDS, attempts_of, change, example, load, tokens
from tests.sandbox.conftest import Sandbox

pytestmark = pytest.mark.django_db(transaction=True)

CREDENTIALS = "/api/notifications/credentials/"
Post = Callable[..., UUID]


def credential_of(persona: Persona) -> dict[str, Any]:
    (found,) = persona.client.get(CREDENTIALS).json()["results"]
    return dict(found)


def correct(persona: Persona, method: str = "put") -> None:
    """Send the credential back, as a form would: with its masks, and words that are new."""
    known = credential_of(persona)
    body = {"channel": "email", "credentials": {**known["credentials"], "from_name": "Acme"}}
    answer = getattr(persona.client, method)(f"{CREDENTIALS}{known['id']}/", body)
    assert (answer.status_code, answer.json()["status"]) == (200, "active"), answer.json()


def test_the_refused_record_fails_and_the_credential_is_paused(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox
) -> None:
    record_id = posted(recipient="auth-fail@example.com")
    engine.drain(admin.tenant_id, "normal")
    record = load(admin.tenant, record_id)
    assert (record.status, record.failure_reason, record.retry_count) == ("failed", "auth_error", 0)
    assert "credentials invalid" in record.provider_response
    assert [each.outcome for each in attempts_of(admin.tenant, record_id)] == ["failed"]
    credential = credential_of(admin)
    assert credential["status"] == "paused"
    assert "535" in credential["status_detail"]
    assert "credentials invalid" in credential["status_detail"]
    with tenant_scope(admin.tenant_id):
        (row,) = AuditLog.objects.filter(action="credential.paused")
    assert (row.actor_type, row.resource_id) == ("system", credential["id"])
    assert "535" in row.metadata["reason"]
    assert (row.metadata["before"], row.metadata["after"]) == ({"status": "active"}, {"status": "paused"})


def test_a_credential_that_was_corrected_meanwhile_is_not_paused_for_what_it_was(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox
) -> None:
    """The refusal of the old one arrives after the new one was stored."""
    posted(recipient="auth-fail@example.com")

    def correct_first(claimed: Sequence[Claimed]) -> Mapping[UUID, hooks.Finish]:
        def finish(_: Claimed, content: dict[str, Any]) -> dict[str, Any]:  # after the credential was read
            with ThreadPoolExecutor() as other:
                other.submit(correct, admin, "patch").result()
            return content

        return {claimed[0].id: finish}

    hooks.on_claimed(correct_first)
    try:
        engine.drain(admin.tenant_id, "normal")
    finally:
        hooks._on_claimed.remove(correct_first)
    assert credential_of(admin)["status"] == "active"
    posted(recipient="auth-fail@example.com")
    engine.drain(admin.tenant_id, "normal")
    assert credential_of(admin)["status"] == "paused"


@pytest.mark.parametrize("method", ["put", "patch"])
def test_what_waits_goes_out_once_the_credential_is_corrected(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox, method: str
) -> None:
    posted(recipient="auth-fail@example.com")
    engine.drain(admin.tenant_id, "normal")
    waiting = [posted(recipient=f"person{n}@example.com") for n in range(3)]
    engine.drain(admin.tenant_id, "normal")
    for record_id in waiting:
        record = load(admin.tenant, record_id)
        assert (record.status, record.failure_reason) == ("pending", "auth_error")
        assert (record.attempt_count, record.retry_count) == (0, 0)
        assert timezone.now() < record.due_at <= timezone.now() + HOLD
        assert attempts_of(admin.tenant, record_id) == []
    assert engine.drain(admin.tenant_id, "normal") == 0
    attempt(lambda client: client.flushdb())
    correct(admin, method)
    assert tokens("normal") == 1
    engine.drain(admin.tenant_id, "normal")  # at once: what the engine knew of the credential must not matter
    assert {load(admin.tenant, record_id).status for record_id in waiting} == {"success"}
    assert len(mail_server.messages()) == 3
    assert load(admin.tenant, waiting[0]).failure_reason == ""


def test_a_changed_password_is_used_at_once(
    admin: Persona, engine: Engine, mail_server: Sandbox, make_credential: Callable[..., Credential]
) -> None:
    """The engine sent with the old words a moment ago; the next message goes with the new ones."""
    make_credential(admin.tenant, mail_server.smtp_port)
    for name in ("first", "second"):
        credential = credential_of(admin)
        address = f"{CREDENTIALS}{credential['id']}/"
        admin.client.patch(address, {"credentials": {"from_email": f"{name}@acme.example"}})
        assert admin.client.post(RECORDS, example(recipient=f"to-{name}@example.com")).status_code == 201
        engine.drain(admin.tenant_id, "normal")
        (message,) = mail_server.messages(to=f"to-{name}@example.com")
        assert f"{name}@acme.example" in message["from"]


def test_a_disabled_credential_is_not_used_a_moment_later(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox
) -> None:
    posted()
    engine.drain(admin.tenant_id, "normal")
    assert admin.client.patch(f"{CREDENTIALS}{credential_of(admin)['id']}/", {"enabled": False}).status_code == 200
    record_id = posted()
    engine.drain(admin.tenant_id, "normal")
    assert load(admin.tenant, record_id).status == "pending"
    assert len(mail_server.messages()) == 1


def test_nobody_else_in_the_chunk_is_harmed(admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox) -> None:
    others = [posted(recipient=f"person{n}@example.com") for n in range(4)]
    refused = posted(recipient="auth-fail@example.com")
    others += [posted(recipient=f"person{n}@example.com") for n in range(4, 8)]
    engine.drain(admin.tenant_id, "normal")
    assert load(admin.tenant, refused).status == "failed"
    assert {load(admin.tenant, each).status for each in others} <= {"success", "pending"}
    correct(admin)
    engine.drain(admin.tenant_id, "normal")
    assert {load(admin.tenant, each).status for each in others} == {"success"}
    assert sorted(m["to"] for m in mail_server.messages()) == [f"person{n}@example.com" for n in range(8)]


def test_many_refusals_fail_one_record_and_burn_no_retries(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox
) -> None:
    ids = [posted(recipient=f"auth-fail+{n}@example.com") for n in range(5)]
    engine.drain(admin.tenant_id, "normal")
    with tenant_scope(admin.tenant_id):
        records = NotificationRecord.objects.filter(id__in=ids)
        assert sorted(record.status for record in records) == ["failed", *["pending"] * 4]
        assert {record.retry_count for record in records} == {0}
        assert {record.failure_reason for record in records} == {"auth_error"}


def test_without_any_credential_left_records_wait(
    admin: Persona, posted: Post, engine: Engine, make_credential: Callable[..., Credential], mail_server: Sandbox
) -> None:
    record_id = posted()
    assert admin.client.delete(f"{CREDENTIALS}{credential_of(admin)['id']}/").status_code == 204
    engine.drain(admin.tenant_id, "normal")
    record = load(admin.tenant, record_id)
    assert (record.status, record.failure_reason) == ("pending", "auth_error")
    assert "credential" in record.provider_response
    make_credential(admin.tenant, mail_server.smtp_port)
    engine.drain(admin.tenant_id, "normal")
    assert load(admin.tenant, record_id).status == "success"


def test_records_wait_while_a_key_of_the_ring_is_missing(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox, settings: Settings
) -> None:
    record_id = posted()
    right = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    engine.drain(admin.tenant_id, "normal")
    record = load(admin.tenant, record_id)
    assert (record.status, record.attempt_count, record.lost_count) == ("pending", 0, 0)
    settings.ENCRYPTION_KEYS = right
    change(admin.tenant, record_id, due_at=timezone.now())
    engine.drain(admin.tenant_id, "normal")
    assert load(admin.tenant, record_id).status == "success"


def test_the_tenants_admins_get_a_mail(
    admin: Persona,
    stranger: Persona,
    posted: Post,
    engine: Engine,
    settings: Settings,
    make_member: Callable[..., User],
) -> None:
    settings.EMAIL_URL = "smtp://127.0.0.1:1"  # that there is one; django.core.mail keeps what tests send
    make_member(admin.tenant, Role.OWNER)
    make_member(admin.tenant, Role.EMPLOYEE)
    posted(recipient="auth-fail@example.com")
    posted(recipient="auth-fail+2@example.com")
    engine.drain(admin.tenant_id, "normal")
    assert tokens("control") == 1  # once, whatever the number of refusals
    run_control_task()
    assert sorted(message.to[0] for message in mail.outbox) == ["admin@acme.example", "owner@acme.example"]
    assert "refuses this credential" in mail.outbox[0].subject
    assert "535" in mail.outbox[0].body


def run_control_task() -> None:
    """Run the one task that waits in the control queue, as a worker would."""
    with Connection(current_app.conf.broker_url) as connection, connection.SimpleQueue("control") as queue:
        message = queue.get(timeout=5)
        arguments, options, _ = message.payload
        current_app.tasks[message.headers["task"]].apply(arguments, options, throw=True)
        message.ack()
