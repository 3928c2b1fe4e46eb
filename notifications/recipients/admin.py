"""Django admin of devices and suppressions: to look at; the tenant's API changes them."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin

from notifications.recipients.models import Device, Suppression
from tenants.admin_base import ReadOnlyAdmin


@admin.register(Device)
class DeviceAdmin(ReadOnlyAdmin):
    list_display: ClassVar = ["device_id", "tenant", "user_id", "platform", "active", "deactivated_reason"]
    list_filter: ClassVar = ["platform", "active"]
    list_select_related: ClassVar = ["tenant"]
    search_fields: ClassVar = ["=user_id", "=device_id"]
    exclude: ClassVar = ["token"]
    show_full_result_count = False


@admin.register(Suppression)
class SuppressionAdmin(ReadOnlyAdmin):
    list_display: ClassVar = ["address", "tenant", "channel", "category", "reason", "expires_at", "created_at"]
    list_filter: ClassVar = ["channel", "reason"]
    list_select_related: ClassVar = ["tenant"]
    search_fields: ClassVar = ["=address"]
    show_full_result_count = False
