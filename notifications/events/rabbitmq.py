"""Events from RabbitMQ (or whatever else kombu speaks): the handler of Kafka's, acknowledged after the commit.

A batch is what one consumer may hold unacknowledged (``basic.qos``). It is written with all that comes of it, and only
then acknowledged; what was buried is rejected without requeue, so that the queue's own dead-letter exchange, where
it has one, sees it too. A crash in between brings the same messages again: an event is known by ``event_id`` or by the
message's ``message-id``. AMQP 0-9-1 §1.8; https://www.rabbitmq.com/docs/confirms.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Sequence
from itertools import count
from threading import Event as Flag
from typing import Any, Final, cast
from urllib.parse import urlsplit
from uuid import UUID

import amqp.exceptions
import orjson
import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections
from kombu import Connection, Consumer, Exchange, Queue

from notification_service.lib.heartbeat import beat
from notification_service.lib.scope import platform_scope
from notifications.events import lag
from notifications.events.consumer import PART, place_id, place_of, store
from notifications.events.models import DeadLetter
from notifications.events.shapes import KNOWN_BY

log = structlog.get_logger(__name__)

_PATIENCE: Final = 1.0
#: How long a batch that has begun waits for more, in seconds.
_GATHER: Final = 0.02
_LONGEST_PAUSE: Final = 15.0
_TELL_EVERY: Final = 5.0
_HEARTBEAT: Final = 30
#: What no waiting mends: a refused login, a queue that was declared otherwise.
REFUSALS: Final = (
    amqp.exceptions.AccessRefused,
    amqp.exceptions.NotAllowed,
    amqp.exceptions.PreconditionFailed,
)


def configured() -> bool:
    """Whether there is a RabbitMQ to speak to."""
    return bool(settings.AMQP_URL)


class Delivery:
    """A message of a queue in the form of one of Kafka's (``Received``).

    A queue has no partitions and offsets: in their stead stand a number of the connection, chosen by chance, and the
    number of the message on it.
    """

    __slots__ = ("_body", "_connection", "_number", "_queue", "_time", "message")

    def __init__(self, message: Any, queue: str, connection: int, number: int) -> None:
        self.message = message
        self._queue, self._connection, self._number = queue, connection, number
        sent = message.properties.get("timestamp")
        self._time = int(sent.timestamp() * 1000) if hasattr(sent, "timestamp") else int(time.time() * 1000)
        self._body = _with_id(_bytes(message.body), self.message_id)

    @property
    def message_id(self) -> str:
        """The sender's own name for the message, or nothing."""
        return str(self.message.properties.get("message_id") or "")[:255]

    @property
    def id(self) -> UUID:
        """The id that its event or its dead letter has."""
        return place_id(*place_of(self), self._time)

    def topic(self) -> str:
        return self._queue

    def partition(self) -> int:
        return self._connection

    def offset(self) -> int:
        return self._number

    def timestamp(self) -> tuple[int, int]:
        return 1, self._time

    def key(self) -> bytes:
        return self.message_id.encode()

    def value(self) -> bytes:
        return self._body


