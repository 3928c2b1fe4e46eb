"""Admin pages of the inbox: to look at; people and the tenant's API change it."""

from __future__ import annotations

from django.contrib import admin

from notification_service.lib.admin import LongList, MadeFilter
from notifications.inbox.models import Broadcast, InboxChange, InboxMessage, InboxStream, Sound
from tenants.admin_base import ReadOnlyAdmin


@admin.register(InboxMessage)
class InboxMessageAdmin(LongList, ReadOnlyAdmin):
    """Messages in people's inboxes."""

    list_display = ("id", "tenant", "user_id", "category", "priority", "read_at", "acknowledged_at", "made_at")
    list_filter = (MadeFilter, "priority")
    list_select_related = ("tenant",)
    search_fields = ("=user_id",)


@admin.register(InboxStream)
class InboxStreamAdmin(LongList, ReadOnlyAdmin):
    """Where each person's stream stands."""

    list_display = ("user_id", "tenant", "seq", "unread", "broadcast_seq", "updated_at")
    list_select_related = ("tenant",)
    search_fields = ("=user_id",)


@admin.register(InboxChange)
class InboxChangeAdmin(LongList, ReadOnlyAdmin):
    """Changes that sockets can be told again."""

    list_display = ("user_id", "tenant", "seq", "made_at")
    list_select_related = ("tenant",)
    search_fields = ("=user_id",)


@admin.register(Broadcast)
class BroadcastAdmin(LongList, ReadOnlyAdmin):
    """Messages to many."""

    list_display = ("id", "tenant", "audience", "priority", "expires_at", "retracted_at", "made_at")
    list_filter = ("audience",)
    list_select_related = ("tenant",)


@admin.register(Sound)
class SoundAdmin(LongList, ReadOnlyAdmin):
    """Sounds that messages may play."""

    list_display = ("name", "tenant", "content_type", "size", "created_by", "made_at")
    list_select_related = ("tenant",)
    search_fields = ("=name",)
