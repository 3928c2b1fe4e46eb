"""``python -m benchmarks.baselines.consumer TOPIC``: one message, one transaction, as the documentation has it.

Offsets are committed every hundred messages, after their rows.
"""

from __future__ import annotations

import json
import os
import signal
import sys

import django
from confluent_kafka import Consumer
from django.db import transaction

_COMMIT_EVERY = 100


def main(topic: str) -> None:
    """Read until SIGTERM."""
    from django.contrib.auth.models import User

    from benchmarks.baselines.models import Notification

    user, _ = User.objects.get_or_create(username="kafka")
    config = {"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"], "group.id": f"baseline-{topic}"}
    consumer = Consumer({**config, "enable.auto.commit": False, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    running = True

    def stop(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    read = 0
    while running:
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        event = json.loads(message.value())
        payload = event["payload"]
        with transaction.atomic():
            Notification.objects.create(
                user=user,
                channel="email",
                recipient=payload["email"],
                content={"subject": "New task: {{ title }}", "text": "You have a new task: {{ title }}."},
                context={"name": payload["name"], "title": payload["title"]},
            )
        read += 1
        if read % _COMMIT_EVERY == 0:
            consumer.commit(asynchronous=False)
    consumer.close()


if __name__ == "__main__":
    django.setup()
    main(sys.argv[1])