class AmqpConsumer:
    """Reads the queues until it is told to stop. Several processes share the queues."""

    def __init__(self, queues: Sequence[str], *, batch: int | None = None, url: str | None = None) -> None:
        self._queues = list(queues)
        self._batch = batch or settings.AMQP_BATCH
        self._url = url or settings.AMQP_URL
        self._stop = Flag()
        self._found: list[Delivery] = []
        self._connection: Connection | None = None
        self._told_at = 0.0

    def stop(self) -> None:
        """Finish the batch at hand and leave. May be called from a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Read until ``stop``, and connect again whenever the broker was away. Raises ``REFUSALS``."""
        pause = 0.5
        while not self._stop.is_set():
            try:
                self.connect()
                pause = 0.5
                while not self._stop.is_set():
                    self.turn()
            except REFUSALS:
                raise
            except self._broken() as error:
                log.warning("amqp_away", error=type(error).__name__, seconds=round(pause, 1))
                self._stop.wait(pause * random.uniform(0.8, 1.2))  # noqa: S311 - so that not all come back at once
                pause = min(pause * 2, _LONGEST_PAUSE)
            finally:
                self.close()
        log.info("consumer_stopped")

    def connect(self) -> None:
        """Connect, declare the queues and begin to read. What was held unacknowledged comes again, to whomever."""
        self._found.clear()
        self._connection = Connection(self._url, heartbeat=_HEARTBEAT, connect_timeout=5, ssl=tls_of(self._url))
        self._connection.connect()
        channel = self._connection.channel()
        queues = declared(self._queues)
        number, numbers = random.getrandbits(31), count(1)

        for queue in queues:

            def take(message: Any, *_: Any, name: str = queue.name) -> None:
                self._found.append(Delivery(message, name, number, next(numbers)))

            consumer = Consumer(channel, [queue], on_message=take, prefetch_count=self._batch)
            # The body is ours to read: what kombu would not decode is a message like any other.
            consumer.on_decode_error = take
            consumer.consume()
        log.info("consumer_started", queues=self._queues, exchange=settings.AMQP_EXCHANGE)

    def turn(self) -> int:
        """Take in what is there, at most a batch; return how many that were. Raises the connection's errors."""
        connection = self._connected()
        patience = _PATIENCE
        while len(self._found) < self._batch:
            try:
                connection.drain_events(timeout=patience)
            except TimeoutError:
                break
            if self._found:
                patience = _GATHER
        batch, self._found = self._found[: self._batch], self._found[self._batch :]
        if batch:
            self._take_in(batch)
        self._tell(connection)
        return len(batch)

    def close(self) -> None:
        """Leave. The broker gives what is unacknowledged to others."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()

    def _take_in(self, batch: list[Delivery]) -> None:
        pause = 0.2
        while True:
            try:
                close_old_connections()
                counts = store(batch)
                buried = _buried(batch) if counts["dead"] else set()
                break
            except (OperationalError, InterfaceError) as error:
                if self._stop.is_set():
                    return  # nothing was acknowledged: whoever comes next reads it again
                log.warning("consumer_waits_for_database", error=type(error).__name__, seconds=pause)
                self._stop.wait(pause)
                self._connected().heartbeat_check()
                pause = min(pause * 2, _LONGEST_PAUSE)
        for delivery in batch:
            if delivery.id in buried:
                delivery.message.reject(requeue=False)
            else:
                delivery.message.ack()
        lag.count(counts)

    def _tell(self, connection: Connection) -> None:
        """Say that we live, to the broker too, and now and then how much is left in the queues."""
        connection.heartbeat_check()
        if time.monotonic() - self._told_at < _TELL_EVERY:
            return
        self._told_at = time.monotonic()
        beat(PART)
        channel: Any = connection.default_channel
        answers: list[Any] = [queue(channel).queue_declare() for queue in declared(self._queues)]
        lag.tell({(name, 0): answer.message_count for name, answer in zip(self._queues, answers, strict=True)})

    def _connected(self) -> Connection:
        if self._connection is None:
            raise amqp.exceptions.RecoverableConnectionError("not connected")
        return self._connection

    def _broken(self) -> tuple[type[Exception], ...]:
        known = self._connection.connection_errors + self._connection.channel_errors if self._connection else ()
        return (*cast("tuple[type[Exception], ...]", known), OSError, amqp.exceptions.AMQPError)


def declared(names: Sequence[str]) -> list[Queue]:
    """Return durable queues of these names, each bound to ``AMQP_EXCHANGE`` (a topic exchange) by its own name."""
    exchange = Exchange(settings.AMQP_EXCHANGE, type="topic", durable=True) if settings.AMQP_EXCHANGE else None
    return [
        Queue(name, exchange, routing_key=name, durable=True) if exchange else Queue(name, durable=True)
        for name in names
    ]


def _buried(batch: Sequence[Delivery]) -> set[UUID]:
    with platform_scope("which messages were buried"):
        return set(DeadLetter.objects.filter(id__in=[each.id for each in batch]).values_list("id", flat=True))


def _with_id(body: bytes, message_id: str) -> bytes:
    """The body, with the message's id as its ``event_id`` where it is an object that has none of its own."""
    if not message_id:
        return body
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    if not isinstance(read, dict) or any(name in read for name in KNOWN_BY):
        return body
    return orjson.dumps({**read, "event_id": message_id})


def _bytes(body: Any) -> bytes:
    return body.encode("utf-8", "surrogateescape") if isinstance(body, str) else bytes(body or b"")


def tls_of(url: str) -> dict[str, Any] | bool:
    """Return how to speak TLS with the broker of an ``amqps://`` address; False for any other."""
    parts = urlsplit(url)
    if parts.scheme != "amqps":
        return False
    options = {"server_hostname": parts.hostname, "cert_reqs": ssl.CERT_REQUIRED, "ca_certs": settings.AMQP_SSL_CA}
    return {name: value for name, value in options.items() if value}
