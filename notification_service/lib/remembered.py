"""What a process remembers of each tenant, for a few seconds and until any process says that it changed.

Whoever changes it counts a number up in Redis after the commit; whoever remembers looks at that number, and looks up
again if it is another. So a change holds everywhere by the time that its maker hears of it. Without Redis it holds when
the seconds are over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, Generic, TypeVar
from uuid import UUID

from django.db import transaction

from notification_service.lib.redis import RedisUnavailable, attempt

T = TypeVar("T")

#: How long the number is believed, in seconds: less than a change takes to be answered and followed by a request.
_LOOK_EVERY: Final = 0.005


class Remembered(Generic[T]):
    """A value for each tenant, looked up when it is asked for. ``name`` is that of the number in Redis."""

    def __init__(self, name: str, seconds: float) -> None:
        self._key = f"changes:{name}"
        self._seconds = seconds
        self._values: dict[UUID, tuple[T, str, float]] = {}
        self._number, self._looked_at = "", 0.0
        self._lock = threading.Lock()

    def get(self, tenant_id: UUID, look_up: Callable[[], T]) -> T:
        """Return a tenant's value; ``look_up`` finds it where it is not known, or not any more."""
        number = self._changes()
        found = self._values.get(tenant_id)
        if found is None or found[1] != number or found[2] < time.monotonic():
            found = self._values[tenant_id] = (look_up(), number, time.monotonic() + self._seconds)
        return found[0]

    def peek(self, tenant_id: UUID) -> T | None:
        """Return a tenant's value if it was looked up within the seconds, without asking anybody."""
        found = self._values.get(tenant_id)
        return found[0] if found is not None and found[2] >= time.monotonic() else None

    def forget(self, tenant_id: UUID) -> None:
        """Look it up again in this process."""
        self._values.pop(tenant_id, None)

    def change(self, tenant_id: UUID) -> None:
        """Say that a tenant's value changes: here at once, everywhere when the transaction is committed."""
        self.forget(tenant_id)
        transaction.on_commit(partial(self._tell, tenant_id))

    def _tell(self, tenant_id: UUID) -> None:
        self.forget(tenant_id)
        with suppress(RedisUnavailable):
            attempt(lambda client: client.incr(self._key))

    def _changes(self) -> str:
        """Return the number of changes as of just now; while Redis is away, the last that was known."""
        with self._lock:
            if self._looked_at + _LOOK_EVERY < time.monotonic():
                with suppress(RedisUnavailable):
                    self._number = str(attempt(lambda client: client.get(self._key)))
                self._looked_at = time.monotonic()
            return self._number
