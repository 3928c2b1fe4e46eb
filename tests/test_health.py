"""Is it alive, and does every part of it work?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.db import connection
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from notification_service import health
from notification_service.lib import redis as lib_redis
from notification_service.lib.heartbeat import beat
from notification_service.lib.partitions import ensure_partitions
from notification_service.lib.redis import attempt

HEALTH = "/api/notifications/health/"
# The checks run in threads of their own, with connections of their own.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client() -> APIClient:
    return APIClient()


@pytest.fixture
def everybody_lives() -> None:
    beat("worker")
    beat("beat")


def test_liveness_asks_no_other_part(client: APIClient, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    for address in ("/health", "/health/"):
        answer = client.get(address)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_everything_works(client: APIClient, everybody_lives: None) -> None:
    answer = client.get(HEALTH)
    body = answer.json()
    assert answer.status_code == 200, body
    assert (body["status"], body["failing"]) == ("ok", [])
    assert body["parts"].keys() == {"database", "redis", "worker", "beat", "partitions"}
    assert all(part["ok"] for part in body["parts"].values())


def test_an_expired_token_is_no_reason_to_be_unwell(client: APIClient, everybody_lives: None) -> None:
    client.credentials(HTTP_AUTHORIZATION="Bearer nonsense")
    assert client.get(HEALTH).status_code == 200


@pytest.mark.parametrize(("silent", "other"), [("worker", "beat"), ("beat", "worker")])
def test_a_part_that_was_never_heard_of(client: APIClient, silent: str, other: str) -> None:
    beat(other)
    answer = client.get(HEALTH)
    body = answer.json()
    assert (answer.status_code, body["code"], body["failing"]) == (503, "unhealthy", [silent])
    assert silent in body["detail"]
    assert body["parts"][silent] == {"ok": False, "detail": "never heard of"}


@pytest.mark.parametrize("silent", ["worker", "beat"])
def test_a_part_that_fell_silent(client: APIClient, everybody_lives: None, silent: str) -> None:
    attempt(lambda redis: redis.set(f"heartbeat:{silent}", repr(time.time() - 120)))
    body = client.get(HEALTH).json()
    assert body["failing"] == [silent]
    assert body["parts"][silent]["detail"].startswith("not heard of for 12")


@pytest.fixture
def no_redis(settings: Settings) -> Iterator[None]:
    there = settings.REDIS_URL
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    lib_redis.connection.cache_clear()
    yield
    settings.REDIS_URL = there
    lib_redis.connection.cache_clear()
    lib_redis._breaker.succeeded()


def test_redis_is_away(client: APIClient, no_redis: None) -> None:
    answer = client.get(HEALTH)
    body = answer.json()
    assert answer.status_code == 503
    assert "redis" in body["failing"]
    assert body["parts"]["database"]["ok"]
    assert "127.0.0.1" not in str(body)  # what is inside is nobody's business


def test_partitions_that_end_soon(client: APIClient, everybody_lives: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the housekeeping had not run for months."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'attempt'::regclass")
        names = sorted(row[0] for row in cursor.fetchall())
        this_month = f"attempt_{datetime.now(UTC):%Y_%m}"
        later = [name for name in names if name > this_month]
        for name in later:
            cursor.execute(f"ALTER TABLE attempt DETACH PARTITION {name}")
    monkeypatch.setattr(health, "_PARTITIONS_AHEAD_DAYS", 32)
    try:
        body = client.get(HEALTH).json()
        assert body["failing"] == ["partitions"]
        assert "attempt" in body["parts"]["partitions"]["detail"]
    finally:
        with connection.cursor() as cursor:
            for name in later:
                cursor.execute(f"DROP TABLE {name}")
        ensure_partitions(["attempt"], now=datetime.now(UTC))
