"""Redis when it is there, when it is not, and when it is back: limits, heartbeats and the breaker."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis
from pytest_django.fixtures import Settings

from notification_service.lib import rate_limit
from notification_service.lib import redis as lib_redis
from notification_service.lib.heartbeat import beat, silence
from notification_service.lib.rate_limit import Limit, peek, take
from notification_service.lib.redis import RedisUnavailable, attempt
from tests.clock import Jump
from tests.sandbox.conftest import wait_until


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


@pytest.fixture(params=["redis", "memory"])
def where(request: pytest.FixtureRequest) -> str:
    """Limits are kept in Redis, and in the process's memory while Redis is away: the same in both."""
    if request.param == "memory":
        request.getfixturevalue("no_redis")
    rate_limit._memory.clear()
    return str(request.param)


def test_as_much_at_once_as_the_bucket_holds(where: str) -> None:
    limit = Limit(capacity=3, seconds=60)
    assert [take("a", limit).allowed for _ in range(4)] == [True, True, True, False]
    assert 19 < take("a", limit).retry_after <= 20
    assert take("b", limit).allowed


def test_it_fills_again_evenly(where: str) -> None:
    limit = Limit(capacity=20, seconds=10)
    assert take("a", limit, cost=20).allowed
    refused = take("a", limit, cost=2)
    assert not refused.allowed
    assert 0 < refused.retry_after <= 1
    wait_until(lambda: take("a", limit, cost=2).allowed, seconds=9)


def test_a_refusal_takes_nothing_and_a_peek_neither(where: str) -> None:
    limit = Limit(capacity=5, seconds=60)
    assert not take("a", limit, cost=6).allowed
    assert all(peek("a", limit).allowed for _ in range(10))
    assert take("a", limit, cost=5).allowed
    assert not peek("a", limit).allowed


def test_memory_does_not_grow_for_ever(no_redis: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "_MEMORY_BUCKETS", 10)
    for n in range(50):
        take(f"key {n}", Limit(1, 60))
    assert len(rate_limit._memory) <= 12


def test_buckets_are_forgotten_by_redis() -> None:
    take("a", Limit(capacity=5, seconds=2))
    assert 0 < attempt(lambda client: client.pttl("limit:a")) <= 3000  # type: ignore[operator]


def test_while_redis_is_away_callers_hear_so_at_once(no_redis: None) -> None:
    calls: list[object] = []
    for _ in range(20):
        with pytest.raises(RedisUnavailable):
            attempt(lambda client: calls.append(client) or client.ping())  # type: ignore[func-returns-value]
    assert len(calls) == 1  # the breaker keeps the others from trying


def test_one_caller_tries_for_all_and_success_closes_the_breaker(jump: Jump) -> None:
    breaker = lib_redis._Breaker(rest=60)
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    jump(61)
    assert breaker.allows()
    assert not breaker.allows()
    breaker.succeeded()
    assert [breaker.allows(), breaker.allows()] == [True, True]


def test_errors_that_are_our_own_are_not_hidden() -> None:
    attempt(lambda client: client.set("text", "x"))
    with pytest.raises(Exception, match="WRONGTYPE"):
        attempt(lambda client: client.lpush("text", "y"))
    assert attempt(lambda client: client.get("text")) == "x"


def test_heartbeats() -> None:
    assert silence("somebody") is None
    beat("somebody")
    heard = silence("somebody")
    assert heard is not None
    assert 0 <= heard < 5
    attempt(lambda client: client.set("heartbeat:somebody", repr(time.time() - 90)))
    assert 89 < (silence("somebody") or 0) < 95


def test_a_heartbeat_without_redis_harms_nobody(no_redis: None) -> None:
    beat("somebody")
    with pytest.raises(redis.RedisError):
        silence("somebody")
