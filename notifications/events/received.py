"""A message as it comes in, whichever broker brought it: Kafka's own class has this form already."""

from __future__ import annotations

from typing import Protocol


class Received(Protocol):
    """Where a message stood, and its bytes. The methods are those of ``confluent_kafka.Message``."""

    def topic(self) -> str | None: ...

    def partition(self) -> int | None: ...

    def offset(self) -> int | None: ...

    def timestamp(self) -> tuple[int, int]:
        """Return the kind of the time, and the time in milliseconds since 1970."""
        ...

    def key(self) -> bytes | None: ...

    def value(self) -> bytes | None: ...
