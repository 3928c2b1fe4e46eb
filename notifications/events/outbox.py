"""News out: what becomes of messages goes to the topic ``notification-events``.

It is written to an outbox in the transaction that wrote the outcome, so none is lost and none is invented. One
publisher at a time sends from there, by number: a record's news arrives in order, because its numbers are given under
the lock of its row. The producer is idempotent; a publisher that dies after sending and before it deletes sends again,
with the same ``id``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from django.conf import settings
from django.db import connection
from django.utils import timezone

from notification_service.lib.scope import platform_scope
from notifications.events.dead_letters import message_of
from notifications.events.kafka import configured, producer
from notifications.events.models import DeadLetter, OutboxMessage
from notifications.records.models import Receipt
from notifications.records.outcomes import Outcome

log = structlog.get_logger(__name__)

_BATCH: Final = 1000
_FLUSH_SECONDS: Final = 20.0
_LOCK: Final = 7_411_021_501


def tell_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Put the outcomes of attempts into the outbox (``hooks.on_outcomes``), where Kafka is configured."""
    if not configured() or not outcomes:
        return
    now = timezone.now().isoformat()
    _put(
        [
            OutboxMessage(
                tenant_id=outcome.claimed.tenant_id,
                key=str(outcome.claimed.id),
                value={
                    "event": f"notification.{outcome.status}",
                    "notification_id": str(outcome.claimed.id),
                    "tenant_id": str(outcome.claimed.tenant_id),
                    "channel": outcome.claimed.channel,
                    "user_id": outcome.claimed.user_id or None,
                    "status": str(outcome.status),
                    "failure_reason": str(outcome.result.reason or "") or None,
                    "mode": outcome.claimed.mode,
                    "event_id": _text(outcome.claimed.event_id),
                    "campaign_id": _text(outcome.claimed.campaign_id),
                    "batch_id": _text(outcome.claimed.batch_id),
                    "timestamp": now,
                },
            )
            for outcome in outcomes
        ]
    )


def tell_receipts(receipts: Sequence[Receipt]) -> None:
    """Put what providers reported into the outbox (``hooks.on_receipts``)."""
    if not configured():
        return
    _put(
        [
            OutboxMessage(
                tenant_id=receipt.tenant_id,
                key=str(receipt.record_id),
                value={
                    "event": f"notification.{receipt.state}",
                    "notification_id": str(receipt.record_id),
                    "tenant_id": str(receipt.tenant_id),
                    "delivery_state": receipt.state,
                    "timestamp": receipt.occurred_at.isoformat(),
                },
            )
            for receipt in receipts
            if receipt.record_id
        ]
    )


def publish(limit: int = _BATCH) -> int:
    """Send the oldest news, and dead letters that have not reached their topic; return how many messages were sent.

    Does nothing while another publisher is at it. Raises ``KafkaException`` if Kafka took less than all of it.
    """
    with platform_scope("publish the outbox"):
        if not _alone():
            return 0
        news = list(OutboxMessage.objects.order_by("id")[:limit])
        letters = list(DeadLetter.objects.filter(published_at=None).order_by("id")[:limit])
        if not news and not letters:
            return 0
        _send(news, letters)
        OutboxMessage.objects.filter(id__in=[one.id for one in news]).delete()
        DeadLetter.objects.filter(id__in=[one.id for one in letters]).update(published_at=timezone.now())
    return len(news) + len(letters)


def _put(messages: list[OutboxMessage]) -> None:
    OutboxMessage.objects.bulk_create(messages)


def _alone() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])


def _send(news: Sequence[OutboxMessage], letters: Sequence[DeadLetter]) -> None:
    failed: list[KafkaError] = []

    def on_delivery(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error)

    out = producer()
    for one in news:
        value = orjson.dumps({"id": str(one.id), **one.value})
        _produce(
            out, settings.KAFKA_OUT_TOPIC, one.key, value, on_delivery, [("tenant_id", str(one.tenant_id).encode())]
        )
    for letter in letters:
        headers = [
            ("topic", letter.topic.encode()),
            ("partition", str(letter.partition).encode()),
            ("offset", str(letter.offset).encode()),
            ("code", letter.code.encode()),
            ("reason", letter.reason.encode()[:1000]),
        ]
        _produce(out, settings.KAFKA_DEAD_LETTER_TOPIC, letter.key, message_of(letter), on_delivery, headers)
    left = out.flush(_FLUSH_SECONDS)
    if left or failed:
        # What is left in the queue would be sent a second time by the next turn, and out of order.
        out.purge()
        out.flush(1)
        raise KafkaException(failed[0] if failed else KafkaError(KafkaError._TIMED_OUT))


def _produce(out: Producer, topic: str, key: str, value: bytes, on_delivery: Any, headers: Any) -> None:
    while True:
        try:
            out.produce(topic, value, key.encode() or None, on_delivery=on_delivery, headers=headers)
        except BufferError:
            out.poll(0.1)
        else:
            return


def _text(value: object) -> str | None:
    return None if value is None else str(value)
