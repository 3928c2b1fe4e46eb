"""An event while it is being worked on: plain values, made by the thousand, on their way into or out of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from django.db import connection

from notifications.events.models import Event, EventStatus, place_of_event


@dataclass(slots=True)
class Happening:
    """The fields of ``Event`` by the same names; see there."""

    id: UUID
    tenant_id: UUID
    type: str
    payload: dict[str, Any]
    metadata: dict[str, Any]
    user_id: str
    source: str
    client_event_id: str | None
    client_timestamp: datetime | None
    mode: str
    received_at: datetime
    depth: int = 0
    status: str = str(EventStatus.PENDING)
    reactions: list[dict[str, Any]] = field(default_factory=list)
    detail: str = ""
    processed_at: datetime | None = None
    secrets_encrypted: bytes | None = None

    @property
    def associated_data(self) -> bytes:
        """What binds the encrypted secrets to the row."""
        return place_of_event(self.tenant_id, self.id)

    def as_event(self) -> Event:
        """Return it as the row that it is."""
        return Event(**{name: getattr(self, name) for name in self.__slots__})


#: What processing needs to know of a stored event.
FIELDS: Final = tuple(name for name in Happening.__slots__ if name != "secrets_encrypted")

_CONCLUDE: Final = """
UPDATE event AS e SET status = b.status, reactions = b.reactions, detail = b.detail, processed_at = b.processed_at
FROM jsonb_to_recordset(%s::jsonb) AS b (id uuid, status text, reactions jsonb, detail text, processed_at timestamptz)
WHERE e.id = b.id
"""


def write_conclusions(happenings: Sequence[Happening]) -> None:
    """Write down what events came to, in one statement. Needs the tenant's scope."""
    rows = [
        {name: getattr(each, name) for name in ("id", "status", "reactions", "detail", "processed_at")}
        for each in happenings
    ]
    with connection.cursor() as cursor:
        cursor.execute(_CONCLUDE, [orjson.dumps(rows).decode()])
