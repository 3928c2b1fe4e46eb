"""Whoever listens hears every outcome once, in the transaction that wrote it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from notification_service.lib.scope import current_tenant_id
from notifications.records import hooks
from notifications.records.engine import Engine
from notifications.records.models import RecordEvent
from notifications.records.outcomes import Outcome
from tests.conftest import Persona
from tests.records.conftest import attempts_of, change, load
from tests.sandbox.conftest import Sandbox, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Post = Callable[..., UUID]


@pytest.fixture
def listen() -> Iterator[Callable[[hooks.OnOutcomes], None]]:
    """Subscribe for the length of a test."""
    before = list(hooks._callbacks)

    def subscribe(callback: hooks.OnOutcomes) -> None:
        hooks.on_outcomes(callback)

    yield subscribe
    hooks._callbacks[:] = before


def test_a_batch_of_outcomes_in_its_transaction(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox, listen: Callable[[hooks.OnOutcomes], None]
) -> None:
    heard: list[tuple[UUID, str]] = []

    def callback(outcomes: Sequence[Outcome]) -> None:
        assert connection.in_atomic_block
        assert current_tenant_id() == admin.tenant_id
        heard.extend(
            (told.claimed.id, f"{told.status}/{load(admin.tenant, told.claimed.id).status}") for told in outcomes
        )

    listen(callback)
    good, bad = posted(), posted(recipient="fail-permanent@example.com")
    engine.drain(admin.tenant_id, "normal")
    assert sorted(heard) == sorted([(good, "success/success"), (bad, "failed/failed")])


@pytest.mark.parametrize("error", [RuntimeError("a bug in a room above"), KeyError("name")])
def test_what_a_listener_raises_undoes_the_outcomes_and_they_are_tried_again(
    admin: Persona,
    posted: Post,
    engine: Engine,
    mail_server: Sandbox,
    listen: Callable[[hooks.OnOutcomes], None],
    error: Exception,
) -> None:
    calls: list[str] = []

    def callback(outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            RecordEvent.objects.create(
                tenant_id=admin.tenant_id,
                record_id=outcome.claimed.id,
                kind="heard",
                created_at=outcome.tries[-1].finished_at,
            )
        calls.append(load(admin.tenant, outcomes[0].claimed.id).status)
        if len(calls) == 1:
            raise error

    listen(callback)
    record_id = posted()
    assert engine.drain(admin.tenant_id, "normal") == 1
    record = load(admin.tenant, record_id)
    assert (record.status, record.attempt_count, calls) == ("success", 1, ["success", "success"])
    assert [each.number for each in attempts_of(admin.tenant, record_id)] == [1]
    story = admin.client.get(f"/api/notifications/records/{record_id}/timeline/").json()["timeline"]
    assert [step["event"] for step in story].count("heard") == 1
    assert len(mail_server.messages()) == 1  # writing is tried again, sending is not


def test_a_listener_that_never_stops_raising_holds_nobody_for_ever(
    admin: Persona,
    posted: Post,
    engine: Engine,
    mail_server: Sandbox,
    settings: Settings,
    listen: Callable[[hooks.OnOutcomes], None],
) -> None:
    settings.LEASE_SECONDS = 1

    def callback(outcomes: Sequence[Outcome]) -> None:
        raise RuntimeError("always")

    listen(callback)
    record_id = posted()
    assert engine.drain(admin.tenant_id, "normal") == 1
    record = load(admin.tenant, record_id)
    assert (record.status, attempts_of(admin.tenant, record_id)) == ("sending", [])
    assert record.lease_until is not None  # it runs out, and the sweeper takes the record back


def test_an_outcome_that_does_not_count_is_not_told(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox, listen: Callable[[hooks.OnOutcomes], None]
) -> None:
    heard: list[UUID] = []
    listen(lambda outcomes: heard.extend(outcome.claimed.id for outcome in outcomes))
    record_id = posted(recipient="slow+4@example.com")
    sending = threading.Thread(target=engine.drain, args=(admin.tenant_id, "normal"))
    sending.start()
    wait_until(lambda: load(admin.tenant, record_id).status == "sending")
    change(admin.tenant, record_id, status="failed", lease_token=None)
    sending.join(timeout=10)
    assert heard == []
