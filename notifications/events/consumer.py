"""Events from Kafka: batches in, one transaction, then the offsets. What can not be read is buried, never in the way.

A batch is written, together with everything that comes of it, before its offsets are committed: a crash in between
brings the same messages again, and they change nothing (an event's id is made of its place in the topic).
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event as Flag
from typing import Any, Final
from uuid import UUID

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connections, transaction

from notification_service.lib.errors import ServiceError
from notification_service.lib.heartbeat import beat
from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.events import lag, outbox
from notifications.events.dead_letters import BadPayload, Letter, bury, understood
from notifications.events.intake import accept_events
from notifications.events.kafka import make_consumer
from notifications.events.received import Received
from notifications.events.shapes import NewEvent

log = structlog.get_logger(__name__)

#: The consumer's name among the heartbeats.
PART: Final = "consumer"
_PATIENCE: Final = 1.0
#: How long a batch that has begun waits for more, in seconds.
_GATHER: Final = 0.02
_LONGEST_PAUSE: Final = 15.0
_HALVES: Final = 2
_WORTH_HALVING: Final = 100

_Read = tuple[Message, UUID, NewEvent]


class EventConsumer:
    """Reads the topics until it is told to stop. One in each process; several processes share the partitions."""

    def __init__(self, topics: Sequence[str], *, batch: int | None = None, **config: Any) -> None:
        self._topics = list(topics)
        self._batch = batch or settings.KAFKA_BATCH
        self._consumer: Consumer = make_consumer(**config)
        self._stop = Flag()
        self._paused = False
        self._told_at = 0.0
        self._pool = ThreadPoolExecutor(_HALVES, thread_name_prefix="store")

    def stop(self) -> None:
        """Finish the batch at hand and leave the group. May be called from a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Read until ``stop``. Raises ``KafkaException`` for what no waiting mends (a refused login, say)."""
        self._consumer.subscribe(self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke)
        log.info("consumer_started", topics=self._topics, group=settings.KAFKA_GROUP_ID)
        try:
            while not self._stop.is_set():
                self.turn()
        finally:
            self._consumer.close()
            self._pool.shutdown()
            log.info("consumer_stopped")

    def turn(self) -> int:
        """Take in what is there, at most a batch; return how many messages that were."""
        messages = self._usable(self._consumer.consume(1, _PATIENCE))
        if messages:
            messages += self._usable(self._consumer.consume(self._batch - 1, _GATHER))
            self._take_in(messages)
        self._tell()
        return len(messages)

    # --- One batch ------------------------------------------------------------------------------------------------

    def _take_in(self, messages: list[Message]) -> None:
        pause = 0.2
        while True:
            try:
                counts = self._store(messages)
                break
            except (OperationalError, InterfaceError) as error:
                log.warning("consumer_waits_for_database", error=type(error).__name__, seconds=pause)
                messages += self._wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                if self._stop.is_set():
                    return  # nothing was committed: whoever comes next reads it again
        self._resume()
        if counts["dead"]:
            _publish_dead_letters()
        self._commit(messages)
        lag.count(counts)

    def _store(self, messages: Sequence[Message]) -> Counter[str]:
        """Store a batch, the halves of a large one side by side: while one waits for the database, the other computes.

        A partition is in one half, so that its events are written in their order.
        """
        if len(messages) < _WORTH_HALVING:
            close_old_connections()
            return store(messages)
        places = sorted({(message.topic(), message.partition()) for message in messages})
        sides = {place: number % _HALVES for number, place in enumerate(places)}
        halves: list[list[Message]] = [[] for _ in range(_HALVES)]
        for message in messages:
            halves[sides[message.topic(), message.partition()]].append(message)
        stored = [self._pool.submit(_store_and_let_go, half) for half in halves if half]
        wait(stored)
        return sum((each.result() for each in stored), Counter())

    def _wait(self, seconds: float) -> list[Message]:
        """Wait with all partitions paused, staying a member of the group; return what came all the same."""
        if not self._paused:
            self._paused = True
            self._consumer.pause(self._consumer.assignment())
        until, found = time.monotonic() + seconds, []
        while time.monotonic() < until and not self._stop.is_set():
            message = self._consumer.poll(0.1)
            if message is not None:
                found += self._usable([message])
            self._tell()
        return found

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._consumer.resume(self._consumer.assignment())

    def _commit(self, messages: Sequence[Message]) -> None:
        ends: dict[tuple[str, int], int] = {}
        for message in messages:
            topic, partition, offset = place_of(message)
            ends[topic, partition] = max(ends.get((topic, partition), 0), offset + 1)
        offsets = [TopicPartition(topic, partition, end) for (topic, partition), end in ends.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            # The partitions went to another member meanwhile, or the broker is away: they are read again, to no effect.
            log.warning("offsets_not_committed", error=str(error.args[0]))

    def _usable(self, messages: Sequence[Message]) -> list[Message]:
        good = []
        for message in messages:
            error = message.error()
            if error is None:
                good.append(message)
            elif error.fatal() or error.code() in (KafkaError._AUTHENTICATION, KafkaError.TOPIC_AUTHORIZATION_FAILED):
                raise KafkaException(error)
            elif error.code() != KafkaError._PARTITION_EOF:
                log.warning("kafka_error", error=str(error))
        return good

    # --- Partitions, and what is told of them ---------------------------------------------------------------------

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        log.info("partitions_assigned", partitions=[f"{each.topic}/{each.partition}" for each in partitions])
        if self._paused and partitions:
            consumer.pause(partitions)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        lag.forget([(each.topic, each.partition) for each in partitions])

    def _tell(self) -> None:
        """Say once a second that we live and how far we are behind."""
        if time.monotonic() - self._told_at < 1.0:
            return
        self._told_at = time.monotonic()
        beat(PART)
        behind = {}
        for place in self._consumer.position(self._consumer.assignment()):
            _, high = self._consumer.get_watermark_offsets(place, cached=True)
            if high >= 0 and place.offset >= 0:
                behind[place.topic, place.partition] = max(0, high - place.offset)
        lag.tell(behind)


def _store_and_let_go(messages: Sequence[Message]) -> Counter[str]:
    try:
        return store(messages)
    finally:
        connections.close_all()  # back to the pool, which looks at it before it is used again


def store(messages: Sequence[Received]) -> Counter[str]:
    """Write what a batch holds, in one transaction; return how many events were ``new``, ``duplicate`` and ``dead``.

    If the batch is refused, its halves are tried: what is refused alone is buried. Raises the database's
    ``OperationalError`` and ``InterfaceError``, for which no message can be blamed.
    """
    try:
        return _store_together(messages)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if len(messages) > 1:
            middle = len(messages) // 2
            return store(messages[:middle]) + store(messages[middle:])
        log.exception("message_refused", topic=messages[0].topic(), offset=messages[0].offset())
        reason = f"It could not be processed ({type(error).__name__}); the log has the details."
        with platform_scope("bury a message"):
            bury([_letter(messages[0], "internal", reason, _tenant_of(messages[0]))])
        return Counter(dead=1)


def _store_together(messages: Sequence[Received]) -> Counter[str]:
    letters: list[Letter] = []
    by_tenant: dict[UUID, list[NewEvent]] = {}
    for message in messages:
        try:
            tenant_id, new = understood(message.value(), source=place_of(message)[0], id=_id_of(message))
        except ServiceError as error:
            tenant = error.tenant_id if isinstance(error, BadPayload) else None
            letters.append(_letter(message, error.error_code, error.message, tenant))
        else:
            by_tenant.setdefault(tenant_id, []).append(new)
    counts: Counter[str] = Counter()
    with transaction.atomic():
        for tenant_id, batch in by_tenant.items():
            with tenant_scope(tenant_id):
                repeated = sum(accepted.duplicate for accepted in accept_events(batch, process=True))
            counts.update(new=len(batch) - repeated, duplicate=repeated)
        if letters:
            with platform_scope("bury messages"):
                bury(letters)
            counts["dead"] += len(letters)
    return counts


def place_of(message: Received) -> tuple[str, int, int]:
    """Return topic, partition and offset of a message that was read (the client's types allow that it has none)."""
    return message.topic() or "", message.partition() or 0, message.offset() or 0


def place_id(topic: str, partition: int, offset: int, milliseconds: int) -> UUID:
    """Return the UUIDv7 of a place in a topic; its time is the message's, so that a topic made anew has places anew."""
    milliseconds = max(0, milliseconds) & 0xFFFF_FFFF_FFFF
    name = f"{topic}/{partition}/{offset}@{milliseconds}".encode()
    value = milliseconds << 80 | int.from_bytes(hashlib.sha256(name).digest()[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def _id_of(message: Received) -> UUID:
    return place_id(*place_of(message), message.timestamp()[1])


def _letter(message: Received, code: str, reason: str, tenant_id: UUID | None = None) -> Letter:
    key = (message.key() or b"").decode("utf-8", "replace")
    return Letter(
        *place_of(message),
        key,
        message.value() or b"",
        code,
        reason,
        tenant_id,
        _id_of(message),
    )


def _tenant_of(message: Received) -> UUID | None:
    try:
        return understood(message.value(), source=place_of(message)[0])[0]
    except ServiceError as error:
        return error.tenant_id if isinstance(error, BadPayload) else None


def _publish_dead_letters() -> None:
    try:
        outbox.publish()
    except KafkaException as error:
        log.warning("dead_letters_not_published", error=str(error.args[0]))
