"""Paused, resumed, cancelled: what is queued obeys too, and nothing is lost or sent twice on the way."""

from __future__ import annotations

from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from notification_service.lib.ids import new_id
from notification_service.lib.scope import tenant_scope
from notifications.campaigns import fanout, tallies, turns
from notifications.campaigns.moves import locked
from notifications.campaigns.turns import run_turn
from notifications.credentials.services import create_credential
from notifications.providers.base import FailureReason, SendResult
from notifications.records import hooks
from notifications.records.engine import Engine
from notifications.records.models import NotificationRecord, RecordEvent
from notifications.records.outcomes import decide, write_outcomes
from notifications.records.queue import claim, release_held
from tenants.callers import system_caller
from tests.campaigns.conftest import (
    act,
    addresses,
    change,
    create,
    finish,
    load,
    look,
    people,
    records,
    rows,
    take_turns,
)
from tests.conftest import Persona
from tests.sandbox.conftest import Sandbox

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "CHUNK", 4)


def one_step(persona: Persona, campaign_id: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a turn of one step."""
    with monkeypatch.context() as patched:
        patched.setattr(turns, "TURN", -1.0)
        run_turn(persona.tenant_id, campaign_id)  # type: ignore[arg-type]


def test_paused_nothing_more_goes_out_and_resumed_the_rest(
    marketer: Persona, engine: Engine, mail_server: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign_id = create(marketer, recipients=people(10))
    act(marketer, campaign_id, "launch")
    one_step(marketer, campaign_id, monkeypatch)
    assert len(records(marketer, campaign_id)) == 4
    assert act(marketer, campaign_id, "pause")["status"] == "paused"
    take_turns(marketer, campaign_id)
    engine.drain(marketer.tenant_id, "bulk")
    assert addresses(mail_server) == []
    assert len(records(marketer, campaign_id, status="pending")) == 4
    assert act(marketer, campaign_id, "pause", status=409)["code"] == "wrong_status"
    assert act(marketer, campaign_id, "resume")["status"] == "sending"
    assert finish(marketer, campaign_id, engine)["sent"] == 10
    assert addresses(mail_server) == sorted(f"person{n}@example.com" for n in range(10))


def test_a_pause_does_not_use_up_the_deadline(marketer: Persona) -> None:
    campaign_id = create(marketer)
    act(marketer, campaign_id, "launch")
    take_turns(marketer, campaign_id)
    before = records(marketer, campaign_id)
    act(marketer, campaign_id, "pause")
    change(marketer, campaign_id, paused_at=timezone.now() - timedelta(hours=5))
    act(marketer, campaign_id, "resume")
    after = records(marketer, campaign_id)
    assert [record.due_at for record in after] == [record.due_at for record in before]
    for old, new in zip(before, after, strict=True):
        assert timedelta(hours=5) <= new.expires_at - old.expires_at < timedelta(hours=5, minutes=1)


def test_what_comes_back_for_another_try_waits_for_the_resumption(marketer: Persona, engine: Engine) -> None:
    to = [{"recipient": "tempfail@example.com", "context": {"name": "T"}}]
    campaign_id = create(marketer, recipients=to)
    act(marketer, campaign_id, "launch")
    take_turns(marketer, campaign_id)
    with tenant_scope(marketer.tenant_id):
        claimed = claim(marketer.tenant_id, "bulk", token=new_id(), limit=10)
    assert len(claimed) == 1
    act(marketer, campaign_id, "pause")  # while it is being sent
    with tenant_scope(marketer.tenant_id):
        NotificationRecord.objects.filter(id=claimed[0].id).update(lease_until=timezone.now())
        result = SendResult.failure(FailureReason.NETWORK_ERROR, "no answer")
        now = timezone.now()
        outcome = decide(claimed[0], result, provider="smtp", credential_id=None, started_at=now, now=now)
        hooks.announce(write_outcomes(marketer.tenant_id, [outcome]))
    (record,) = records(marketer, campaign_id)
    assert record.status == "retrying"
    assert record.due_at > timezone.now() + timedelta(days=365)
    act(marketer, campaign_id, "resume")
    (record,) = records(marketer, campaign_id)
    assert record.due_at < timezone.now() + timedelta(minutes=5)


def test_news_of_a_credential_does_not_end_a_pause(admin: Persona, engine: Engine, mail_server: Sandbox) -> None:
    payload = {"host": "127.0.0.1", "port": mail_server.smtp_port, "security": "none", "from_email": "a@acme.example"}
    with tenant_scope(admin.tenant_id):
        create_credential(
            system_caller(admin.tenant_id, "test"), channel="email", provider="smtp", payload=payload, name="Mail"
        )
    campaign_id = create(admin)
    act(admin, campaign_id, "launch")
    take_turns(admin, campaign_id)
    with tenant_scope(admin.tenant_id):
        NotificationRecord.objects.update(failure_reason="auth_error", due_at=timezone.now() + timedelta(minutes=1))
    act(admin, campaign_id, "pause")
    with tenant_scope(admin.tenant_id):
        assert release_held(admin.tenant_id, "email") == []
    engine.drain(admin.tenant_id, "bulk")
    assert addresses(mail_server) == []


def test_cancelled_what_is_queued_and_what_is_staged_ends(
    marketer: Persona, engine: Engine, mail_server: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign_id = create(marketer, recipients=people(10))
    act(marketer, campaign_id, "launch")
    one_step(marketer, campaign_id, monkeypatch)
    engine.drain(marketer.tenant_id, "bulk")
    one_step(marketer, campaign_id, monkeypatch)
    assert act(marketer, campaign_id, "cancel")["status"] == "cancelled"
    take_turns(marketer, campaign_id)
    engine.drain(marketer.tenant_id, "bulk")
    progress = look(marketer, campaign_id)
    assert (progress["sent"], progress["stopped"], progress["cancelled"], progress["waiting"]) == (4, 4, 2, 0)
    assert progress["percent"] == 100.0
    assert len(addresses(mail_server)) == 4
    assert load(marketer, campaign_id).next_turn_at is None
    with tenant_scope(marketer.tenant_id):
        assert RecordEvent.objects.filter(kind="cancelled").count() == 4
    report = look(marketer, campaign_id, "report")
    assert report["sent"] + report["cancelled"] == report["recipients"] == 10


def test_a_paused_campaign_can_be_cancelled(marketer: Persona, engine: Engine, mail_server: Sandbox) -> None:
    campaign_id = create(marketer, recipients=people(5))
    act(marketer, campaign_id, "launch")
    take_turns(marketer, campaign_id)
    act(marketer, campaign_id, "pause")
    act(marketer, campaign_id, "cancel")
    take_turns(marketer, campaign_id)
    engine.drain(marketer.tenant_id, "bulk")
    assert addresses(mail_server) == []
    assert {record.status for record in records(marketer, campaign_id)} == {"cancelled"}


@pytest.mark.parametrize("breaks_at", ["write_rows", "_remember", "tallies.add"])
def test_a_turn_that_is_torn_apart_neither_skips_nor_doubles(
    marketer: Persona, engine: Engine, mail_server: Sandbox, monkeypatch: pytest.MonkeyPatch, breaks_at: str
) -> None:
    campaign_id = create(marketer, recipients=people(11))
    act(marketer, campaign_id, "launch")
    one_step(marketer, campaign_id, monkeypatch)

    class Killed(BaseException):
        """Nobody catches it."""

    where: Any = tallies if breaks_at == "tallies.add" else fanout
    name = breaks_at.rpartition(".")[2]
    real = getattr(where, name)

    def torn(*args: object) -> None:
        real(*args)
        raise Killed

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(where, name, torn)
            with pytest.raises(Killed):
                run_turn(marketer.tenant_id, campaign_id)
        assert len(records(marketer, campaign_id)) == len(rows(marketer, campaign_id, state="recorded"))
        one_step(marketer, campaign_id, monkeypatch)
    progress = finish(marketer, campaign_id, engine)
    assert (progress["sent"], progress["recorded"], progress["total"]) == (11, 11, 11)
    assert addresses(mail_server) == sorted(f"person{n}@example.com" for n in range(11))


def test_a_turn_that_raises_is_tried_again_and_at_last_given_up(
    marketer: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign_id = create(marketer)
    act(marketer, campaign_id, "launch")

    def broken(*args: object) -> None:
        raise LookupError("secret@example.com")

    monkeypatch.setattr(turns, "record_some", broken)
    run_turn(marketer.tenant_id, campaign_id)
    campaign = load(marketer, campaign_id)
    assert (campaign.status, campaign.failed_turns) == ("sending", 1)
    assert campaign.problem == "The last turn failed: LookupError"
    assert campaign.next_turn_at is not None
    assert campaign.next_turn_at > timezone.now()
    change(marketer, campaign_id, failed_turns=50, next_turn_at=timezone.now())
    run_turn(marketer.tenant_id, campaign_id)
    take_turns(marketer, campaign_id)
    progress = look(marketer, campaign_id)
    assert (progress["status"], progress["cancelled"], progress["problem"]) == ("failed", 3, "LookupError")


def test_who_comes_second_goes_away(marketer: Persona) -> None:
    campaign_id = create(marketer)
    act(marketer, campaign_id, "launch")
    with tenant_scope(marketer.tenant_id):
        assert locked(campaign_id) is not None
        waits: list[float | None] = []

        def second() -> None:
            try:
                waits.append(run_turn(marketer.tenant_id, campaign_id))
            finally:
                connection.close()

        thread = Thread(target=second)
        thread.start()
        thread.join(timeout=10)
        assert waits == [None]
    assert records(marketer, campaign_id) == []


def test_a_record_that_ended_in_silence_is_found_and_counted(marketer: Persona, engine: Engine) -> None:
    campaign_id = create(marketer, recipients=people(3))
    act(marketer, campaign_id, "launch")
    take_turns(marketer, campaign_id)
    first = records(marketer, campaign_id)[0]
    with tenant_scope(marketer.tenant_id):
        NotificationRecord.objects.filter(id=first.id).update(status="cancelled")
    engine.drain(marketer.tenant_id, "bulk")
    for _ in range(3):  # it is seen to move, to stand still, and looked into
        then = timezone.now() - timedelta(minutes=2)
        change(marketer, campaign_id, next_turn_at=timezone.now(), rate_at=then)
        take_turns(marketer, campaign_id)
        progress = look(marketer, campaign_id)
        change(marketer, campaign_id, proved_at=then)
    assert (progress["status"], progress["sent"], progress["stopped"]) == ("completed", 2, 1)


def test_one_record_that_is_cancelled_by_hand_is_counted(marketer: Persona, engine: Engine) -> None:
    campaign_id = create(marketer)
    act(marketer, campaign_id, "launch")
    take_turns(marketer, campaign_id)
    first = records(marketer, campaign_id)[0]
    assert marketer.client.post(f"/api/notifications/records/{first.id}/cancel/").status_code == 200
    progress = finish(marketer, campaign_id, engine)
    assert (progress["status"], progress["sent"], progress["stopped"]) == ("completed", 2, 1)
