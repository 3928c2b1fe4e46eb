"""Admin pages of devices and suppressions: to look at; the tenant's API changes them."""

from __future__ import annotations

from django.contrib import admin

from notification_service.lib.admin import LongList, choice_filter
from notifications.channels.registry import channels
from notifications.recipients.models import Device, Suppression
from tenants.admin_base import ReadOnlyAdmin


@admin.register(Device)
class DeviceAdmin(LongList, ReadOnlyAdmin):
    """Devices that receive push notifications. Their tokens are not shown."""

    list_display = ("device_id", "tenant", "user_id", "platform", "active", "deactivated_reason", "last_seen_at")
    list_filter = ("platform", "active")
    list_select_related = ("tenant",)
    search_fields = ("=user_id", "=device_id")
    exclude = ("token",)


@admin.register(Suppression)
class SuppressionAdmin(LongList, ReadOnlyAdmin):
    """Addresses that get nothing more, and why."""

    list_display = ("address", "tenant", "channel", "category", "reason", "expires_at", "made_at")
    list_filter = (choice_filter("channel", channels.keys()), "reason")
    list_select_related = ("tenant",)
    search_fields = ("=address",)
