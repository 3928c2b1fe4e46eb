"""Whatever happens to records, in whatever order: the table of transitions holds, and every record comes to an end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from notification_service.lib.errors import Conflict, NotFound
from notification_service.lib.ids import new_id
from notification_service.lib.scope import tenant_scope
from notifications.credentials.models import Credential
from notifications.providers.base import FailureReason, SendResult
from notifications.records import queue, services
from notifications.records.ends import take_back_lost
from notifications.records.intake import NewRecord, accept
from notifications.records.models import Attempt, NotificationRecord, RecordEvent
from notifications.records.outcomes import decide, hold, refuse, write_outcomes
from notifications.records.queue import Claimed
from notifications.records.states import EDITABLE, FINAL, TRANSITIONS, WAITING, Status
from tenants.callers import Caller, system_caller
from tenants.models import Tenant

RESULTS = [
    SendResult.success(code="250", response="OK"),
    *(SendResult.failure(reason, "no") for reason in FailureReason),
    SendResult.failure(FailureReason.NETWORK_ERROR, "lost", ambiguous=True),
    SendResult.failure(FailureReason.RATE_LIMITED, "slow down", retry_after=900),
    SendResult.failure(FailureReason.PROVIDER_ERROR, "never", retryable=False),
]


class Life(RuleBasedStateMachine):
    """Records of one tenant, with everything that callers, workers and sweepers do to them."""

    tenant: ClassVar[Tenant]
    caller: ClassVar[Caller]

    records = Bundle("records")
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[UUID, Status] = {}
        with tenant_scope(self.tenant.id):
            NotificationRecord.objects.all().delete()
            Attempt.objects.all().delete()
            RecordEvent.objects.all().delete()

    # --- Callers

    @rule(target=records, ahead=st.sampled_from([None, timedelta(hours=1)]))
    def accepted(self, ahead: timedelta | None) -> UUID:
        when = timezone.now() + ahead if ahead else None
        new = NewRecord("email", "ada@example.com", {"subject": "Hi"}, scheduled_at=when)
        with tenant_scope(self.tenant.id):
            record = accept(self.caller, new)
        assert record.status == (Status.SCHEDULED if when else Status.PENDING)
        return record.id

    @rule(record_id=records, ahead=st.sampled_from([None, timedelta(hours=2)]))
    def edited(self, record_id: UUID, ahead: timedelta | None) -> None:
        change = {"recipient": "bob@example.com", "scheduled_at": timezone.now() + ahead if ahead else None}
        self._ask(services.edit_record, record_id, EDITABLE, change)

    @rule(record_id=records)
    def cancelled(self, record_id: UUID) -> None:
        self._ask(services.cancel_record, record_id, WAITING)

    @rule(record_id=records)
    def deleted(self, record_id: UUID) -> None:
        self._ask(services.delete_record, record_id, frozenset(Status))

    @rule(target=records, record_id=records)
    def resent(self, record_id: UUID) -> UUID:
        new = self._ask(services.resend_record, record_id, FINAL)
        return new.id if new else record_id

    def _ask(self, verb: Callable[..., Any], record_id: UUID, allowed: frozenset[Status], *arguments: Any) -> Any:
        """Do it; it is refused exactly when the status does not allow it, and never for what is deleted."""
        with tenant_scope(self.tenant.id):
            record = NotificationRecord.objects.get(id=record_id)
        try:
            with tenant_scope(self.tenant.id):
                done = verb(self.caller, record_id, *arguments)
        except NotFound:
            assert record.deleted_at is not None
        except Conflict:
            assert record.status not in allowed
        else:
            assert record.deleted_at is None
            assert record.status in allowed
            return done
        return None

    # --- Workers

    @rule(target=held, limit=st.integers(1, 3))
    def claimed(self, limit: int) -> list[Claimed]:
        with tenant_scope(self.tenant.id):
            return queue.claim(self.tenant.id, "normal", token=new_id(), limit=limit)

    @rule(chunk=consumes(held), result=st.sampled_from(RESULTS), again=st.booleans())
    def answered(self, chunk: list[Claimed], result: SendResult, again: bool) -> None:
        now = timezone.now()
        outcomes = [
            decide(each, result, provider="smtp", credential_id=None, started_at=now, now=now) for each in chunk
        ]
        self._write(outcomes)
        if again:  # a worker that repeats itself
            assert self._write(outcomes) == 0

    @rule(chunk=consumes(held))
    def held_back(self, chunk: list[Claimed]) -> None:
        self._write([hold(each, response="no credential", now=timezone.now()) for each in chunk])

    @rule(chunk=consumes(held))
    def refused(self, chunk: list[Claimed]) -> None:
        self._write([refuse(each, FailureReason.EXPIRED, "too late", now=timezone.now()) for each in chunk])

    def _write(self, outcomes: list[Any]) -> int:
        if not outcomes:
            return 0
        with tenant_scope(self.tenant.id):
            return len(write_outcomes(self.tenant.id, outcomes))

    # --- Time, and the sweeper

    @rule()
    def time_passes(self) -> None:
        with tenant_scope(self.tenant.id):
            NotificationRecord.objects.filter(status__in=WAITING).update(due_at=timezone.now())

    @rule()
    def workers_are_lost(self) -> None:
        with tenant_scope(self.tenant.id):
            NotificationRecord.objects.filter(status=Status.SENDING).update(
                lease_until=timezone.now() - timedelta(seconds=1)
            )
        take_back_lost()

    # --- What always holds

    @invariant()
    def only_moves_of_the_table_happen(self) -> None:
        with tenant_scope(self.tenant.id):
            now = {record.id: Status(record.status) for record in NotificationRecord.objects.all()}
        assert now.keys() >= self.seen.keys()
        for record_id, status in now.items():
            before = self.seen.get(record_id, Status.PENDING if status != Status.SCHEDULED else status)
            assert status == before or status in TRANSITIONS[before], f"{before} became {status}"
        self.seen = now

    @invariant()
    def counts_agree(self) -> None:
        with tenant_scope(self.tenant.id):
            records = list(NotificationRecord.objects.all())
            attempts: dict[UUID, list[Attempt]] = defaultdict(list)
            for attempt in Attempt.objects.order_by("id"):
                attempts[attempt.record_id].append(attempt)
            lost: dict[UUID, list[int]] = defaultdict(list)
            for event in RecordEvent.objects.filter(kind="worker_lost"):
                lost[event.record_id].append(event.detail["attempt"])
        for record in records:
            sending = record.status == Status.SENDING
            numbers = [attempt.number for attempt in attempts[record.id]]
            assert numbers == sorted(set(numbers))
            # Each try either has its outcome, or its worker was lost, or is under way: no number twice, none left out.
            assert sorted(numbers + lost[record.id]) == list(range(1, record.attempt_count + (not sending)))
            assert record.retry_count == sum(attempt.outcome == "retrying" for attempt in attempts[record.id])
            assert record.retry_count <= record.max_retries
            assert record.lost_count == len(lost[record.id]) <= queue.LOST_LIMIT
            assert (record.lease_token is not None) == (record.lease_until is not None) == sending
            if record.status == Status.SUCCESS:
                assert record.sent_at is not None
                assert attempts[record.id][-1].outcome == "success"

    def teardown(self) -> None:
        """After enough steps every record has its end."""
        for _ in range(3 + 1 + queue.LOST_LIMIT):
            self.workers_are_lost()
            self.only_moves_of_the_table_happen()
            self.time_passes()
            with tenant_scope(self.tenant.id):
                chunk = queue.claim(self.tenant.id, "normal", token=new_id(), limit=1000)
            self.only_moves_of_the_table_happen()
            self.answered(chunk, RESULTS[2], False)
            self.only_moves_of_the_table_happen()
        self.counts_agree()
        assert set(self.seen.values()) <= FINAL


@pytest.mark.django_db(transaction=True)
def test_the_life_of_records(tenant: Tenant, credential: Credential) -> None:
    Life.tenant, Life.caller = tenant, system_caller(tenant.id, "test")
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=30,
            stateful_step_count=15,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
