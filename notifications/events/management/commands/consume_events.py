"""``manage.py consume_events``: read events from Kafka or RabbitMQ until SIGTERM or SIGINT."""

from __future__ import annotations

import signal
from typing import Any

from confluent_kafka import KafkaException
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from notification_service.checks import refuse_unsafe_settings
from notifications.events import kafka, rabbitmq
from notifications.events.consumer import EventConsumer


class Command(BaseCommand):
    help = "Read events, write what comes of them, and commit offsets (Kafka) or acknowledge (RabbitMQ) afterwards."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--source", choices=["kafka", "amqp"], default="kafka", help="Default: kafka.")
        parser.add_argument("--topics", help="Comma-separated topics or queues; default: KAFKA_TOPICS, AMQP_QUEUES.")
        parser.add_argument("--batch", type=int, help="Messages of one transaction; default: KAFKA_BATCH, AMQP_BATCH.")

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_unsafe_settings()
        try:
            consumer = self._consumer(options)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: consumer.stop())
            consumer.run()
        except KafkaException as error:
            raise CommandError(f"Kafka refuses: {error.args[0]}") from None
        except rabbitmq.REFUSALS as error:
            raise CommandError(f"RabbitMQ refuses: {error}") from None

    def _consumer(self, options: dict[str, Any]) -> EventConsumer | rabbitmq.AmqpConsumer:
        named = options["topics"].split(",") if options["topics"] else None
        if options["source"] == "amqp":
            if not rabbitmq.configured():
                raise CommandError("AMQP_URL is not set: there is no RabbitMQ to read from.")
            return rabbitmq.AmqpConsumer(named or settings.AMQP_QUEUES, batch=options["batch"])
        if not kafka.configured():
            raise CommandError("KAFKA_BOOTSTRAP_SERVERS is not set: there is no Kafka to read from.")
        return EventConsumer(named or settings.KAFKA_TOPICS, batch=options["batch"])
