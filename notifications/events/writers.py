"""Threads that store events while the next ones are read: while one waits for the database, another computes.

A partition belongs to one writer, so that its events are written in their order. A writer has one batch in hand and
messages that wait; what it has stored, it hands back for its offsets to be committed.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

import structlog
from confluent_kafka import Message
from django.db import InterfaceError, OperationalError, connections

log = structlog.get_logger(__name__)

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 15.0

Place: TypeAlias = tuple[str | None, int | None]
Store: TypeAlias = Callable[[Sequence[Message]], Counter[str]]
Stored: TypeAlias = tuple[list[Message], Counter[str]]


class Writer(threading.Thread):
    """Stores what it is handed, at most ``most`` messages at once, until it is closed."""

    def __init__(self, store: Store, most: int, done: SimpleQueue[Stored | BaseException]) -> None:
        super().__init__(name="event-writer", daemon=True)
        self._store, self._most, self._done = store, most, done
        self._changed = threading.Condition()
        self._waiting: list[Message] = []
        self._closed = threading.Event()
        self.busy = False
        #: Whether the database is away; the batch in hand is tried again until it is back.
        self.in_trouble = False

    @property
    def backlog(self) -> int:
        """How many messages wait."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether there is nothing in hand, and nothing waits."""
        with self._changed:
            return not (self.busy or self._waiting)

    def hand(self, messages: Sequence[Message]) -> None:
        """Add messages to those that wait."""
        with self._changed:
            self._waiting += messages
            self._changed.notify()

    def give_up(self, places: Collection[Place] | None = None) -> None:
        """Forget what waits of these partitions (of all: None): they are somebody else's, or it is time to go."""
        with self._changed:
            self._waiting = [
                each for each in self._waiting if places is not None and (each.topic(), each.partition()) not in places
            ]

    def close(self) -> None:
        """Take no more; a batch that the database does not take is given up, to be read again by whoever comes next."""
        self._closed.set()
        with self._changed:
            self._changed.notify()

    def run(self) -> None:
        while batch := self._next():
            try:
                counts = self._stored(batch)
            except Exception as error:
                self._done.put(error)
            else:
                if counts is not None:
                    self._done.put((batch, counts))
            finally:
                with self._changed:
                    self.busy = False

    def _next(self) -> list[Message]:
        """Wait for messages and return them; none when it is time to go."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed.is_set())
            if self._closed.is_set():
                return []
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            self.busy = True
            return batch

    def _stored(self, batch: list[Message]) -> Counter[str] | None:
        """Store a batch, however long the database is away; None if it was given up."""
        pause = _FIRST_PAUSE
        while True:
            try:
                counts = self._store(batch)
            except (OperationalError, InterfaceError) as error:
                log.warning("consumer_waits_for_database", error=type(error).__name__, seconds=pause)
                self.in_trouble = True
            else:
                self.in_trouble = False
                return counts
            finally:
                connections.close_all()  # back to the pool, which looks at it before it is used again
            if self._closed.wait(pause):
                return None
            pause = min(pause * 2, _LONGEST_PAUSE)


class Writers:
    """The writers of one consumer."""

    def __init__(self, store: Store, *, count: int, most: int) -> None:
        self._done: SimpleQueue[Stored | BaseException] = SimpleQueue()
        self._writers = [Writer(store, most, self._done) for _ in range(count)]
        self._of_place: dict[Place, Writer] = {}
        for writer in self._writers:
            writer.start()

    @property
    def backlog(self) -> int:
        """How many messages wait."""
        return sum(writer.backlog for writer in self._writers)

    @property
    def idle(self) -> bool:
        """Whether all is stored and collected."""
        return all(writer.idle for writer in self._writers) and self._done.empty()

    @property
    def in_trouble(self) -> bool:
        """Whether one of them waits for the database."""
        return any(writer.in_trouble for writer in self._writers)

    def hand_out(self, messages: Sequence[Message]) -> None:
        """Hand each message to the writer of its partition."""
        portions: dict[Writer, list[Message]] = {}
        for message in messages:
            place = (message.topic(), message.partition())
            writer = self._of_place.get(place)
            if writer is None:
                fewest = Counter(dict.fromkeys(self._writers, 0))
                fewest.update(self._of_place.values())
                writer = self._of_place[place] = min(self._writers, key=fewest.__getitem__)
            portions.setdefault(writer, []).append(message)
        for writer, portion in portions.items():
            writer.hand(portion)

    def collect(self, timeout: float = 0.0) -> list[Stored]:
        """Return the batches that were stored since; wait for the first one. Raises what a writer could not handle."""
        found: list[Stored] = []
        try:
            while True:
                one = self._done.get(timeout=timeout) if timeout and not found else self._done.get_nowait()
                if isinstance(one, BaseException):
                    raise one
                found.append(one)
        except Empty:
            return found

    def give_up(self, places: Collection[Place] | None = None) -> None:
        """Forget what waits of these partitions; without any, of all."""
        for writer in self._writers:
            writer.give_up(places)

    def close(self) -> None:
        """End the threads."""
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            writer.join()
