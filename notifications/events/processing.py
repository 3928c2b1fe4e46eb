"""Pending events, a turn at a time: claimed with SKIP LOCKED, decided in one pass, written in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import structlog
from django.db import Error, InterfaceError, OperationalError, transaction
from django.utils import timezone

from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.events.happening import FIELDS, Happening, write_conclusions
from notifications.events.intake import carry_out_within_quota
from notifications.events.models import Event, EventStatus
from notifications.events.reactions import conclude, react

log = structlog.get_logger(__name__)

#: Events of one transaction.
TURN: Final = 200


def process_turn(tenant_id: UUID, limit: int = TURN) -> int:
    """Process up to ``limit`` of a tenant's pending events; return how many there were.

    An event that can not be processed fails alone: its turn is done again, each event on its own.
    """
    try:
        with tenant_scope(tenant_id):
            events = _claim(limit)
            _process(events)
            return len(events)
    except (OperationalError, InterfaceError):
        raise  # the database's trouble, nobody's fault: they stay pending
    except Exception as error:
        log.warning("events_processed_one_by_one", tenant_id=str(tenant_id), error=type(error).__name__)
    with tenant_scope(tenant_id):
        events = _claim(limit)
        for event in events:
            _process_alone(event)
        return len(events)


def tenants_with_pending() -> list[UUID]:
    """Return the tenants that have pending events."""
    with platform_scope("find pending events"):
        found = Event.objects.filter(status=EventStatus.PENDING).order_by().values_list("tenant_id", flat=True)
        return list(found.distinct())


def _claim(limit: int) -> list[Happening]:
    pending = Event.objects.filter(status=EventStatus.PENDING).order_by("id")
    rows = pending.select_for_update(skip_locked=True).values(*FIELDS)[:limit]
    return [Happening(**row) for row in rows]


def _process(events: Sequence[Happening]) -> None:
    now = timezone.now()
    concluded = list(zip(events, react(events), strict=True))
    for event, reactions in concluded:
        conclude(event, reactions, now)
    write_conclusions(events)
    carry_out_within_quota(concluded)


def _process_alone(event: Happening) -> None:
    try:
        with transaction.atomic():
            _process([event])
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        log.exception("event_failed", event_id=str(event.id), event_type=event.type)
        # What the database says may repeat values: those stay in the log's traceback, masked.
        what = "The database refused it." if isinstance(error, Error) else "Internal error."
        event.status, event.detail = str(EventStatus.FAILED), f"{what} ({type(error).__name__})"
        event.reactions, event.processed_at = [], timezone.now()
        write_conclusions([event])
