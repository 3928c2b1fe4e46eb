"""Admin lists of long tables: a page costs the same however many rows there are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.paginator import InfinitePaginator

from notification_service.lib.ids import id_floor, id_time


class LongList:
    """For a ``ModelAdmin`` of a table that grows without end.

    Rows come in the order of the id, which is that of time, and are never counted: neither needs more than the page.
    """

    list_per_page = 50
    ordering = ("-id",)
    paginator = InfinitePaginator
    show_full_result_count = False
    actions = None

    @admin.display(description="made at", ordering="id")
    def made_at(self, row: Model) -> datetime:
        """The time that the row's UUIDv7 carries."""
        return id_time(row.pk)


class MadeFilter(admin.SimpleListFilter):
    """Rows of the last hours or days, as a range of ids: the primary key finds them, in the few partitions they are."""

    title = "time"
    parameter_name = "made"
    _SPANS: ClassVar[dict[str, tuple[str, timedelta]]] = {
        "hour": ("Past hour", timedelta(hours=1)),
        "day": ("Past 24 hours", timedelta(days=1)),
        "week": ("Past 7 days", timedelta(days=7)),
        "month": ("Past 30 days", timedelta(days=30)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(key, label) for key, (label, _) in self._SPANS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        span = self._SPANS.get(self.value() or "")
        return queryset.filter(id__gte=id_floor(timezone.now() - span[1])) if span else queryset


def choice_filter(field: str, choices: Iterable[str], *, title: str | None = None) -> type[admin.SimpleListFilter]:
    """Return a list filter over values that are known. Django's own would ask the table which values it holds."""
    known = list(choices)

    class ChoiceFilter(admin.SimpleListFilter):
        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            return [(value, value.replace("_", " ").capitalize()) for value in known]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            return queryset.filter(**{field: self.value()}) if self.value() in known else queryset

    ChoiceFilter.title = title or field.replace("_", " ")
    ChoiceFilter.parameter_name = field
    return ChoiceFilter


def as_uuid(text: str) -> UUID | None:
    """Return the UUID that a search box holds, or None if it holds something else."""
    try:
        return UUID(text.strip())
    except ValueError:
        return None
