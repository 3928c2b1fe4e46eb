"""Processes die in the middle of events: what they came to is done once, whatever was half done.

A lock of ours stops a process at a known point of its transaction; there it is killed. Its session at the database
lives on until the lock is gone, as it would: the next process must not be misled by it.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from confluent_kafka import Producer

from notification_service.local.environment import local_setup
from tests.running_service import RunningService, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("faults")]

#: Seconds. A token in the queue of a worker that died is believed to be under way for thirty of them.
_PATIENCE = 60
_DUE = "UPDATE rule_step SET due_at = now() WHERE event_id = %s AND status = 'waiting' RETURNING id"
_STUCK = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ILIKE %s"


@pytest.fixture
def look(service: RunningService) -> Iterator[Callable[..., Any]]:
    """Ask the database for one value, past all walls."""
    postgres = local_setup(service.root, {}).postgres
    assert postgres is not None
    with psycopg.connect(postgres.superuser_url, autocommit=True) as connection:

        def look(query: str, *parameters: Any) -> Any:
            row = connection.execute(query, parameters).fetchone()  # type: ignore[arg-type]
            return row and row[0]

        yield look


@pytest.fixture
def stuck(service: RunningService, look: Callable[..., Any]) -> Callable[..., Any]:
    """Hold a lock, do what brings a statement like this to it, and wait for that; the body of ``with`` kills."""
    postgres = local_setup(service.root, {}).postgres
    assert postgres is not None

    @contextmanager
    def stuck(lock: str, *parameters: Any, at: str, then: Callable[[], Any]) -> Iterator[None]:
        with psycopg.connect(postgres.superuser_url) as connection:
            connection.execute(lock, parameters)  # type: ignore[arg-type]
            then()
            wait_until(lambda: look(_STUCK, at) > 0, _PATIENCE)
            yield
            assert look(_STUCK, at) > 0, "it died there"
            connection.rollback()

    return stuck


def kill_all(service: RunningService, *names: str) -> None:
    """Kill services with the processes that they started, at once."""
    pids = []
    for name in names:
        parent = service.pid(name)
        pids += [parent, *map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids), 10)


def make_rule(service: RunningService, kind: str, **fields: Any) -> None:
    body = {"name": kind, "condition": "amount > 0", "eventTypes": [kind], **fields}
    answer = service.call("POST", "/api/v1/rules", body)
    assert answer.status == 201, answer.body


def happen(service: RunningService, kind: str, **payload: Any) -> str:
    answer = service.call("POST", "/api/v1/events", {"type": kind, "payload": {"amount": 1, **payload}})
    assert answer.status == 201, answer.body
    return str(answer.body["id"])


@pytest.mark.timeout(200)
def test_a_worker_is_killed_in_the_middle_of_a_digest(
    service: RunningService, domain: str, look: Callable[..., Any], stuck: Callable[..., Any]
) -> None:
    kind, address = f"digest.{uuid4().hex[:8]}", f"ada@{domain}"
    words = {"subject": "{{count}} payments", "text": "{{events.0.amount}}, {{events.1.amount}}, {{events.2.amount}}"}
    digest = {"key": "{{email}}", "seconds": 3600}
    make_rule(service, kind, channels=["email"], digest=digest, templates={"email": words})
    first, *_ = [happen(service, kind, email=address, amount=amount) for amount in (11, 12, 13)]
    collected = "SELECT (state->>'count')::int FROM rule_step WHERE event_id = %s AND status = 'waiting'"
    wait_until(lambda: look(collected, first) == 3, _PATIENCE)
    # Its message is written and the step is not yet done when it stops at the event's story.
    due = partial(look, _DUE, first)
    with stuck("SELECT 1 FROM event WHERE id = %s FOR UPDATE", first, then=due, at='%FROM "event"%FOR UPDATE%'):
        kill_all(service, "worker", "beat")
    wait_until(lambda: bool(service.caught(to=address)), _PATIENCE, every=0.2)
    (mail,) = service.caught(to=address)
    assert mail["subject"] == "3 payments"
    assert "11, 12, 13" in json.dumps(mail)
    assert look("SELECT count(*) FROM rule_step WHERE event_id = %s AND status <> 'done'", first) == 0
    assert look("SELECT count(*) FROM notification_record WHERE recipient = %s", address) == 1


@pytest.mark.timeout(200)
def test_a_worker_is_killed_in_the_middle_of_an_escalation(
    service: RunningService, look: Callable[..., Any], stuck: Callable[..., Any]
) -> None:
    kind, phone = f"escalation.{uuid4().hex[:8]}", f"+3538{uuid4().int % 10**8:08d}"
    levels = [{"after_seconds": 3600, "channels": ["sms"]}]
    words = {"inapp": {"title": "Look", "body": "Soon."}, "sms": {"body": "Look now."}}
    make_rule(service, kind, channels=["inapp"], escalation=levels, templates=words)
    event = happen(service, kind, user_id=f"u-{uuid4().hex[:8]}", phone=phone)
    planned = "SELECT count(*) FROM rule_step WHERE event_id = %s AND kind = 'escalation' AND status = 'waiting'"
    wait_until(lambda: look(planned, event) == 1, _PATIENCE)
    due = partial(look, _DUE, event)
    with stuck("SELECT 1 FROM event WHERE id = %s FOR UPDATE", event, then=due, at='%FROM "event"%FOR UPDATE%'):
        kill_all(service, "worker", "beat")
    written = "SELECT count(*) FROM notification_record WHERE recipient = %s AND status = 'success'"
    wait_until(lambda: look(written, phone) == 1, _PATIENCE, every=0.2)
    assert len(service.caught(q=phone.removeprefix("+"))) == 1, "one text"
    assert look("SELECT count(*) FROM notification_record WHERE event_id = %s", event) == 2
    assert look("SELECT count(*) FROM rule_step WHERE event_id = %s AND status <> 'done'", event) == 0


@pytest.mark.timeout(200)
def test_a_consumer_is_killed_in_the_middle_of_its_batches(
    service: RunningService, look: Callable[..., Any], stuck: Callable[..., Any]
) -> None:
    name, count = uuid4().hex[:8], 2_000
    producer = Producer({"bootstrap.servers": service.demo["kafka_bootstrap_servers"]})

    def publish(first: int, last: int) -> None:
        for number in range(first, last):
            event = {
                "event_type": "task.assigned",
                "tenant_id": service.demo["tenant_id"],
                "user_id": f"{name}-{number}",
                # Half of them are known by their place in the topic alone.
                **({"event_id": f"{name}-{number}"} if number % 2 else {}),
                "payload": {"title": name},
            }
            producer.produce("hr-events", json.dumps(event).encode(), partition=number // 2 % 4)
        assert producer.flush(20) == 0

    publish(0, 10)
    first = partial(publish, 10, count // 2)
    with stuck("LOCK TABLE event IN SHARE MODE", then=first, at="%INSERT INTO event %"):
        kill_all(service, "consumer")
    second = partial(publish, count // 2, count)
    with stuck("LOCK TABLE notification_record IN SHARE MODE", then=second, at="%WITH batch AS MATERIALIZED %"):
        kill_all(service, "consumer")  # its events are written, and nothing of it is committed
    events = "SELECT count(*) FROM event WHERE payload->>'title' = %s"
    wait_until(lambda: look(events, name) >= count, _PATIENCE, every=0.2)
    assert look("SELECT count(DISTINCT user_id) FROM event WHERE payload->>'title' = %s", name) == count
    assert look(events, name) == count, "none twice"
    records = "SELECT count(*) FROM notification_record WHERE user_id LIKE %s"
    assert look(records, f"{name}-%") == count
