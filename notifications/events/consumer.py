"""Events from Kafka: batches in, one transaction, then the offsets. What can not be read is buried, never in the way.

A batch is written, together with everything that comes of it, before its offsets are committed: a crash in between
brings the same messages again, and they change nothing (an event's id is made of its place in the topic).
"""

from __future__ import annotations

import gc
import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from threading import Event as Flag
from typing import Any, Final, TypeAlias
from uuid import UUID

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction

from notification_service.lib.errors import ServiceError
from notification_service.lib.heartbeat import beat
from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.events import lag, outbox
from notifications.events.dead_letters import BadPayload, Letter, bury, understood
from notifications.events.intake import accept_events, known_among
from notifications.events.kafka import make_consumer
from notifications.events.received import Received
from notifications.events.shapes import NewEvent
from notifications.events.writers import Place, Writers
from tenants import limits

log = structlog.get_logger(__name__)

#: The consumer's name among the heartbeats.
PART: Final = "consumer"
_PATIENCE: Final = 1.0
#: New objects after which Python looks for cycles; 700 is its own word.
_YOUNG: Final = 50_000
#: How long a batch that has begun waits for more, in seconds.
_GATHER: Final = 0.02
#: While one waits for the database, the other computes; more would only wait for each other.
_WRITERS: Final = 2

_Pair: TypeAlias = tuple[Received, NewEvent]


class EventConsumer:
    """Reads the topics until it is told to stop. One in each process; several processes share the partitions."""

    def __init__(self, topics: Sequence[str], *, batch: int | None = None, **config: Any) -> None:
        self._topics = list(topics)
        self._batch = batch or settings.KAFKA_BATCH
        self._refusal: KafkaError | None = None
        self._refused = False
        self._consumer: Consumer = make_consumer(**config, error_cb=self._on_error)
        self._writers = Writers(lambda messages: store(messages), count=_WRITERS, most=self._batch)
        self._stop = Flag()
        self._owned: set[Place] = set()
        self._ends: dict[Place, int] = {}
        self._uncommitted: set[Place] = set()
        self._paused = False
        self._told_at = 0.0

    def stop(self) -> None:
        """Finish the batches in hand and leave the group. May be called from a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Read until ``stop``. Raises ``KafkaException`` for what no waiting mends (a refused login, say)."""
        self.subscribe()
        # A batch is many small values that die together: looking for cycles among them finds none.
        gc.freeze()
        gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
        log.info("consumer_started", topics=self._topics, group=settings.KAFKA_GROUP_ID)
        try:
            while not self._stop.is_set():
                self.turn()
        finally:
            self.close()
            log.info("consumer_stopped")

    def subscribe(self) -> None:
        """Join the group."""
        self._consumer.subscribe(self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke)

    def close(self) -> None:
        """Finish the batches in hand, commit their offsets, and leave the group."""
        try:
            self._writers.give_up()
            self._settle()
        finally:
            self._writers.close()
            self._consumer.close()

    def turn(self) -> int:
        """Read what is there, and commit what was written meanwhile; return how many messages that were.

        Raises ``KafkaException`` where no broker takes our login or certificate.
        """
        messages = self._read()
        if self._refused:
            raise KafkaException(self._refusal)
        self._writers.hand_out(messages)
        self._pause_or_resume()
        # With room for more there is reading to do; with none, nothing but waiting for a writer.
        settled = self._collect(0.0 if messages else _GATHER)
        self._tell()
        return settled

    # --- Reading --------------------------------------------------------------------------------------------------

    def _read(self) -> list[Message]:
        if self._writers.backlog >= self._batch and not self._paused:
            return []  # back-pressure: librdkafka fetches no further than its own queue
        if not self._writers.idle:
            return self._usable(self._consumer.consume(self._batch, _GATHER))
        messages = self._usable(self._consumer.consume(1, _PATIENCE))
        return messages + self._usable(self._consumer.consume(self._batch - 1, _GATHER)) if messages else []

    def _usable(self, messages: Sequence[Message]) -> list[Message]:
        good = []
        for message in messages:
            error = message.error()
            if error is None:
                # What came before a rebalancing in the same call may be somebody else's by now.
                if (message.topic(), message.partition()) in self._owned:
                    good.append(message)
            elif error.fatal() or error.code() in (KafkaError._AUTHENTICATION, KafkaError.TOPIC_AUTHORIZATION_FAILED):
                raise KafkaException(error)
            elif error.code() != KafkaError._PARTITION_EOF:
                log.warning("kafka_error", error=str(error))
        return good

    def _on_error(self, error: KafkaError) -> None:
        """Hear from librdkafka what is no answer to a question; it goes on trying, whatever happens."""
        if error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
            self._refusal = error
        elif error.code() == KafkaError._ALL_BROKERS_DOWN and self._refusal is not None:
            self._refused = True  # one broker that refuses is no reason while others do not

    def _pause_or_resume(self) -> None:
        """While the database is away nothing more is fetched; polling goes on, so that we stay in the group."""
        if self._paused != self._writers.in_trouble:
            self._paused = not self._paused
            (self._consumer.pause if self._paused else self._consumer.resume)(self._consumer.assignment())

    # --- What was written -----------------------------------------------------------------------------------------

    def _collect(self, timeout: float = 0.0) -> int:
        """Commit the offsets of what was written; return how many messages that were."""
        stored = self._writers.collect(timeout)
        if not stored:
            return 0
        messages = [message for batch, _ in stored for message in batch]
        counts = sum((each for _, each in stored), Counter[str]())
        if counts["dead"]:
            _publish_dead_letters()
        self._commit(messages)
        lag.count(counts)
        return len(messages)

    def _settle(self) -> None:
        """Wait until the batches in hand are written, unless the database is away, and commit their offsets."""
        while not self._writers.idle and not self._writers.in_trouble:
            self._collect(_GATHER)
        self._collect()

    def _commit(self, messages: Sequence[Message] = ()) -> None:
        """Commit the offsets of these messages, and those that could not be committed before."""
        for message in messages:  # a partition's in their order
            topic, partition, offset = place_of(message)
            if (topic, partition) in self._owned:
                self._ends[topic, partition] = offset + 1
                self._uncommitted.add((topic, partition))
        if not self._uncommitted:
            return
        offsets = [TopicPartition(place[0] or "", place[1] or 0, self._ends[place]) for place in self._uncommitted]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            # A rebalancing is under way, or the broker is away. If it stays so they are read again, to no effect.
            log.warning("offsets_not_committed", error=str(error.args[0]))
        else:
            self._uncommitted.clear()

    # --- Partitions, and what is told of them ---------------------------------------------------------------------

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        log.info("partitions_assigned", partitions=[f"{each.topic}/{each.partition}" for each in partitions])
        self._owned.update((each.topic, each.partition) for each in partitions)
        if self._paused and partitions:
            consumer.incremental_assign(partitions)
            consumer.pause(partitions)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Finish what is in hand before the partitions are another's, so that it does not read it again."""
        places = {(each.topic, each.partition) for each in partitions}
        self._writers.give_up(places)
        self._settle()
        lag.forget(places)
        self._owned -= places
        self._uncommitted -= places
        for place in places:
            self._ends.pop(place, None)

    def _tell(self) -> None:
        """Say once a second that we live and how far we are behind."""
        if time.monotonic() - self._told_at < 1.0:
            return
        self._told_at = time.monotonic()
        beat(PART)
        if self._uncommitted:
            self._commit()
        behind = {}
        for place in self._consumer.position(self._consumer.assignment()):
            _, high = self._consumer.get_watermark_offsets(place, cached=True)
            done = self._ends.get((place.topic, place.partition), place.offset)
            if high >= 0 and done >= 0:
                behind[place.topic, place.partition] = max(0, high - done)
        lag.tell(behind)


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
    by_tenant: dict[UUID, list[_Pair]] = {}
    for message in messages:
        try:
            place = place_of(message)
            id_ = place_id(*place, message.timestamp()[1])
            tenant_id, new = understood(message.value(), source=place[0], id=id_)
        except ServiceError as error:
            tenant = error.tenant_id if isinstance(error, BadPayload) else None
            letters.append(_letter(message, error.error_code, error.message, tenant))
        else:
            by_tenant.setdefault(tenant_id, []).append((message, new))
    counts: Counter[str] = Counter()
    with transaction.atomic():
        for tenant_id, pairs in by_tenant.items():
            with tenant_scope(tenant_id):
                pairs, beyond = _within_quota(tenant_id, pairs)
                accepted = accept_events([new for _, new in pairs], process=True)
            repeated = sum(each.duplicate for each in accepted)
            counts.update(new=len(pairs) - repeated, duplicate=repeated)
            refusal = limits.events_used_up()
            letters += [_letter(message, refusal.error_code, refusal.message, tenant_id) for message, _ in beyond]
        if letters:
            with platform_scope("bury messages"):
                bury(letters)
            counts["dead"] += len(letters)
    return counts


