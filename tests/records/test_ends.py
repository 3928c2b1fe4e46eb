"""Ends that no attempt came to are heard of like all others: in their transaction, with no tries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from notification_service.lib.ids import new_id
from notification_service.lib.scope import current_tenant_id, tenant_scope
from notifications.recipients.models import SuppressionReason
from notifications.recipients.suppressions import NewSuppression, suppress
from notifications.records import hooks, queue
from notifications.records.bulk import Row, Shared, write_rows
from notifications.records.ends import take_back_lost
from notifications.records.outcomes import Outcome
from tenants.models import Tenant
from tests.conftest import Persona
from tests.records.conftest import EXAMPLE, RECORDS, change, example, load

pytestmark = pytest.mark.django_db(transaction=True)

Heard = list[Outcome]


@pytest.fixture
def heard() -> Iterator[Heard]:
    """Everything that was announced."""
    found: Heard = []
    before = list(hooks._callbacks)

    def listen(outcomes: Sequence[Outcome]) -> None:
        assert connection.in_atomic_block
        assert {outcome.claimed.tenant_id for outcome in outcomes} == {current_tenant_id()}
        found.extend(outcomes)

    hooks.on_outcomes(listen)
    yield found
    hooks._callbacks[:] = before


def told(heard: Heard) -> list[tuple[UUID, str, str, int]]:
    return [(one.claimed.id, str(one.status), str(one.result.reason or ""), len(one.tries)) for one in heard]


def bar(tenant: Tenant, address: str) -> None:
    with tenant_scope(tenant.id):
        suppress([NewSuppression("email", address, SuppressionReason.MANUAL)], by="test")


def in_sending(tenant: Tenant, record_id: UUID, **fields: object) -> None:
    past = timezone.now() - timedelta(seconds=1)
    change(tenant, record_id, status="sending", lease_token=new_id(), lease_until=past, **fields)


def post(persona: Persona, **changes: object) -> UUID:
    return UUID(persona.client.post(RECORDS, example(**changes)).json()["id"])


def test_suppressed_at_intake(sender: Persona, heard: Heard) -> None:
    bar(sender.tenant, "eve@example.com")
    post(sender)
    record_id = post(sender, recipient="eve@example.com", metadata={"category": "news"})
    assert told(heard) == [(record_id, "suppressed", "suppressed", 0)]
    assert (heard[0].result.response, heard[0].claimed.category) == ("manual", "news")


def test_cancelled_and_deleted(sender: Persona, heard: Heard) -> None:
    cancelled, deleted, finished = post(sender), post(sender), post(sender)
    change(sender.tenant, finished, status="success")
    sender.client.post(f"{RECORDS}{cancelled}/cancel/")
    for record_id in (deleted, finished):
        assert sender.client.delete(f"{RECORDS}{record_id}/").status_code == 204
    assert told(heard) == [(cancelled, "cancelled", "", 0), (deleted, "cancelled", "", 0)]


def test_lost_too_often(sender: Persona, heard: Heard) -> None:
    once, often = post(sender), post(sender)
    in_sending(sender.tenant, once)
    in_sending(sender.tenant, often, lost_count=queue.LOST_LIMIT - 1)
    assert take_back_lost() == 2
    assert told(heard) == [(often, "failed", "unknown_error", 0)]
    assert load(sender.tenant, once).status == "retrying"


def test_a_listener_that_raises_keeps_one_tenants_records_for_the_next_sweep(
    sender: Persona, stranger: Persona, make_credential: Callable[..., object], heard: Heard
) -> None:
    make_credential(stranger.tenant)
    ours, theirs = post(sender), post(stranger)
    for persona, record_id in ((sender, ours), (stranger, theirs)):
        in_sending(persona.tenant, record_id, lost_count=queue.LOST_LIMIT - 1)

    def break_down(outcomes: Sequence[Outcome]) -> None:
        if outcomes[0].claimed.tenant_id == sender.tenant_id:
            raise KeyError("a bug in a room above")

    hooks.on_outcomes(break_down)
    assert take_back_lost() == 1
    assert (load(sender.tenant, ours).status, load(stranger.tenant, theirs).status) == ("sending", "failed")
    hooks._callbacks.remove(break_down)
    assert take_back_lost() == 1
    assert load(sender.tenant, ours).status == "failed"


@pytest.mark.parametrize("batch_id", [None, UUID(int=7)], ids=["alone", "of a batch"])
def test_rows_by_the_thousand(sender: Persona, heard: Heard, batch_id: UUID | None) -> None:
    bar(sender.tenant, "eve@example.com")
    now = timezone.now()
    shared = Shared("email", now, now + timedelta(hours=1), content=EXAMPLE["content"], batch_id=batch_id)
    rows = [
        Row(new_id(), "ada@example.com"),
        Row(new_id(), "eve@example.com"),
        Row(new_id(), "bob@example.com", withheld="frequency cap"),
    ]
    with tenant_scope(sender.tenant_id):
        written = write_rows(shared, rows)
        assert write_rows(shared, rows).suppressed == 0
    assert (written.recorded, written.suppressed) == (1, 2)
    expected = {(row.id, "suppressed", "suppressed", 0) for row in rows[1:]}
    assert set(told(heard)) == (expected if batch_id is None else set())
