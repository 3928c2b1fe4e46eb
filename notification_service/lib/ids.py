"""Ids: UUIDv7 (RFC 9562), ordered by time, so that one column is key, order and partition."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

_TIME_SHIFT = 80  # a v7 id starts with 48 bits of milliseconds since the epoch


def new_id() -> UUID:
    """Return a new UUIDv7; ids made by one process ascend."""
    return uuid7()


def id_floor(moment: datetime) -> UUID:
    """Return the lowest value that an id made at ``moment`` can have: the bound of a range over ids.

    An id's time begins in 1970; before that the lowest of all ids is the bound.
    """
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << _TIME_SHIFT)


def id_time(value: UUID) -> datetime:
    """Return the moment (UTC, millisecond precision) at which a UUIDv7 was made."""
    return datetime.fromtimestamp((value.int >> _TIME_SHIFT) / 1000, tz=UTC)
