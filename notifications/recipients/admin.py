"""Admin pages of people, devices and suppressions: to look at; the tenant's API changes them."""

from __future__ import annotations

from django.contrib import admin

from notification_service.lib.admin import LongList, choice_filter
from notifications.channels.registry import channels
from notifications.recipients.models import Category, Device, Preference, Recipient, Role, Suppression, UserService
from tenants.admin_base import ReadOnlyAdmin


@admin.register(Recipient)
class RecipientAdmin(LongList, ReadOnlyAdmin):
    """People who receive."""

    list_display = ("__str__", "tenant", "name", "email", "phone", "roles", "status", "made_at")
    list_filter = ("status",)
    list_select_related = ("tenant",)
    search_fields = ("=external_user_id", "=email_key", "=phone", "name")


@admin.register(Role)
class RoleAdmin(ReadOnlyAdmin):
    """Names under which tenants address several people."""

    list_display = ("name", "tenant", "description")
    list_select_related = ("tenant",)
    search_fields = ("name",)


@admin.register(Category)
class CategoryAdmin(ReadOnlyAdmin):
    """Kinds of message that people may choose."""

    list_display = ("key", "tenant", "name", "required", "default_on")
    list_filter = ("required", "default_on")
    list_select_related = ("tenant",)
    search_fields = ("key", "name")


@admin.register(Preference)
class PreferenceAdmin(LongList, ReadOnlyAdmin):
    """What people want to get, where and when."""

    list_display = ("user_id", "tenant", "quiet_start", "quiet_end", "time_zone", "digest", "updated_at")
    list_filter = ("digest",)
    list_select_related = ("tenant",)
    search_fields = ("=user_id",)


@admin.register(UserService)
class UserServiceAdmin(ReadOnlyAdmin):
    """Where tenants' own services answer who somebody is. Secrets are not shown."""

    list_display = ("url", "tenant", "enabled", "updated_at")
    list_select_related = ("tenant",)
    exclude = ("secret_encrypted",)
    search_fields = ("url",)


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
