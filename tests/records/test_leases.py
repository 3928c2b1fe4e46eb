"""Workers that are lost: their records are taken back, and what they say afterwards does not count."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from notification_service.lib.ids import new_id
from notification_service.lib.scope import tenant_scope
from notifications.providers.base import SendResult
from notifications.records import queue
from notifications.records.ends import take_back_lost
from notifications.records.engine import Engine
from notifications.records.models import NotificationRecord
from notifications.records.outcomes import decide, write_outcomes
from tests.conftest import Persona
from tests.records.conftest import EXAMPLE, RECORDS, attempts_of, change, load
from tests.sandbox.conftest import Sandbox, wait_until

# PostgreSQL's now() is the start of the transaction: in one around the test, nothing would ever become due.
pytestmark = pytest.mark.django_db(transaction=True)

Post = Callable[..., UUID]


@pytest.fixture
def record_id(sender: Persona) -> UUID:
    return UUID(sender.client.post(RECORDS, EXAMPLE).json()["id"])


def claim(persona: Persona, token: UUID | None = None, limit: int = 10) -> list[queue.Claimed]:
    with tenant_scope(persona.tenant_id):
        return queue.claim(persona.tenant_id, "normal", token=token or new_id(), limit=limit)


def lose(persona: Persona, record_id: UUID) -> int:
    """Let the lease of a record run out, and sweep."""
    change(persona.tenant, record_id, lease_until=timezone.now() - timedelta(seconds=1))
    return take_back_lost()


def succeed(persona: Persona, claimed: queue.Claimed) -> int:
    now = timezone.now()
    outcome = decide(
        claimed, SendResult.success(code="250"), provider="smtp", credential_id=None, started_at=now, now=now
    )
    with tenant_scope(persona.tenant_id):
        return len(write_outcomes(persona.tenant_id, [outcome]))


def test_a_claim_is_a_lease(sender: Persona, record_id: UUID, settings: Settings) -> None:
    settings.LEASE_SECONDS = 30
    token = new_id()
    (claimed,) = claim(sender, token)
    record = load(sender.tenant, record_id)
    assert (claimed.id, claimed.lease_token, claimed.context) == (record_id, token, EXAMPLE["context"])
    assert (record.status, record.lease_token, record.attempt_count) == ("sending", token, 1)
    assert record.lease_until is not None
    assert timedelta(seconds=20) < record.lease_until - timezone.now() <= timedelta(seconds=30)
    assert claim(sender) == []


def test_a_living_worker_keeps_its_lease(sender: Persona, record_id: UUID) -> None:
    token = new_id()
    claim(sender, token)
    change(sender.tenant, record_id, lease_until=timezone.now() - timedelta(seconds=1))
    with tenant_scope(sender.tenant_id):
        assert queue.renew(sender.tenant_id, token) == 1
        assert queue.renew(sender.tenant_id, new_id()) == 0
    assert take_back_lost() == 0


def test_a_lost_record_is_tried_by_another_and_the_first_ones_word_does_not_count(
    sender: Persona, record_id: UUID
) -> None:
    (first,) = claim(sender)
    assert lose(sender, record_id) == 1
    record = load(sender.tenant, record_id)
    assert (record.status, record.lost_count, record.retry_count, record.lease_token) == ("retrying", 1, 0, None)
    assert succeed(sender, first) == 0  # nobody has it now
    (second,) = claim(sender)
    assert succeed(sender, first) == 0  # somebody else has it now
    assert load(sender.tenant, record_id).status == "sending"
    assert succeed(sender, second) == 1
    assert succeed(sender, second) == 0  # it has its end
    record = load(sender.tenant, record_id)
    assert (record.status, record.attempt_count) == ("success", 2)
    assert [each.number for each in attempts_of(sender.tenant, record_id)] == [2]
    story = sender.client.get(f"{RECORDS}{record_id}/timeline/").json()["timeline"]
    assert [(step["event"], step.get("attempt")) for step in story] == [
        ("accepted", None),
        ("worker_lost", 1),
        ("sending", 2),
        ("attempt", 2),
    ]


def test_a_record_that_kills_its_workers_fails_in_the_end(sender: Persona, record_id: UUID) -> None:
    for turn in range(1, queue.LOST_LIMIT + 1):
        assert len(claim(sender)) == 1
        assert lose(sender, record_id) == 1
        record = load(sender.tenant, record_id)
        assert (record.lost_count, record.status) == (turn, "failed" if turn == queue.LOST_LIMIT else "retrying")
    assert (record.failure_reason, record.retry_count) == ("unknown_error", 0)
    assert "worker" in record.provider_response
    assert claim(sender) == []


def test_only_leases_that_ran_out_are_taken_back(sender: Persona, record_id: UUID) -> None:
    other = UUID(sender.client.post(RECORDS, EXAMPLE).json()["id"])
    assert len(claim(sender)) == 2
    assert lose(sender, record_id) == 1
    assert load(sender.tenant, other).status == "sending"


def test_claims_come_in_the_order_in_which_records_are_due(sender: Persona) -> None:
    ids = [UUID(sender.client.post(RECORDS, EXAMPLE).json()["id"]) for _ in range(4)]
    for minutes, record_id in enumerate(reversed(ids)):
        change(sender.tenant, record_id, due_at=timezone.now() - timedelta(minutes=60 - minutes))
    assert [claim(sender, limit=1)[0].id for _ in ids] == ids[::-1]


def test_two_workers_never_claim_the_same_row(sender: Persona) -> None:
    for _ in range(20):
        sender.client.post(RECORDS, EXAMPLE)
    claimed: list[UUID] = []

    def work(_: int) -> None:
        try:
            while rows := claim(sender, limit=3):
                claimed.extend(row.id for row in rows)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(claimed) == len(set(claimed)) == 20


def test_a_worker_that_was_believed_lost_writes_nothing(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox, settings: Settings
) -> None:
    """The first engine hangs on a slow server while its lease is taken back and a second engine sends."""
    settings.LEASE_SECONDS = 600  # its heart beats every 60 s: never in this test
    record_id = posted(recipient="slow+4@example.com")
    assert engine.drain(admin.tenant_id, "normal", patience=0) == 1  # it has looked for the last time, and sends
    assert load(admin.tenant, record_id).status == "sending"
    assert lose(admin, record_id) == 1
    change(admin.tenant, record_id, recipient="bob@example.com")
    second = Engine()
    try:
        assert second.drain(admin.tenant_id, "normal") == 1
    finally:
        second.close()
    sent = load(admin.tenant, record_id)
    wait_until(lambda: not any(engine._under_way.values()))
    after = load(admin.tenant, record_id)
    assert (sent.status, after.status) == ("success", "success")
    assert (after.updated_at, after.provider_message_id) == (sent.updated_at, sent.provider_message_id)
    assert [each.number for each in attempts_of(admin.tenant, record_id)] == [2]


def test_long_sending_keeps_the_lease(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox, settings: Settings
) -> None:
    settings.LEASE_SECONDS = 2  # a busy machine may keep the heart from beating for more than half a second
    record_id = posted(recipient="slow+4@example.com")
    sending = threading.Thread(target=engine.drain, args=(admin.tenant_id, "normal"))
    sending.start()
    lost = 0
    while sending.is_alive():
        lost += take_back_lost()
        sending.join(timeout=0.1)
    record = load(admin.tenant, record_id)
    assert (record.status, record.attempt_count, lost) == ("success", 1, 0)
    with tenant_scope(admin.tenant_id):
        assert NotificationRecord.objects.filter(lease_token=None).count() == 1
