"""``/metrics``: for operators only, in a form that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from notification_service.lib import redis as lib_redis
from notification_service.lib.heartbeat import beat
from notification_service.lib.redis import attempt
from notifications.credentials import circuit
from notifications.credentials.models import Credential
from notifications.records.engine import Engine
from tenants.models import Tenant
from tests.conftest import Persona
from tests.records.conftest import change, engine, mail_program, mail_server, make_credential, posted

__all__ = ["engine", "mail_program", "mail_server", "make_credential", "posted"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)

Labels = frozenset[tuple[str, str]]
Scrape = Callable[[], dict[tuple[str, Labels], float]]
TOKEN = "scrape-me-" + "x" * 32


@pytest.fixture
def scrape(settings: Settings) -> Scrape:
    """Read the metrics as Prometheus does."""
    settings.METRICS_TOKEN = TOKEN

    def read() -> dict[tuple[str, Labels], float]:
        answer = APIClient().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(answer.content.decode())
            for sample in family.samples
        }

    return read


def key(name: str, **labels: str) -> tuple[str, Labels]:
    return f"notifications_{name}", frozenset(labels.items())


@pytest.mark.parametrize("shown", ["", "Bearer ", "Bearer wrong", TOKEN, "Basic " + TOKEN, "Bearer " + TOKEN + "é"])
def test_whoever_does_not_show_the_token_finds_nothing(settings: Settings, shown: str) -> None:
    settings.DEBUG = False
    for token in (TOKEN, ""):
        settings.METRICS_TOKEN = token
        answer = APIClient().get("/metrics", headers={"Authorization": shown} if shown else {})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("debug", "address", "status"),
    [(True, "127.0.0.1", 200), (True, "::1", 200), (True, "203.0.113.7", 404), (False, "127.0.0.1", 404)],
)
def test_this_machine_in_development(settings: Settings, debug: bool, address: str, status: int) -> None:
    settings.DEBUG = debug
    assert APIClient().get("/metrics", REMOTE_ADDR=address).status_code == status


def test_any_accept_header_will_do(settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN
    for accept in ("text/plain", "application/openmetrics-text; version=1.0.0", "application/json"):
        answer = APIClient().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}", "Accept": accept})
        assert answer.status_code == 200
        assert answer["Content-Type"].startswith("text/plain; version=0.0.4")


def test_what_is_due(admin: Persona, posted: Callable[..., UUID], scrape: Scrape) -> None:
    ids = [posted(lane="bulk"), posted(lane="bulk"), posted()]
    change(admin.tenant, ids[0], due_at=timezone.now() - timedelta(seconds=100))
    found = scrape()
    assert {lane: found[key("due_records", lane=lane)] for lane in ("critical", "normal", "bulk")} == {
        "critical": 0,
        "normal": 1,
        "bulk": 2,
    }
    assert 100 <= found[key("oldest_due_seconds", lane="bulk")] < 130
    assert found[key("oldest_due_seconds", lane="critical")] == 0


def test_what_became_of_them(
    admin: Persona,
    posted: Callable[..., UUID],
    engine: Engine,
    scrape: Scrape,
) -> None:
    this_month = key("accepted_total", month=f"{timezone.now():%Y-%m}")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")  # what earlier tests have left behind
    before = scrape()[this_month]
    for recipient in ("ada@example.com", "eve@example.com", "fail-permanent@example.com"):
        posted(recipient=recipient)
    engine.drain(admin.tenant_id, "normal")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
    found = scrape()
    assert found[key("outcomes_total", channel="email", status="success", reason="")] == 2
    failed = [value for (name, labels), value in found.items() if ("status", "failed") in labels]
    assert failed == [1]
    assert found[this_month] >= before + 3  # sessions of earlier tests may only now tell of their rows


def test_circuits(tenant: Tenant, make_credential: Callable[..., Credential], scrape: Scrape) -> None:
    credential = make_credential(tenant)
    assert (scrape()[key("circuits", state="closed")], scrape()[key("circuits", state="open")]) == (1, 0)
    circuit.report(tenant.id, credential.id, good=0, bad=circuit.FAILURES_TO_OPEN)
    assert (scrape()[key("circuits", state="closed")], scrape()[key("circuits", state="open")]) == (0, 1)


def test_heartbeats_and_partitions(scrape: Scrape) -> None:
    beat("worker")
    found = scrape()
    assert found[key("heartbeat_silence_seconds", part="worker")] < 5
    assert found[key("heartbeat_silence_seconds", part="beat")] == float("inf")
    assert found[key("partitions_left_days", table="attempt")] > 60


@pytest.fixture
def no_redis(settings: Settings) -> Iterator[None]:
    there = settings.REDIS_URL
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    lib_redis.connection.cache_clear()
    yield
    settings.REDIS_URL = there
    lib_redis.connection.cache_clear()
    lib_redis._breaker.succeeded()


def test_redis_is_away(no_redis: None, scrape: Scrape) -> None:
    found = scrape()
    assert (found[key("source_up", source="redis")], found[key("source_up", source="database")]) == (0, 1)
    assert key("due_records", lane="bulk") in found
    assert not [name for name, _ in found if "heartbeat" in name]


def test_both_are_there(scrape: Scrape) -> None:
    attempt(lambda client: client.ping())
    found = scrape()
    assert (found[key("source_up", source="redis")], found[key("source_up", source="database")]) == (1, 1)
