"""From an event to a delivery for each endpoint that wants it, in the transaction that made the event.

A tenant without such an endpoint costs a look into this process's memory: the engine's hot path comes by here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

import orjson
from django.db import connection
from django.utils import timezone

from notification_service.lib.ids import new_id
from notification_service.lib.remembered import Remembered
from notification_service.lib.scope import current_tenant_id
from notifications.webhooks.event_types import EVENT_TYPES
from notifications.webhooks.models import WebhookDelivery, WebhookEndpoint
from notifications.webhooks.wake import wake_after_commit

_SPACE: Final = UUID("b0d2c3a4-6f0e-5d37-9a56-3a4a4f1d9e21")

#: The types that a tenant's endpoints ask for.
_asked: Final = Remembered[frozenset[str]]("webhooks", seconds=5.0)


@dataclass(frozen=True, slots=True)
class News:
    """Something that happened. Of the same ``id`` an endpoint hears once; ``key`` is what it is kept in order by."""

    type: str
    data: Mapping[str, Any]
    key: str
    id: UUID
    at: datetime


def event_id_of(tenant_id: UUID, event_type: str, unique: str) -> UUID:
    """Return the id that the same thing always has: telling it twice changes nothing."""
    return uuid5(_SPACE, f"{tenant_id}:{event_type}:{unique}")


def wanted(tenant_id: UUID, event_types: Collection[str]) -> bool:
    """Return whether an endpoint of the tenant asks for any of these types."""
    return not _asked.get(tenant_id, _asked_for).isdisjoint(event_types)


def endpoints_changed(tenant_id: UUID) -> None:
    """Have a tenant's endpoints looked up again: they change in this transaction."""
    _asked.change(tenant_id)


def publish_news(news: Sequence[News]) -> int:
    """Write the deliveries of events that are wanted; return how many. Needs the tenant's scope."""
    tenant_id = current_tenant_id()
    if not news or not wanted(tenant_id, {one.type for one in news}):
        return 0
    rows = [
        delivery_of(tenant_id, endpoint_id, one)
        for endpoint_id, types in _endpoints(tenant_id)
        for one in news
        if not types or one.type in types
    ]
    WebhookDelivery.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1000)
    wake_after_commit(tenant_id, sorted({row.endpoint_id for row in rows}))
    return len(rows)


def delivery_of(tenant_id: UUID, endpoint_id: UUID, one: News) -> WebhookDelivery:
    """Return the row that has an endpoint told of an event."""
    now = timezone.now()
    return WebhookDelivery(
        id=new_id(),
        tenant_id=tenant_id,
        endpoint_id=endpoint_id,
        event_id=one.id,
        event_type=one.type,
        key=one.key[:255],
        body=_body(tenant_id, one),
        due_at=now,
        created_at=now,
    )


def _body(tenant_id: UUID, one: News) -> str:
    """Return what is signed and sent: ``type`` is the standard's word, ``event`` the one of older receivers."""
    body = {"type": one.type, "event": one.type, "projectId": tenant_id, "timestamp": one.at, "data": one.data}
    return orjson.dumps(body, option=orjson.OPT_UTC_Z).decode()


def _asked_for() -> frozenset[str]:
    asked = WebhookEndpoint.objects.filter(enabled=True).values_list("event_types", flat=True)
    return frozenset(name for types in asked for name in (types or EVENT_TYPES))


def _endpoints(tenant_id: UUID) -> list[tuple[UUID, frozenset[str]]]:
    """Return the enabled endpoints and what they ask for, kept from being deleted until we commit."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, event_types FROM webhook_endpoint WHERE tenant_id = %s AND enabled ORDER BY id FOR KEY SHARE",
            [tenant_id],
        )
        return [(row[0], frozenset(orjson.loads(row[1]))) for row in cursor.fetchall()]
