"""The month's quota: tenants whose endpoints ask for it hear at 80 % and at the end, once a month each."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.webhooks.models import WebhookEndpoint
from notifications.webhooks.services import publish
from tenants import limits

_WARN_AT: Final = 0.8
_WARNING, _EXCEEDED = "quota.warning", "quota.exceeded"


def tell_quotas() -> None:
    """Look at the counters of the tenants that want to hear of them, and tell what is new."""
    asked = Q(event_types=[]) | Q(event_types__contains=[_WARNING]) | Q(event_types__contains=[_EXCEEDED])
    with platform_scope("find whom quotas concern"):
        tenants = list(WebhookEndpoint.objects.filter(asked, enabled=True).values_list("tenant_id", flat=True))
    for tenant_id in sorted(set(tenants)):
        _tell(tenant_id)


def _tell(tenant_id: UUID) -> None:
    used, quota = limits.month_so_far(tenant_id)
    if not quota or used < quota * _WARN_AT:
        return
    kind, month = (_EXCEEDED if used >= quota else _WARNING), timezone.now().strftime("%Y-%m")
    data = {"month": month, "used": used, "quota": quota, "percent": int(used * 100 / quota)}
    with tenant_scope(tenant_id):
        publish(kind, data, key="quota", unique=month)
