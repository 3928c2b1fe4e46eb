"""Lists in pages: ``?page=`` for people, ``?cursor=`` for machines (any depth at the same cost)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from rest_framework.pagination import BasePagination, CursorPagination, PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response

if TYPE_CHECKING:
    from rest_framework.views import APIView


class NumberedPages(PageNumberPagination):
    """``?page=2&page_size=100`` → ``{"count", "next", "previous", "results"}``."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500


class Cursor(CursorPagination):
    """``?cursor=`` → ``{"next", "previous", "results"}``, by id, which is by time."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500
    ordering = "-id"


class PageOrCursorPagination(BasePagination):
    """Numbered pages, or a cursor when the request has ``cursor`` (empty for the first page)."""

    def paginate_queryset(
        self, queryset: QuerySet[Any] | Sequence[Any], request: Request, view: APIView | None = None
    ) -> list[Any] | None:
        self._chosen: BasePagination = Cursor() if "cursor" in request.query_params else NumberedPages()
        return self._chosen.paginate_queryset(queryset, request, view)

    def get_paginated_response(self, data: Any) -> Response:
        return self._chosen.get_paginated_response(data)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return NumberedPages().get_paginated_response_schema(schema)

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        return [
            *NumberedPages().get_schema_operation_parameters(view),
            {
                "name": "cursor",
                "in": "query",
                "required": False,
                "description": "Page by cursor instead of by number; empty for the first page.",
                "schema": {"type": "string"},
            },
        ]
