"""``manage.py consume_events``: read events from Kafka until SIGTERM or SIGINT."""

from __future__ import annotations

import signal
from typing import Any

from confluent_kafka import KafkaException
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from notification_service.checks import refuse_unsafe_settings
from notifications.events.consumer import EventConsumer
from notifications.events.kafka import configured


class Command(BaseCommand):
    help = "Read events from Kafka, write what comes of them, and commit the offsets afterwards."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--topics", help="Comma-separated; default: KAFKA_TOPICS.")
        parser.add_argument("--batch", type=int, help="Messages of one transaction; default: KAFKA_BATCH.")

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_unsafe_settings()
        if not configured():
            raise CommandError("KAFKA_BOOTSTRAP_SERVERS is not set: there is no Kafka to read from.")
        topics = (options["topics"] or "").split(",") if options["topics"] else settings.KAFKA_TOPICS
        consumer = EventConsumer(topics, batch=options["batch"])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: consumer.stop())
        try:
            consumer.run()
        except KafkaException as error:
            raise CommandError(f"Kafka refuses: {error.args[0]}") from None
