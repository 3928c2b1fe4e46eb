"""Clients of Kafka, as the settings say: where the brokers are, and how we show who we are."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

from confluent_kafka import Consumer, Producer
from django.conf import settings


def configured() -> bool:
    """Whether there is a Kafka to speak to."""
    return bool(settings.KAFKA_BOOTSTRAP_SERVERS)


def common_config() -> dict[str, Any]:
    """Return what all clients need (librdkafka's names)."""
    named = {
        "bootstrap.servers": settings.KAFKA_BOOTSTRAP_SERVERS,
        "security.protocol": settings.KAFKA_SECURITY_PROTOCOL,
        "sasl.mechanisms": settings.KAFKA_SASL_MECHANISM,
        "sasl.username": settings.KAFKA_SASL_USERNAME,
        "sasl.password": settings.KAFKA_SASL_PASSWORD,
        "ssl.ca.location": settings.KAFKA_SSL_CA,
        "ssl.certificate.location": settings.KAFKA_SSL_CERTIFICATE,
        "ssl.key.location": settings.KAFKA_SSL_KEY,
        "client.id": "notification-service",
    }
    return {name: value for name, value in named.items() if value}


def make_consumer(**config: Any) -> Consumer:
    """Return a consumer of the group ``KAFKA_GROUP_ID`` that commits nothing by itself."""
    return Consumer(
        {
            **common_config(),
            "group.id": settings.KAFKA_GROUP_ID,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            # A member that joins or leaves takes nothing from the others but what it must.
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 1500,
            "max.poll.interval.ms": 300_000,
            # Back-pressure: what is fetched ahead stays within this, whatever the topics hold.
            "queued.max.messages.kbytes": 32_768,
            "fetch.wait.max.ms": 100,
            "topic.metadata.refresh.interval.ms": 30_000,
            "allow.auto.create.topics": False,
            **config,
        }
    )


def producer() -> Producer:
    """Return this process's idempotent producer, made at its first use (and again after a fork)."""
    return _producer(os.getpid(), tuple(sorted(common_config().items())))


@lru_cache(maxsize=1)
def _producer(_pid: int, config: tuple[tuple[str, Any], ...]) -> Producer:
    return Producer(
        {
            **dict(config),
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 5,
            "compression.type": "lz4",
            "message.timeout.ms": 15_000,
        }
    )
