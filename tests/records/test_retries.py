"""Failures: what is tried again, how often, when, and in whose words the end is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from notification_service.lib.ids import new_id
from notifications.credentials.models import Credential
from notifications.providers.base import FailureReason, SendResult
from notifications.records.engine import Engine
from notifications.records.outcomes import decide, retry_delay
from notifications.records.queue import Claimed
from notifications.records.states import Status
from tests.conftest import Persona
from tests.records.conftest import RECORDS, attempts_of, change, example, load
from tests.sandbox.conftest import Sandbox, wait_until

Post = Callable[..., UUID]


def drain_until_final(engine: Engine, persona: Persona, record_id: UUID) -> None:
    """Drain whenever something may be due, as the sweeper would."""

    def final() -> bool:
        engine.drain(persona.tenant_id, "normal")
        return load(persona.tenant, record_id).is_final

    wait_until(final)


@pytest.mark.django_db(transaction=True)
def test_a_temporary_failure_is_tried_until_it_works(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox
) -> None:
    record_id = posted(recipient="fail-temporary@one.example")
    drain_until_final(engine, admin, record_id)
    record = load(admin.tenant, record_id)
    assert (record.status, record.retry_count, record.attempt_count) == ("success", 2, 3)
    assert (record.failure_reason, record.lost_count) == ("", 0)
    tries = attempts_of(admin.tenant, record_id)
    assert [(each.number, each.outcome, each.code) for each in tries] == [
        (1, "retrying", "451 4.7.1"),
        (2, "retrying", "451 4.7.1"),
        (3, "success", "250 2.0.0"),
    ]
    assert all(each.failure_reason and "Temporary failure" in each.response and each.next_due_at for each in tries[:2])
    assert tries[0].finished_at < tries[1].started_at < tries[2].started_at
    story = admin.client.get(f"{RECORDS}{record_id}/timeline/").json()["timeline"]
    assert [(step["event"], step["status"], step.get("attempt")) for step in story] == [
        ("accepted", "pending", None),
        ("sending", "sending", 1),
        ("attempt", "retrying", 1),
        ("sending", "sending", 2),
        ("attempt", "retrying", 2),
        ("sending", "sending", 3),
        ("attempt", "success", 3),
    ]
    assert len(mail_server.messages()) == 1


@pytest.mark.django_db(transaction=True)
def test_retries_run_out(admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox) -> None:
    record_id = posted(recipient="fail-temporary+9@two.example")
    drain_until_final(engine, admin, record_id)
    record = load(admin.tenant, record_id)
    assert (record.status, record.retry_count, record.attempt_count) == ("failed", 3, 4)
    assert "4.7.1" in record.provider_response
    assert [each.outcome for each in attempts_of(admin.tenant, record_id)] == ["retrying"] * 3 + ["failed"]
    assert mail_server.messages() == []


@pytest.mark.django_db(transaction=True)
def test_a_permanent_failure_is_told_in_the_servers_words(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox
) -> None:
    bad, good = posted(recipient="fail-permanent@example.com"), posted()
    engine.drain(admin.tenant_id, "normal")
    body = admin.client.get(f"{RECORDS}{bad}/").json()
    assert (body["status"], body["failure_reason"], body["retry_count"]) == ("failed", "provider_error", 0)
    assert "Recipient address rejected: mailbox does not exist" in body["provider_response"]
    (only,) = attempts_of(admin.tenant, bad)
    assert (only.number, only.outcome, only.code, only.next_due_at) == (1, "failed", "550 5.1.1", None)
    assert load(admin.tenant, good).status == "success"


@pytest.mark.django_db(transaction=True)
def test_a_server_that_is_not_there_is_worth_a_retry(
    admin: Persona, engine: Engine, settings: Settings, make_credential: Callable[..., Credential]
) -> None:
    settings.RETRY_BASE_SECONDS = 60
    make_credential(admin.tenant, port=1)
    record_id = admin.client.post(RECORDS, example()).json()["id"]
    engine.drain(admin.tenant_id, "normal")
    body = admin.client.get(f"{RECORDS}{record_id}/").json()
    assert (body["status"], body["failure_reason"], body["retry_count"]) == ("retrying", "network_error", 1)
    wait = load(admin.tenant, record_id).due_at - timezone.now()
    assert timedelta(seconds=50) < wait < timedelta(seconds=67)


@pytest.mark.django_db(transaction=True)
def test_a_retry_that_would_come_too_late_is_not_waited_for(
    admin: Persona, posted: Post, engine: Engine, settings: Settings
) -> None:
    settings.RETRY_BASE_SECONDS = 60
    record_id = posted(recipient="rate-limited@example.com")
    change(admin.tenant, record_id, expires_at=timezone.now() + timedelta(seconds=20))
    engine.drain(admin.tenant_id, "normal")
    record = load(admin.tenant, record_id)
    assert (record.status, record.failure_reason, record.retry_count) == ("failed", "rate_limited", 0)


@pytest.mark.parametrize(("retries", "seconds"), [(0, 60), (1, 120), (2, 240), (5, 1920)])
def test_waits_double_with_jitter(settings: Settings, retries: int, seconds: float) -> None:
    settings.RETRY_BASE_SECONDS = 60
    waits = {retry_delay(retries).total_seconds() for _ in range(50)}
    assert all(0.9 * seconds <= wait <= 1.1 * seconds for wait in waits)
    assert len(waits) > 40


def test_a_provider_may_ask_for_more_patience(settings: Settings) -> None:
    settings.RETRY_BASE_SECONDS = 60
    assert retry_delay(0, 3600) == timedelta(hours=1)
    assert retry_delay(3, 1) > timedelta(minutes=7)


def claimed(retry_count: int = 0) -> Claimed:
    now = timezone.now()
    return Claimed(
        id=new_id(),
        tenant_id=new_id(),
        channel="email",
        recipient="ada@example.com",
        content={},
        context={},
        lane="normal",
        mode="live",
        retry_count=retry_count,
        max_retries=3,
        attempt_count=1,
        created_at=now,
        expires_at=now + timedelta(days=1),
        lease_token=new_id(),
    )


@pytest.mark.parametrize("reason", list(FailureReason))
@pytest.mark.parametrize("retry_count", [0, 2, 3])
def test_every_reason_knows_whether_to_try_again(reason: FailureReason, retry_count: int) -> None:
    outcome = decide(
        claimed(retry_count),
        SendResult.failure(reason, "no"),
        provider="smtp",
        credential_id=None,
        started_at=timezone.now(),
        now=timezone.now(),
    )
    again = reason.retryable and retry_count < 3
    assert outcome.status == (Status.RETRYING if again else Status.FAILED)
    assert (outcome.next_due_at is not None) == again
    assert reason.retryable == (reason in {"network_error", "provider_error", "rate_limited", "unknown_error"})
