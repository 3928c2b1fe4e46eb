"""What was accepted is sent, whatever dies in between."""

from __future__ import annotations

import os
import signal
from uuid import uuid4

import pytest

from tests.running_service import RunningService, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]


@pytest.fixture
def domain() -> str:
    return f"{uuid4().hex}.example"


def test_what_is_accepted_while_redis_is_down_goes_out_when_it_is_back(service: RunningService, domain: str) -> None:
    service.stop("redis")
    try:
        answers = [service.send(f"r{number}@{domain}") for number in range(10)]
        assert [answer.status for answer in answers] == [201] * 10
        health = service.call("GET", "/api/notifications/health/", token=None)
        assert health.status == 503
        assert "redis" in health.body["failing"]
    finally:
        service.start("redis")
    assert service.wait_for_ends([answer.body["id"] for answer in answers], 60) == ["success"] * 10
    assert sorted(mail["to"] for mail in service.caught(q=domain)) == sorted(f"r{n}@{domain}" for n in range(10))
    wait_until(lambda: service.call("GET", "/api/notifications/health/", token=None).status == 200, 60)


def test_a_killed_worker_loses_nothing(service: RunningService, domain: str) -> None:
    recipients = [f"slow+0.05@n{number}.{domain}" for number in range(200)]
    answers = service.send_many(recipients[:100])
    os.kill(service.pid("worker"), signal.SIGKILL)
    answers += service.send_many(recipients[100:])
    assert {answer.status for answer in answers} == {201}
    assert service.wait_for_ends([answer.body["id"] for answer in answers], 90) == ["success"] * 200
    caught = [mail["to"] for mail in service.caught(q=domain)]
    assert set(caught) == set(recipients), "nothing is lost"
    # What was between the provider's answer and our note of it when the worker died is sent again, and nothing else.
    assert len(caught) - len(set(caught)) <= 100


def test_the_database_restarts(service: RunningService, domain: str) -> None:
    os.kill(service.pid("postgres"), signal.SIGKILL)
    answers = [service.send(f"before{number}@{domain}") for number in range(3)]
    assert all(answer.status in (201, 500, 503) for answer in answers)
    wait_until(lambda: service.send(f"after@{domain}").status == 201, 60, every=0.5)
    accepted = [answer.body["id"] for answer in answers if answer.status == 201]
    assert set(service.wait_for_ends(accepted, 60)) <= {"success"}
    wait_until(lambda: bool(service.caught(to=f"after@{domain}")), 60, every=0.5)
