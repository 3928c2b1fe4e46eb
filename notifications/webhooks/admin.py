"""Admin pages of webhooks: to look at; the tenant's API changes them."""

from __future__ import annotations

from django.contrib import admin

from notification_service.lib.admin import LongList, MadeFilter, choice_filter
from notifications.webhooks.event_types import EVENT_TYPES
from notifications.webhooks.models import WebhookDelivery, WebhookEndpoint
from tenants.admin_base import ReadOnlyAdmin


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ReadOnlyAdmin):
    """Addresses that are told of events. Secrets are not shown."""

    list_display = ("url", "tenant", "enabled", "disabled_reason", "failures", "paused_until", "last_success_at")
    list_filter = ("enabled", "disabled_reason", "ordered", "ordered_by")
    list_select_related = ("tenant",)
    search_fields = ("url", "description")
    exclude = ("secret_encrypted", "previous_secret_encrypted")


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(LongList, ReadOnlyAdmin):
    """What endpoints were told, and what they answered."""

    list_display = (
        "event_type",
        "tenant",
        "endpoint",
        "status",
        "attempts",
        "response_status",
        "duration_ms",
        "error",
        "made_at",
    )
    list_filter = (MadeFilter, choice_filter("event_type", EVENT_TYPES), "status")
    list_select_related = ("tenant", "endpoint")
    search_fields = ("=id", "=event_id", "=key")
