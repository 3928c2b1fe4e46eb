"""Admin pages of events and dead letters: to look at, and to take a letter in again."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from notification_service.lib.admin import LongList, MadeFilter
from notification_service.lib.errors import ServiceError
from notifications.events import dead_letters
from notifications.events.models import (
    DeadLetter,
    Event,
    EventSetting,
    EventSource,
    OutboxMessage,
    Rule,
    RuleVersion,
    Step,
    Throttle,
)
from tenants.admin_base import ReadOnlyAdmin
from tenants.callers import Caller


@admin.register(Event)
class EventAdmin(LongList, ReadOnlyAdmin):
    """What happened, and what came of it. Secrets are not shown."""

    list_display = ("type", "tenant", "status", "user_id", "source", "client_event_id", "detail", "received_at")
    list_filter = ("status", MadeFilter)
    list_select_related = ("tenant",)
    search_fields = ("=type", "=client_event_id", "=user_id")
    exclude = ("secrets_encrypted",)


@admin.register(EventSetting)
class EventSettingAdmin(ReadOnlyAdmin):
    """How tenants react to known events."""

    list_display = ("type", "tenant", "enabled", "channels", "priority", "updated_at")
    list_filter = ("enabled",)
    list_select_related = ("tenant",)


@admin.register(EventSource)
class EventSourceAdmin(ReadOnlyAdmin):
    """Systems that sign calls of the webhook. Their secrets are not shown."""

    list_display = ("name", "tenant", "enabled", "created_at", "last_used_at")
    list_select_related = ("tenant",)
    exclude = ("secret_encrypted",)


@admin.register(DeadLetter)
class DeadLetterAdmin(LongList, ReadOnlyAdmin):
    """Messages that could not be taken in, with the reason; choose some to take them in again."""

    list_display = ("topic", "partition", "offset", "tenant", "code", "reason", "created_at", "replayed_at")
    list_filter = ("code", "topic", MadeFilter)
    list_select_related = ("tenant",)
    search_fields = ("=topic", "=key", "reason")
    exclude = ("message_encrypted",)
    actions = ("replay",)  # type: ignore[assignment]

    @admin.action(description="Take in again")
    def replay(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> None:
        staff = Caller(None, "user", str(request.user.pk), str(request.user))
        for letter in queryset.order_by("id"):
            try:
                accepted = dead_letters.replay_as_staff(staff, letter.id)
            except ServiceError as error:
                self.message_user(request, f"{letter}: {error.message}", messages.ERROR)
            else:
                self.message_user(request, f"{letter}: event {accepted.event.id}", messages.SUCCESS)


@admin.register(OutboxMessage)
class OutboxMessageAdmin(ReadOnlyAdmin):
    """News that waits for Kafka."""

    list_display = ("id", "tenant", "key", "value")
    list_select_related = ("tenant",)


@admin.register(Rule)
class RuleAdmin(ReadOnlyAdmin):
    """What tenants want to happen when; their API changes it."""

    list_display = ("name", "tenant", "priority", "active", "version", "next_run_at", "updated_at")
    list_filter = ("active",)
    list_select_related = ("tenant",)
    search_fields = ("name",)


@admin.register(RuleVersion)
class RuleVersionAdmin(ReadOnlyAdmin):
    """What rules said from one change to the next."""

    list_display = ("rule", "tenant", "number", "created_by", "created_at")
    list_select_related = ("tenant", "rule")


@admin.register(Step)
class StepAdmin(LongList, ReadOnlyAdmin):
    """What waits: delays, digests, escalations."""

    list_display = ("kind", "tenant", "rule", "status", "due_at", "key", "cancel_key", "detail")
    list_filter = ("kind", "status", MadeFilter)
    list_select_related = ("tenant", "rule")


@admin.register(Throttle)
class ThrottleAdmin(ReadOnlyAdmin):
    """How often rules have spoken."""

    list_display = ("rule", "tenant", "key", "window_start", "count")
    list_select_related = ("tenant", "rule")
