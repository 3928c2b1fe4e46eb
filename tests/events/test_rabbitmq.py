"""Events from a queue: the same handler as Kafka's, acknowledged after the commit, nothing lost and nothing doubled.

The suite talks to the queues in Redis, by the transport of kombu; with ``TEST_AMQP_URL`` to a real RabbitMQ.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import OperationalError
from kombu import Connection, Exchange, Queue
from pytest_django import Settings

from notification_service.lib.heartbeat import silence
from notification_service.lib.scope import platform_scope
from notifications.events import consumer as consumer_module
from notifications.events import lag, rabbitmq
from notifications.events.models import DeadLetter
from notifications.events.rabbitmq import AmqpConsumer, tls_of
from tests.conftest import Persona
from tests.events.conftest import events, records
from tests.events.test_kafka import DEAD, POISON, flat, structured

pytestmark = pytest.mark.django_db(transaction=True)


class Broker:
    """Queues of one test: its publisher, and the service's consumers that it started."""

    def __init__(self, url: str, queue: str) -> None:
        self.url, self.queue = url, queue
        self._connection = Connection(url, ssl=tls_of(url))
        self._consumers: list[AmqpConsumer] = []

    def publish(self, *messages: Any, **properties: Any) -> None:
        """Publish objects (as JSON) or bytes to the exchange."""
        with self._connection.Producer() as producer:
            for message in messages:
                producer.publish(
                    message if isinstance(message, bytes) else json.dumps(message).encode(),
                    exchange=Exchange(django_settings.AMQP_EXCHANGE, type="topic"),
                    routing_key=self.queue,
                    content_type="application/json",
                    content_encoding="binary",
                    declare=rabbitmq.declared([self.queue]),
                    **properties,
                )

    def consumer(self, **options: Any) -> AmqpConsumer:
        """Start a consumer of the service; ``turn`` it."""
        made = AmqpConsumer([self.queue], **options)
        made.connect()
        self._consumers.append(made)
        return made

    def drain(self, consumer: AmqpConsumer, count: int, seconds: float = 20.0) -> int:
        """Turn a consumer until it has read ``count`` messages; return how many it has."""
        read, deadline = 0, time.monotonic() + seconds
        while read < count and time.monotonic() < deadline:
            read += consumer.turn()
        return read

    def left(self) -> int:
        """How many messages are ready for others once our consumers are gone."""
        for consumer in self._consumers:
            consumer.close()
        found: Any = Queue(self.queue, durable=True)(self._connection.default_channel).queue_declare()
        return int(found.message_count)

    def close(self) -> None:
        """Leave nothing behind."""
        for consumer in self._consumers:
            consumer.close()
        Queue(self.queue, durable=True)(self._connection.default_channel).delete()
        self._connection.release()


@pytest.fixture
def broker(settings: Settings) -> Iterator[Broker]:
    name = f"t{uuid4().hex[:12]}"
    settings.AMQP_URL = os.environ.get("TEST_AMQP_URL") or settings.REDIS_URL
    settings.AMQP_QUEUES = [f"{name}-events"]
    settings.AMQP_EXCHANGE = name
    made = Broker(settings.AMQP_URL, settings.AMQP_QUEUES[0])
    yield made
    made.close()


def letters() -> list[DeadLetter]:
    with platform_scope("test"):
        return list(DeadLetter.objects.order_by("offset"))


def test_both_shapes_become_messages(sender: Persona, broker: Broker) -> None:
    reader = broker.consumer()
    broker.publish(flat(sender), structured(sender))
    assert broker.drain(reader, 2) == 2
    reward, task = sorted(events(sender), key=lambda event: event.type)
    assert (reward.type, reward.source, reward.payload["value"]) == ("reward_issued", broker.queue, 100)
    assert (task.user_id, task.metadata, task.payload) == ("crm-1", {"trace": "t-1"}, {"title": "Offer"})
    assert len(records(sender)) == 2
    assert broker.left() == 0


def test_a_repetition_is_known_by_its_event_id_and_by_its_message_id(sender: Persona, broker: Broker) -> None:
    broker.publish(structured(sender, event_id="e-1"), structured(sender, event_id="e-1"))
    broker.publish(structured(sender), structured(sender), message_id="m-1")
    broker.publish(structured(sender), structured(sender))
    assert broker.drain(broker.consumer(), 6) == 6
    assert sorted(event.client_event_id or "" for event in events(sender)) == ["", "", "e-1", "m-1"]
    assert len(records(sender)) == 4
    assert lag.counts() == {"new": 4, "duplicate": 2}


