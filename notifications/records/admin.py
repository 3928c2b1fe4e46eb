"""Admin pages of records: to look at. What was written to people (content, context) is not shown here."""

from __future__ import annotations

from typing import Any, get_args

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from notification_service.lib.admin import LongList, MadeFilter, as_uuid, choice_filter
from notifications.channels.registry import channels
from notifications.providers.base import FailureReason
from notifications.providers.registry import providers
from notifications.records.models import Attempt, IdempotencyKey, NotificationRecord, Receipt, RecordEvent
from notifications.records.services import timeline
from notifications.records.states import DELIVERY_RANKS
from tenants.admin_base import ReadOnlyAdmin
from tenants.callers import Mode
from tenants.models import Tenant

#: Parts of a step that have a column of their own, or say nothing to a person.
_OWN_COLUMN = frozenset({"at", "event", "status"})

_KINDS = ("edited", "cancelled", "deleted", "resent", "worker_lost")


@admin.register(NotificationRecord)
class NotificationRecordAdmin(LongList, ReadOnlyAdmin):
    """Notification records of all tenants, with the story of each."""

    list_display = (
        "made_at",
        "tenant",
        "channel",
        "recipient",
        "status",
        "failure_reason",
        "attempt_count",
        "lane",
        "mode",
        "provider",
    )
    list_display_links = ("made_at", "recipient")
    list_filter = (
        "status",
        choice_filter("channel", channels.keys()),
        choice_filter("failure_reason", FailureReason),
        "lane",
        choice_filter("mode", get_args(Mode)),
        MadeFilter,
    )
    list_select_related = ("tenant",)
    search_fields = ("id",)  # shows the box; get_search_results says what it finds
    search_help_text = "A record's id, a tenant's id or slug, or a whole recipient"
    fields = (
        "id",
        "tenant",
        "channel",
        "recipient",
        "lane",
        "mode",
        "status",
        "delivery_state",
        "failure_reason",
        "provider",
        "provider_response",
        "provider_message_id",
        "credential_id",
        ("attempt_count", "lost_count"),
        ("retry_count", "max_retries"),
        ("due_at", "scheduled_at"),
        ("sent_at", "expires_at"),
        ("lease_token", "lease_until"),
        "resend_of",
        "created_by",
        ("created_at", "updated_at"),
        "deleted_at",
        "metadata",
        "story",
    )
    readonly_fields = ("story",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[NotificationRecord], search_term: str
    ) -> tuple[QuerySet[NotificationRecord], bool]:
        """Find by what an index holds; a part of an address would read every record of every tenant."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if (wanted := as_uuid(term)) is not None:
            is_tenant = Tenant.objects.filter(id=wanted).exists()
            return queryset.filter(**{"tenant_id" if is_tenant else "id": wanted}), False
        if (tenant := Tenant.objects.filter(slug=term).first()) is not None:
            return queryset.filter(tenant=tenant), False
        return queryset.filter(recipient=term), False

    @admin.display(description="timeline")
    def story(self, record: NotificationRecord) -> SafeString:
        """Everything that happened to the record, in order."""
        rows = (
            (f"{step['at']:%Y-%m-%d %H:%M:%S} UTC", step["event"], step.get("status", ""), _rest(step))
            for step in timeline(record)
        )
        return format_html_join("", "<div>{} · {} → {}{}</div>", rows)


def _rest(step: dict[str, Any]) -> str:
    said = (f"{name}: {value}" for name, value in step.items() if name not in _OWN_COLUMN and value not in (None, ""))
    return "".join(f" · {words}" for words in said)


class _BelongsToRecord(LongList, ReadOnlyAdmin):
    """Rows that a record has many of, found by its id."""

    search_fields = ("record_id",)
    search_help_text = "A record's id"
    list_select_related = ("tenant",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term.strip():
            return queryset, False
        record_id = as_uuid(search_term)
        return (queryset.filter(record_id=record_id) if record_id else queryset.none()), False


@admin.register(Attempt)
class AttemptAdmin(_BelongsToRecord):
    """Tries at providers and what they answered."""

    list_display = (
        "made_at",
        "tenant",
        "record_id",
        "number",
        "provider",
        "outcome",
        "failure_reason",
        "code",
        "ambiguous",
    )
    list_filter = (
        "outcome",
        choice_filter("failure_reason", FailureReason),
        choice_filter("provider", providers.keys()),
        MadeFilter,
    )


@admin.register(RecordEvent)
class RecordEventAdmin(_BelongsToRecord):
    """The rarer events of records: edited, cancelled, resent, a worker lost."""

    list_display = ("made_at", "tenant", "record_id", "kind", "actor")
    list_filter = (choice_filter("kind", (*_KINDS, *DELIVERY_RANKS)), MadeFilter)


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(LongList, ReadOnlyAdmin):
    """Idempotency keys. The answer that is kept with each holds a record's content and is not shown."""

    list_display = ("key", "tenant", "status_code", "created_at", "expires_at")
    list_filter = (MadeFilter,)
    list_select_related = ("tenant",)
    search_fields = ("=key",)
    fields = ("id", "tenant", "key", "status_code", "created_at", "expires_at")


@admin.register(Receipt)
class ReceiptAdmin(_BelongsToRecord):
    """What providers reported. The addresses in it are not shown."""

    list_display = ("made_at", "tenant", "provider", "state", "record_id", "occurred_at", "applied_at")
    list_filter = (choice_filter("provider", providers.keys()), MadeFilter)
    exclude = ("payload", "event_key")