def _within_quota(tenant_id: UUID, pairs: list[_Pair]) -> tuple[list[_Pair], list[_Pair]]:
    """Return what may still come in this month, and what may not; what has come before may come again.

    Nothing else limits a topic: what waits in it waits safely.
    """
    left = limits.events_left(tenant_id, "live")
    if left is None or left >= len(pairs):
        return pairs, []
    known = known_among([new for _, new in pairs])
    fresh = [pair for pair, was_here in zip(pairs, known, strict=True) if not was_here]
    beyond = fresh[left:]
    late = {id(pair) for pair in beyond}
    return [pair for pair in pairs if id(pair) not in late], beyond


def place_of(message: Received) -> tuple[str, int, int]:
    """Return topic, partition and offset of a message that was read (the client's types allow that it has none)."""
    return message.topic() or "", message.partition() or 0, message.offset() or 0


def place_id(topic: str, partition: int, offset: int, milliseconds: int) -> UUID:
    """Return the UUIDv7 of a place in a topic; its time is the message's, so that a topic made anew has places anew.

    Within a millisecond the ids of a partition ascend with its offsets (RFC 9562, 6.2).
    """
    time_and_version = (milliseconds & 0xFFFF_FFFF_FFFF if milliseconds > 0 else 0) << 16 | 0x7000
    high = time_and_version | offset >> 28 & 0xFFF
    return UUID(int=high << 64 | (0x2000_0000 | (offset & 0xFFF_FFFF)) << 34 | _mark(topic, partition))


@lru_cache(maxsize=4096)
def _mark(topic: str, partition: int) -> int:
    """What tells one partition from others, in 34 bits."""
    return int.from_bytes(hashlib.sha256(f"{topic}/{partition}".encode()).digest()[:5], "big") >> 6


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
