"""Admin pages of batches, their chunks, files and rows: to look at; the tenant's API changes them."""

from __future__ import annotations

from django.contrib import admin

from notification_service.lib.admin import LongList, MadeFilter, choice_filter
from notifications.batches.models import Batch, BrokenRow, Chunk, Job, StagedRow
from notifications.channels.registry import channels
from tenants.admin_base import ReadOnlyAdmin


@admin.register(Batch)
class BatchAdmin(LongList, ReadOnlyAdmin):
    """Batches and their counters."""

    list_display = (
        "made_at",
        "tenant",
        "source",
        "status",
        "held",
        "total",
        "success",
        "failed",
        "suppressed",
        "cancelled",
        "mode",
    )
    list_filter = ("source", "status", "held", MadeFilter)
    list_select_related = ("tenant",)
    search_fields = ("=id",)


@admin.register(Chunk)
class ChunkAdmin(LongList, ReadOnlyAdmin):
    """Chunks of batches."""

    list_display = ("made_at", "tenant", "batch_id", "number")
    list_select_related = ("tenant",)
    search_fields = ("=batch__id",)
    exclude = ("request_hash",)


@admin.register(Job)
class JobAdmin(LongList, ReadOnlyAdmin):
    """Files, and how far they are. What is written to people is not shown here."""

    list_display = (
        "made_at",
        "tenant",
        "file_name",
        "channel",
        "status",
        "phase",
        "rows_read",
        "staged",
        "broken",
        "duplicates",
        "recorded",
        "suppressed",
    )
    list_filter = ("status", "phase", choice_filter("channel", channels.keys()), "dry_run", MadeFilter)
    list_select_related = ("tenant",)
    search_fields = ("=id", "=file_name")
    exclude = ("content", "context", "lease_token")


@admin.register(StagedRow)
class StagedRowAdmin(LongList, ReadOnlyAdmin):
    """Rows that are to become records."""

    list_display = ("made_at", "tenant", "job_id", "row_number", "address", "user_id")
    list_select_related = ("tenant",)
    search_fields = ("=id",)
    exclude = ("context", "address_hash", "address_key")


@admin.register(BrokenRow)
class BrokenRowAdmin(LongList, ReadOnlyAdmin):
    """Rows that can not be sent, and why."""

    list_display = ("made_at", "tenant", "job_id", "row_number", "column", "code", "reason")
    list_select_related = ("tenant",)
    search_fields = ("=id",)
    exclude = ("original",)
