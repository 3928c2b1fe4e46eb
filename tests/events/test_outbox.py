"""News out survives what happens to Kafka and to us: none lost, each record's in order, repetitions known by ``id``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from confluent_kafka import KafkaException
from django.conf import settings as django_settings
from django.db import connection
from pytest_django import Settings

from notification_service.lib.scope import tenant_scope
from notification_service.local.kafka import EmbeddedKafka
from notification_service.local.ports import free_ports
from notifications.events import kafka as kafka_module
from notifications.events import outbox
from notifications.events.models import OutboxMessage
from tests.conftest import Persona
from tests.events.kafka_client import Kafka

pytestmark = pytest.mark.django_db(transaction=True)
STEPS = ("retrying", "retrying", "success", "delivered")
_DIES_AFTER_SENDING = """
import os, signal, django
django.setup()
from notifications.events import outbox
send = outbox._send
def send_and_die(*news):
    send(*news)
    os.kill(os.getpid(), signal.SIGKILL)
outbox._send = send_and_die
outbox.publish()
"""


def put(who: Persona, records: int = 5) -> None:
    """Put every step of some records into the outbox, as their outcomes would."""
    with tenant_scope(who.tenant_id):
        for number, step in enumerate(STEPS):
            for record in range(records):
                value = {"event": f"notification.{step}", "number": number}
                OutboxMessage.objects.create(tenant_id=who.tenant_id, key=f"r{record}", value=value)


def left(who: Persona) -> int:
    with tenant_scope(who.tenant_id):
        return OutboxMessage.objects.count()


def told(kafka: Kafka, count: int, seconds: float = 15.0) -> tuple[dict[str, list[int]], int]:
    """Return the numbers by key for a reader who leaves out an ``id`` that it knows, and how many were left out."""
    seen: set[str] = set()
    found: dict[str, list[int]] = {}
    messages = kafka.read(django_settings.KAFKA_OUT_TOPIC, count, seconds)
    for message in messages:
        body: dict[str, Any] = json.loads(message.value() or b"")
        if body["id"] not in seen:
            seen.add(body["id"])
            found.setdefault((message.key() or b"").decode(), []).append(body["number"])
    return found, len(messages) - len(seen)


IN_ORDER = {f"r{record}": list(range(len(STEPS))) for record in range(5)}


def test_a_publisher_that_is_killed_after_sending_sends_again(sender: Persona, kafka: Kafka) -> None:
    put(sender)
    database = connection.settings_dict
    environment = {
        **os.environ,
        "DATABASE_URL": "postgres://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**database),
        "DATABASE_POOL": "0",
        "KAFKA_BOOTSTRAP_SERVERS": kafka.brokers,
        "KAFKA_OUT_TOPIC": django_settings.KAFKA_OUT_TOPIC,
        "KAFKA_DEAD_LETTER_TOPIC": django_settings.KAFKA_DEAD_LETTER_TOPIC,
    }
    command = [sys.executable, "-c", _DIES_AFTER_SENDING]
    died = subprocess.run(command, env=environment, timeout=60, capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert left(sender) == 20, "what was not deleted is sent again"
    assert outbox.publish() == 20
    assert told(kafka, 40) == (IN_ORDER, 20)


def test_news_waits_until_kafka_is_back(
    sender: Persona, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedKafka(tmp_path, free_ports(1)[0]).running() as server:
        settings.KAFKA_BOOTSTRAP_SERVERS = server.url
        settings.KAFKA_OUT_TOPIC = "news"
        # This one is the mock cluster, which knows neither TLS nor logins.
        settings.KAFKA_SECURITY_PROTOCOL, settings.KAFKA_SASL_MECHANISM = "PLAINTEXT", ""
        monkeypatch.delenv("TEST_KAFKA_BOOTSTRAP_SERVERS", raising=False)
        kafka = Kafka(server.url, "news")
        kafka.make("news")
        monkeypatch.setattr(outbox, "_FLUSH_SECONDS", 1.0)
        put(sender, records=5)
        (broker,) = [each for each in psutil.Process().children() if str(server.port) in each.cmdline()]
        broker.suspend()
        try:
            for _ in range(2):
                with pytest.raises(KafkaException):
                    outbox.publish()
        finally:
            broker.resume()
        assert left(sender) == 20
        monkeypatch.setattr(outbox, "_FLUSH_SECONDS", 20.0)
        assert outbox.publish() == 20
        assert left(sender) == 0
        assert told(kafka, 60, seconds=5)[0] == IN_ORDER
        kafka.close()
        kafka_module._producer.cache_clear()
