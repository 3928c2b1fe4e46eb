"""Without Redis everything is accepted, and goes out when it is back; ``tests/faults/`` kills the rest."""

from __future__ import annotations

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
