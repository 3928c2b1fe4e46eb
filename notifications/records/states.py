"""The life of a record as a table. Both axes only move forward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.db import models


class Status(models.TextChoices):
    """Where a record stands between us and the provider. ``success`` means that the provider took it."""

    PENDING = "pending", "Pending"
    SCHEDULED = "scheduled", "Scheduled"
    SENDING = "sending", "Sending"
    RETRYING = "retrying", "Retrying"
    SUCCESS = "success", "Success"
    FAILED = "failed", "Failed"
    SUPPRESSED = "suppressed", "Suppressed"
    CANCELLED = "cancelled", "Cancelled"


class DeliveryState(models.TextChoices):
    """What became of it after the provider took it."""

    NONE = "none", "None"
    DELIVERED = "delivered", "Delivered"
    OPENED = "opened", "Opened"
    CLICKED = "clicked", "Clicked"
    BOUNCED = "bounced", "Bounced"
    COMPLAINED = "complained", "Complained"
    UNDELIVERABLE = "undeliverable", "Undeliverable"
    SEEN = "seen", "Seen"
    READ = "read", "Read"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"


class Lane(models.TextChoices):
    """How urgent a record is; each lane has a queue of its own."""

    CRITICAL = "critical", "Critical"
    NORMAL = "normal", "Normal"
    BULK = "bulk", "Bulk"


#: From where a record may move where. What is not listed can not happen; a final status is left by nothing.
TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = {
    Status.PENDING: frozenset({Status.SENDING, Status.SCHEDULED, Status.CANCELLED}),
    Status.SCHEDULED: frozenset({Status.SENDING, Status.PENDING, Status.CANCELLED}),
    Status.RETRYING: frozenset({Status.SENDING, Status.CANCELLED}),
    Status.SENDING: frozenset(
        {
            Status.SUCCESS,
            Status.FAILED,
            Status.RETRYING,
            Status.SUPPRESSED,
            Status.PENDING,  # put back untried: no usable credential
        }
    ),
    Status.SUCCESS: frozenset(),
    Status.FAILED: frozenset(),
    Status.SUPPRESSED: frozenset(),
    Status.CANCELLED: frozenset(),
}

FINAL: Final = frozenset(status for status, onward in TRANSITIONS.items() if not onward)
#: Statuses in which a record waits to be claimed.
WAITING: Final = frozenset(status for status, onward in TRANSITIONS.items() if Status.SENDING in onward)
#: The same inside of a statement's ``IN (…)``, as the partial indexes have it.
WAITING_SQL: Final = ", ".join(f"'{status}'" for status in sorted(WAITING))
#: Statuses in which the tenant may still change the words.
EDITABLE: Final = frozenset({Status.PENDING, Status.SCHEDULED})


def sources(target: Status) -> list[str]:
    """Return the statuses from which a record may move to ``target``."""
    return sorted(str(status) for status, onward in TRANSITIONS.items() if target in onward)


#: What outranks what: ``delivery_state`` only ever moves to a higher rank, whatever the order in which news arrives.
#: That it came to nothing outranks all that went well before, and a complaint outranks that.
DELIVERY_RANKS: Final[Mapping[DeliveryState, int]] = {
    DeliveryState.NONE: 0,
    DeliveryState.DELIVERED: 10,
    DeliveryState.SEEN: 20,
    DeliveryState.OPENED: 20,
    DeliveryState.READ: 30,
    DeliveryState.CLICKED: 30,
    DeliveryState.ACKNOWLEDGED: 40,
    DeliveryState.UNDELIVERABLE: 50,
    DeliveryState.BOUNCED: 60,
    DeliveryState.COMPLAINED: 70,
}
