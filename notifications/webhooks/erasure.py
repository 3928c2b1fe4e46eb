"""A person's rights over what webhooks say of them: their id, and what became of their messages."""

from __future__ import annotations

from typing import Any, Final

import orjson
from django.db.models import Q, QuerySet

from notifications.recipients.hooks import KnownAs
from notifications.webhooks.models import WebhookDelivery

_MOST: Final = 1000


def forget_person(known: KnownAs) -> None:
    """Delete deliveries that name a person (``recipients.hooks.on_erased``), also those that are still to be made."""
    _about(known).delete()


def export_person(known: KnownAs) -> dict[str, Any]:
    """Return the latest deliveries that name a person (``recipients.hooks.on_export``)."""
    rows = _about(known).order_by("-id").values("id", "event_type", "body", "status", "created_at")[:_MOST]
    return {"webhooks": list(rows)}


def _about(known: KnownAs) -> QuerySet[WebhookDelivery]:
    named = Q(id__in=[])
    for user_id in known.user_ids:
        named |= Q(body__contains=f'"userId":{orjson.dumps(user_id).decode()}')
    return WebhookDelivery.objects.filter(named)
