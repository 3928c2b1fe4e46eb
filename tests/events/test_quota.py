"""Plans limit events: a clear refusal at the doors, a dead letter from Kafka, and nothing lost."""

from __future__ import annotations

from typing import Any

import pytest

from notification_service.lib.rate_limit import Limit
from tenants import limits
from tenants.limits import PlanLimits, count_events, events_left
from tests.conftest import Persona
from tests.events.conftest import ASSIGNED, EVENTS, events, send
from tests.events.kafka_client import Kafka
from tests.events.test_kafka import DEAD, letters, structured

pytestmark = pytest.mark.django_db(transaction=True)


def allow(monkeypatch: pytest.MonkeyPatch, who: Persona, *, at_once: int = 1000, a_month: int | None = None) -> None:
    plan = PlanLimits(Limit(1000, 10.0), None, Limit(at_once, 3600.0), a_month)
    monkeypatch.setattr(limits, "PLAN_LIMITS", dict.fromkeys(limits.PLAN_LIMITS, plan))
    limits.forget(who.tenant_id)


def test_a_batch_is_taken_in_as_far_as_the_rate_goes(sender: Persona, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, sender, at_once=3)
    batch = [{**ASSIGNED, "clientEventId": f"e{number}"} for number in range(5)]
    answer = sender.client.post(f"{EVENTS}/batch", {"events": batch}).json()
    results: list[dict[str, Any]] = answer["results"]
    assert [each["status"] for each in results] == ["accepted"] * 3 + ["refused"] * 2
    assert {each["code"] for each in results[3:]} == {"throttled"}
    refused = sender.client.post(EVENTS, ASSIGNED)
    assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
    assert 0 < int(refused["Retry-After"]) <= 1200
    assert len(events(sender)) == 3


def test_a_month_has_so_many_events_and_repetitions_are_none(
    sender: Persona, stranger: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, sender, a_month=2)
    for _ in range(3):
        send(sender, clientEventId="same")
    assert events_left(sender.tenant_id, "live") == 1
    send(sender, clientEventId="other")
    refused = sender.client.post(EVENTS, ASSIGNED)
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    assert "quota of events" in refused.json()["detail"]
    assert len(events(sender)) == 2
    assert events_left(stranger.tenant_id, "live") == 2, "each tenant has its own"


def test_events_of_kafka_beyond_the_month_are_kept_as_dead_letters(
    sender: Persona, stranger: Persona, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, sender, a_month=4)
    kafka.publish(*(structured(sender, n, event_id=f"e{n}") for n in range(3)), partition=0)
    reader = kafka.consumer()
    kafka.drain(reader, 3)
    again = [structured(sender, n, event_id=f"e{n}") for n in range(6)]
    kafka.publish(*again, structured(stranger), partition=0)
    kafka.drain(reader, 7)
    assert [event.client_event_id for event in events(sender)] == ["e0", "e1", "e2", "e3"]
    assert len(events(stranger)) == 1, "nobody else waits"
    buried = letters()
    assert [(letter.code, letter.tenant_id) for letter in buried] == [("quota_exceeded", sender.tenant_id)] * 2
    refused = sender.client.post(f"{DEAD}/{buried[0].id}/replay")
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    allow(monkeypatch, sender, a_month=100)
    assert sender.client.post(f"{DEAD}/{buried[0].id}/replay").status_code == 200
    assert [event.client_event_id for event in events(sender)][-1] == "e4"


def test_test_traffic_has_a_rate_and_no_month(sender: Persona, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, sender, a_month=1)
    count_events(sender.tenant_id, "live", 5)
    assert events_left(sender.tenant_id, "live") == 0
    assert events_left(sender.tenant_id, "test") is None
