"""K1: events a second from Kafka to committed records, with one consumer.

The topic is filled first, then the consumer is started; counted are rows of the table, from the first that is seen to
the last. Each event of ours becomes two rows (the event and the message to its person), checked and rendered once; the
baseline's becomes one.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Producer
from django.db import connection

from benchmarks import service
from benchmarks.meter import Meter, Usage
from benchmarks.results import Result, median
from benchmarks.scene import Scene
from benchmarks.service import Company
from benchmarks.stage import BenchmarkFailed, Program
from notification_service.lib.scope import platform_scope
from notification_service.local.kafka import EmbeddedKafka
from notification_service.local.ports import free_ports

TARGET: Final = ">= 10x (moonshot 30x)"
_FIRST_TARGET: Final = 10.0
_TENANTS: Final = 10
_PARTITIONS: Final = 4
#: Messages a round. The mock cluster keeps about 16,000 of them in each partition.
_OURS: Final = {"tiny": 200, "quick": 12_000, "full": 40_000}
_BASELINE: Final = {"tiny": 20, "quick": 500, "full": 5_000}
_PATIENCE: Final = 120.0


@dataclass(slots=True)
class _Side:
    name: str
    count: int
    start: Callable[[str], Program]
    rows: Callable[[], int]
    rates: list[float] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return median(self.rates)

    @property
    def cpu(self) -> float:
        """Processor time of an event in microseconds, the start of the consumer left out."""
        return median([usage.per_message(self.count) for usage in self.usages])


def run(scene: Scene) -> Result:
    """Measure both sides in turn."""
    directory, (port,) = scene.stage.directory / "kafka", free_ports(1)
    with EmbeddedKafka(directory, port).running(owner=scene.stage.directory) as kafka:
        mail = {"email": service.smtp_credential(scene.smtp.port)}
        companies = [service.company(f"kafka-{n}-{secrets.token_hex(3)}", mail) for n in range(_TENANTS)]
        ours = _Side("ours", _OURS[scene.scale.name], _our_consumer(scene, kafka.url), _our_rows)
        theirs = _Side("baseline", _BASELINE[scene.scale.name], _their_consumer(scene, kafka.url), _their_rows(scene))
        for _ in range(scene.scale.rounds):
            scene.stage.baseline("TRUNCATE baselines_notification")
            _measure(scene, kafka.url, theirs, companies)
            _clear()
            _measure(scene, kafka.url, ours, companies)
        _clear()
    ratio = ours.rate / theirs.rate
    return Result(
        "K1",
        f"{ours.rate:,.0f} events/s, {ours.cpu:,.0f} us CPU",
        f"{theirs.rate:,.0f} events/s, {theirs.cpu:,.0f} us CPU",
        ratio,
        TARGET,
        ratio >= _FIRST_TARGET,
        {
            side.name: {
                "events": side.count,
                "rate": round(side.rate, 1),
                "rates": [round(rate, 1) for rate in side.rates],
                "cpu_us": round(side.cpu, 1),
                "machine_busy_with_others": [round(usage.others, 2) for usage in side.usages],
            }
            for side in (ours, theirs)
        },
    )


def _measure(scene: Scene, brokers: str, side: _Side, companies: Sequence[Company]) -> None:
    """One round. Raises ``BenchmarkFailed`` unless every event has its row, and no more."""
    topic = f"k1-{secrets.token_hex(4)}"
    _fill(brokers, topic, side.count, companies)
    program = side.start(topic)
    try:
        deadline = time.monotonic() + _PATIENCE
        while not (seen := side.rows()):
            if program.process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkFailed(f"K1 {side.name}: no row came; {program.log.read_text()[-1000:]}")
            time.sleep(0.005)
        meter, begun = Meter(scene.stage, [program]).start(), time.monotonic()
        while (found := side.rows()) < side.count:
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"K1 {side.name}: {side.count} rows should be there; there are {found}")
            time.sleep(_until_next_look(time.monotonic() - begun, found - seen, side.count - found))
        seconds = max(time.monotonic() - begun, 1e-3)
        usage = meter.stop()
    finally:
        program.stop()
    if side.rows() != side.count:
        raise BenchmarkFailed(f"K1 {side.name}: {side.count} events became {side.rows()} rows")
    left = max(side.count - seen, 1)
    side.rates.append(left / seconds)
    side.usages.append(Usage(usage.used * side.count / left, usage.others))


def _until_next_look(seconds: float, done: int, left: int) -> float:
    """Return how long to leave the tables alone: half of what the rest will take, as it seems.

    Counting tens of thousands of rows takes the database as long as writing some hundreds of them.
    """
    return min(max(seconds / done * left / 2, 0.01), 1.0) if done else 0.05


def _fill(brokers: str, topic: str, count: int, companies: Sequence[Company]) -> None:
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 20})
    producer.list_topics(topic, timeout=10)  # the mock cluster makes it
    for number in range(count):
        event = {
            "event_type": "task.assigned",
            "tenant_id": str(companies[number % len(companies)].id),
            "event_id": f"{topic}-{number}",
            "timestamp": "2026-12-03T10:30:00Z",
            "payload": {"email": f"person{number}@example.com", "name": f"Person {number}", "title": f"Offer {number}"},
            "metadata": {"trace": f"t-{number}"},
        }
        producer.produce(topic, json.dumps(event).encode(), partition=number % _PARTITIONS)
        producer.poll(0)
    if producer.flush(60):
        raise BenchmarkFailed("K1: the topic could not be filled")


def _our_consumer(scene: Scene, brokers: str) -> Callable[[str], Program]:
    def start(topic: str) -> Program:
        settings = {"KAFKA_BOOTSTRAP_SERVERS": brokers, "KAFKA_GROUP_ID": topic, "KAFKA_TOPICS": topic}
        environment = {**scene.stage.environment, **settings}
        return scene.stage.start(f"consumer-{topic}", "manage.py", "consume_events", environment=environment)

    return start


def _their_consumer(scene: Scene, brokers: str) -> Callable[[str], Program]:
    def start(topic: str) -> Program:
        environment = {**scene.baseline_environment, "KAFKA_BOOTSTRAP_SERVERS": brokers}
        return scene.stage.start(
            f"baseline-{topic}", "-m", "benchmarks.baselines.consumer", topic, environment=environment
        )

    return start


def _our_rows() -> int:
    """Count records that belong to an event that is stored."""
    with platform_scope("benchmark"), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM notification_record WHERE event_id IS NOT NULL")
        return int(cursor.fetchone()[0])


def _their_rows(scene: Scene) -> Callable[[], int]:
    return lambda: int(scene.stage.baseline("SELECT count(*) FROM baselines_notification")[0][0])


def _clear() -> None:
    service.clear()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE event, event_dead_letter, event_outbox")