def test_a_crash_before_the_acknowledgement_loses_and_doubles_nothing(
    sender: Persona, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.publish(*(structured(sender, event_id=f"e-{n}") for n in range(4)))
    first = broker.consumer()
    with monkeypatch.context() as crash:
        crash.setattr(lag, "count", lambda counts: None)
        crash.setattr("kombu.message.Message.ack", lambda message: None)
        assert broker.drain(first, 4) == 4
    assert len(events(sender)) == 4
    assert broker.left() == 4
    assert broker.drain(broker.consumer(), 4) == 4
    assert (len(events(sender)), len(records(sender))) == (4, 4)
    assert broker.left() == 0


def test_while_the_database_is_away_nothing_is_acknowledged_and_nothing_lost(
    sender: Persona, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = consumer_module.store, []

    def store(messages: Any) -> Any:
        calls.append(len(messages))
        if len(calls) < 3:
            raise OperationalError("the database is away")
        return real(messages)

    monkeypatch.setattr(rabbitmq, "store", store)
    broker.publish(*(flat(sender, n) for n in range(3)))
    reader = broker.consumer()
    assert broker.drain(reader, 3) == 3
    assert len(calls) >= 3
    assert len(events(sender)) == 3
    broker.publish(flat(sender, 9))
    assert broker.drain(reader, 1) == 1, "it reads on"


def test_poison_is_buried_rejected_and_stands_in_nobodys_way(sender: Persona, broker: Broker) -> None:
    bad = [message.replace(b"TENANT", str(sender.tenant_id).encode()) for message, _ in POISON]
    broker.publish(flat(sender, 1), *bad, flat(sender, 2))
    assert broker.drain(broker.consumer(), len(bad) + 2) == len(bad) + 2
    assert len(events(sender)) == 2
    buried = letters()
    assert [letter.code for letter in buried] == [code for _, code in POISON]
    assert {letter.topic for letter in buried} == {broker.queue}
    assert broker.left() == 0, "nothing comes again"


def test_a_dead_letter_is_taken_in_after_the_fix(
    sender: Persona, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as bug:
        bug.setattr(consumer_module, "accept_events", lambda batch, **options: 1 / 0)
        broker.publish(structured(sender), message_id="m-7")
        assert broker.drain(broker.consumer(), 1) == 1
    (letter,) = letters()
    assert (letter.code, letter.key, len(events(sender))) == ("internal", "m-7", 0)
    answer = sender.client.post(f"{DEAD}/{letter.id}/replay")
    assert answer.status_code == 200, answer.content
    assert [event.client_event_id for event in events(sender)] == ["m-7"]


def test_a_batch_is_what_one_consumer_holds(sender: Persona, broker: Broker) -> None:
    broker.publish(*(flat(sender, n) for n in range(10)))
    reader = broker.consumer(batch=4)
    reader.turn()
    assert len(events(sender)) == 4
    reader._told_at = 0.0
    reader.turn()
    assert broker.drain(reader, 2) == 2
    assert len(events(sender)) == 10
    assert lag.lags()[broker.queue, "0"] >= 0
    assert (silence("consumer") or 0.0) < 5


def test_it_connects_again_when_the_broker_was_away(
    sender: Persona, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = AmqpConsumer([broker.queue])
    turn, connects = AmqpConsumer.turn, []
    connect = AmqpConsumer.connect

    def connecting(self: AmqpConsumer) -> None:
        connects.append(time.monotonic())
        if len(connects) == 2:
            raise ConnectionRefusedError
        connect(self)

    def turning(self: AmqpConsumer) -> int:
        if len(connects) == 1:
            raise ConnectionResetError
        read = turn(self)
        if len(events(sender)) == 2:
            self.stop()
        return read

    monkeypatch.setattr(AmqpConsumer, "connect", connecting)
    monkeypatch.setattr(AmqpConsumer, "turn", turning)
    broker.publish(flat(sender, 1), flat(sender, 2))
    reader.run()
    assert len(connects) == 3
    assert connects[2] - connects[1] > connects[1] - connects[0], "it waits longer each time"
    assert len(events(sender)) == 2
    assert broker.left() == 0


def test_the_command_stops_cleanly_at_sigterm(sender: Persona, broker: Broker) -> None:
    broker.publish(*(structured(sender, event_id=f"e-{n}") for n in range(3)))
    names = django_settings.DATABASES["default"]["NAME"]
    url = os.environ["DATABASE_URL"].rpartition("/")[0]
    environment = {
        **os.environ,
        "DATABASE_URL": f"{url}/{names}",
        "AMQP_URL": broker.url,
        "AMQP_EXCHANGE": django_settings.AMQP_EXCHANGE,
        "ENCRYPTION_KEYS": ",".join(django_settings.ENCRYPTION_KEYS),
    }
    command = [sys.executable, "manage.py", "consume_events", "--source", "amqp", "--topics", broker.queue]
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 30
        while len(events(sender)) < 3 and time.monotonic() < deadline and running.poll() is None:
            time.sleep(0.1)
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=15)
    finally:
        running.kill()
    assert (running.returncode, len(events(sender))) == (0, 3), said
    assert "consumer_stopped" in said
    assert broker.left() == 0


def test_without_an_address_the_command_says_what_to_set(settings: Settings) -> None:
    settings.AMQP_URL = ""
    with pytest.raises(CommandError, match="AMQP_URL"):
        call_command("consume_events", source="amqp")
