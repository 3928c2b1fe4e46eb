"""Circuits: a provider that keeps failing is left alone, tried with one message, and trusted again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from notification_service.lib import redis as lib_redis
from notification_service.lib.redis import attempt
from notifications.credentials.circuit import FAILURES_TO_OPEN, Circuit, circuits, may_probe, report, reset
from tests.conftest import Persona
from tests.credentials.conftest import CREDENTIALS, body

TENANT = UUID("01a1f945-17a8-70a7-a3c8-1a9deeb10f4a")


@pytest.fixture
def credential_id() -> UUID:
    return uuid4()


def state_of(credential_id: UUID, tenant_id: UUID = TENANT) -> Circuit:
    return circuits(tenant_id, [credential_id])[credential_id]


def fail(credential_id: UUID, times: int = 1, tenant_id: UUID = TENANT) -> None:
    for _ in range(times):
        report(tenant_id, credential_id, good=0, bad=1)


def rest(credential_id: UUID, tenant_id: UUID = TENANT) -> None:
    """Let the time pass for which a circuit is open."""
    key = f"tenant:{tenant_id}:circuit:{credential_id}"
    assert attempt(lambda client: client.hset(key, "open_until", str(time.time() - 1))) == 0, "it was open"


def seconds_open(circuit: Circuit) -> float:
    assert circuit.open_until is not None
    return (circuit.open_until - timezone.now()).total_seconds()


def test_one_that_nobody_heard_of_is_closed(credential_id: UUID) -> None:
    assert state_of(credential_id) == Circuit("closed", 0, None)
    assert circuits(TENANT, []) == {}


def test_failures_in_a_row_open_it(credential_id: UUID) -> None:
    fail(credential_id, FAILURES_TO_OPEN - 1)
    assert state_of(credential_id) == Circuit("closed", FAILURES_TO_OPEN - 1, None)
    fail(credential_id)
    opened = state_of(credential_id)
    assert (opened.state, opened.failures) == ("open", FAILURES_TO_OPEN)
    assert 13 < seconds_open(opened) <= 15


def test_a_success_in_between_starts_the_count_again(credential_id: UUID) -> None:
    fail(credential_id, FAILURES_TO_OPEN - 1)
    report(TENANT, credential_id, good=1, bad=3)  # some of a chunk went through
    fail(credential_id, FAILURES_TO_OPEN - 1)
    assert state_of(credential_id).state == "closed"


def test_nothing_reported_changes_nothing(credential_id: UUID) -> None:
    fail(credential_id, FAILURES_TO_OPEN)
    before = state_of(credential_id)
    report(TENANT, credential_id, good=0, bad=0)
    assert state_of(credential_id) == before


def test_failures_that_come_late_do_not_keep_it_open_for_longer(credential_id: UUID) -> None:
    fail(credential_id, FAILURES_TO_OPEN)
    before = state_of(credential_id).open_until
    fail(credential_id, 3)
    assert state_of(credential_id).open_until == before


def test_after_its_rest_one_caller_may_try(credential_id: UUID) -> None:
    fail(credential_id, FAILURES_TO_OPEN)
    rest(credential_id)
    assert state_of(credential_id).state == "half_open"
    assert [may_probe(TENANT, credential_id) for _ in range(3)] == [True, False, False]


def test_a_success_closes_it(credential_id: UUID) -> None:
    fail(credential_id, FAILURES_TO_OPEN)
    rest(credential_id)
    assert may_probe(TENANT, credential_id)
    report(TENANT, credential_id, good=1, bad=0)
    assert state_of(credential_id) == Circuit("closed", 0, None)
    assert may_probe(TENANT, credential_id), "the place of the one who tries is free again"


def test_each_failure_after_a_rest_opens_it_for_twice_as_long_up_to_five_minutes(credential_id: UUID) -> None:
    fail(credential_id, FAILURES_TO_OPEN)
    waits = [seconds_open(state_of(credential_id))]
    for _ in range(7):
        rest(credential_id)
        assert may_probe(TENANT, credential_id)
        fail(credential_id)
        waits.append(seconds_open(state_of(credential_id)))
    assert waits == pytest.approx([15, 30, 60, 120, 240, 300, 300, 300], abs=2)


def test_each_tenant_and_credential_has_its_own(credential_id: UUID) -> None:
    fail(credential_id, FAILURES_TO_OPEN)
    other = uuid4()
    assert {key: found.state for key, found in circuits(TENANT, [other, credential_id]).items()} == {
        other: "closed",
        credential_id: "open",
    }
    assert state_of(credential_id, uuid4()).state == "closed"


def test_a_reset_closes_it(credential_id: UUID) -> None:
    fail(credential_id, FAILURES_TO_OPEN)
    rest(credential_id)
    assert may_probe(TENANT, credential_id)
    reset(TENANT, credential_id)
    assert state_of(credential_id) == Circuit("closed", 0, None)
    assert may_probe(TENANT, credential_id)


@pytest.fixture
def no_redis(settings: Settings) -> Iterator[None]:
    """Nothing listens where Redis should be."""
    there = settings.REDIS_URL
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    lib_redis.connection.cache_clear()
    yield
    settings.REDIS_URL = there
    lib_redis.connection.cache_clear()
    lib_redis._breaker.succeeded()


def test_without_redis_every_circuit_counts_as_closed(credential_id: UUID, request: pytest.FixtureRequest) -> None:
    fail(credential_id, FAILURES_TO_OPEN)
    request.getfixturevalue("no_redis")
    assert state_of(credential_id) == Circuit("closed", 0, None)
    assert may_probe(TENANT, credential_id)
    fail(credential_id)
    reset(TENANT, credential_id)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", ["put", "patch"])
def test_the_api_shows_it_and_a_change_of_the_credential_closes_it(
    admin: Persona, create: Callable[..., dict[str, Any]], method: str
) -> None:
    made = create()
    assert made["health"] == {"state": "closed", "failures": 0, "open_until": None}
    address, credential_id = f"{CREDENTIALS}{made['id']}/", UUID(made["id"])
    fail(credential_id, FAILURES_TO_OPEN, admin.tenant_id)
    shown = admin.client.get(address).json()["health"]
    assert (shown["state"], shown["failures"]) == ("open", FAILURES_TO_OPEN)
    until = timezone.datetime.fromisoformat(shown["open_until"])
    assert timedelta(seconds=10) < until - timezone.now() <= timedelta(seconds=15)
    assert admin.client.get(CREDENTIALS).json()["results"][0]["health"]["state"] == "open"
    rest(credential_id, admin.tenant_id)
    assert admin.client.get(address).json()["health"]["state"] == "half_open"
    changed = getattr(admin.client, method)(address, body())
    assert changed.status_code == 200, changed.json()
    assert changed.json()["health"] == {"state": "closed", "failures": 0, "open_until": None}
