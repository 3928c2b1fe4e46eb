"""Django admin of records: what became of them; not the words, which are between the tenant and its people."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin

from notifications.records.models import Attempt, IdempotencyKey, NotificationRecord, RecordEvent
from tenants.admin_base import ReadOnlyAdmin


@admin.register(NotificationRecord)
class NotificationRecordAdmin(ReadOnlyAdmin):
    list_display: ClassVar = ["id", "tenant", "channel", "recipient", "status", "failure_reason", "lane", "created_at"]
    list_filter: ClassVar = ["status", "channel", "lane", "mode"]
    list_select_related: ClassVar = ["tenant"]
    search_fields: ClassVar = ["=id", "=recipient"]
    exclude: ClassVar = ["content", "context"]
    show_full_result_count = False


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    list_display: ClassVar = ["record_id", "tenant", "number", "provider", "outcome", "failure_reason", "finished_at"]
    list_filter: ClassVar = ["outcome", "provider"]
    list_select_related: ClassVar = ["tenant"]
    search_fields: ClassVar = ["=record_id"]
    show_full_result_count = False


@admin.register(RecordEvent)
class RecordEventAdmin(ReadOnlyAdmin):
    list_display: ClassVar = ["record_id", "tenant", "kind", "actor", "created_at"]
    list_filter: ClassVar = ["kind"]
    list_select_related: ClassVar = ["tenant"]
    search_fields: ClassVar = ["=record_id"]
    show_full_result_count = False


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(ReadOnlyAdmin):
    list_display: ClassVar = ["key", "tenant", "status_code", "created_at", "expires_at"]
    list_select_related: ClassVar = ["tenant"]
    search_fields: ClassVar = ["=key"]
    exclude: ClassVar = ["request_hash", "response"]
    show_full_result_count = False
