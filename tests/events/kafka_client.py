"""The other end of Kafka: whoever publishes events, and whoever reads what we publish."""

from __future__ import annotations

import json
import os
import time
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from notifications.events.consumer import EventConsumer
from notifications.events.kafka import common_config

PARTITIONS = 4


class Kafka:
    """A producer and readers for one test, and the service's consumers that it started."""

    def __init__(self, brokers: str, topic: str) -> None:
        self.brokers, self.topic = brokers, topic
        # Whatever the settings say of TLS and SASL, whoever publishes here does the same.
        self._config = {**common_config(), "bootstrap.servers": brokers}
        self._producer = Producer(self._config)
        self._consumers: list[EventConsumer] = []

    def make(self, *topics: str) -> None:
        """Make topics. The mock cluster makes them, with four partitions, when a producer asks for them."""
        if os.environ.get("TEST_KAFKA_BOOTSTRAP_SERVERS"):
            admin = AdminClient(self._config)
            for future in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics]).values():
                future.result(10)
        for topic in topics:
            assert len(self._producer.list_topics(topic, timeout=10).topics[topic].partitions) == PARTITIONS

    def publish(self, *messages: Any, key: str | None = None, partition: int | None = None) -> None:
        """Publish objects (as JSON) or bytes."""
        for message in messages:
            value = message if isinstance(message, bytes) or message is None else json.dumps(message).encode()
            place = {} if partition is None else {"partition": partition}
            self._producer.produce(self.topic, value, key=key, **place)
        assert self._producer.flush(10) == 0

    def consumer(self, **config: Any) -> EventConsumer:
        """Start a consumer of the service; ``turn`` it."""
        made = EventConsumer([self.topic], **config)
        made.subscribe()
        self._consumers.append(made)
        return made

    def drain(self, consumer: EventConsumer, count: int, seconds: float = 20.0) -> int:
        """Turn a consumer until it has taken in ``count`` messages; return how many it has."""
        read, deadline = 0, time.monotonic() + seconds
        while read < count and time.monotonic() < deadline:
            read += consumer.turn()
        return read

    def read(self, topic: str, count: int, seconds: float = 15.0) -> list[Message]:
        """Return the first ``count`` messages of a topic."""
        config = {**self._config, "group.id": uuid4().hex, "auto.offset.reset": "earliest"}
        reader = Consumer({**config, "session.timeout.ms": 6000})
        reader.subscribe([topic])
        found: list[Message] = []
        deadline = time.monotonic() + seconds
        while len(found) < count and time.monotonic() < deadline:
            message = reader.poll(0.2)
            if message is not None and message.error() is None:
                found.append(message)
        reader.close()
        return found

    def close(self) -> None:
        """Leave the groups."""
        for consumer in self._consumers:
            consumer.close()
