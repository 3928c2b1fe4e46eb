"""What every room's views are built from: authentication, a permission by name, and the caller's tenant scope."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, ClassVar

import structlog
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django_filters import FilterSet
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from notification_service.lib.errors import NotFound
from notification_service.lib.scope import current_scope, tenant_scope
from tenants.api.pagination import PageOrCursorPagination
from tenants.api.permissions import PUBLIC, AnyOf, required_permission
from tenants.callers import Caller
from tenants.permissions import Permission

Permissions = Permission | AnyOf | str | Mapping[str, Permission | AnyOf | str]


class ServiceView(APIView):
    """A view that names its permissions. It runs in no scope: services that it calls open their own."""

    permissions: ClassVar[Permissions]

    def get_authenticators(self) -> list[BaseAuthentication]:
        """What is public asks nobody who they are: an expired token in the header is no obstacle to signing in."""
        if self.request is not None and required_permission(self, self.request.method or "GET") == PUBLIC:
            return []
        return super().get_authenticators()

    @property
    def caller(self) -> Caller:
        """Who is calling; only in views that are not public."""
        caller: Caller = self.request.auth  # type: ignore[assignment]
        return caller

    def body_limit(self) -> int | None:
        """Return how many octets a request may have; None for any number."""
        return settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # The parser reads the stream itself, past Django's own limit. A body of unknown length is read as empty (WSGI).
        limit = self.body_limit()
        length = str(request.META.get("CONTENT_LENGTH") or "")
        if limit is not None and length.isdecimal() and int(length) > limit:
            raise RequestDataTooBig
        super().initial(request, *args, **kwargs)

    def valid(self, serializer: type[BaseSerializer[Any]], *, partial: bool = False) -> dict[str, Any]:
        """Return the request's body, validated. Raises ``ValidationError`` naming the fields."""
        checked = serializer(data=self.request.data, partial=partial)
        checked.is_valid(raise_exception=True)
        return dict(checked.validated_data)


class TenantView(ServiceView):
    """A view of one tenant's data: its handler runs in the caller's ``tenant_scope``.

    The scope is one transaction. It commits before the answer leaves, so a 2xx is a promise, and rolls back when the
    handler raises.
    """

    #: What a list can be filtered by; the API's schema shows it.
    filterset_class: ClassVar[type[FilterSet]]
    _scope: ExitStack

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with ExitStack() as self._scope:
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if required_permission(self, request.method or "GET") == PUBLIC:
            return
        tenant_id = self.caller.required_tenant_id()
        structlog.contextvars.bind_contextvars(tenant_id=str(tenant_id))
        self._scope.enter_context(tenant_scope(tenant_id))

    def handle_exception(self, exc: Exception) -> Response:
        if current_scope() is not None:  # an error before the scope has nothing to roll back
            transaction.set_rollback(True)
        return super().handle_exception(exc)

    def filtered(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows that the query asks for (``filterset_class``). Raises ``ValidationError`` by parameter."""
        filters = self.filterset_class(self.request.query_params, queryset=rows, request=self.request)
        if not filters.is_valid():
            raise ValidationError(filters.errors)
        found: QuerySet[Any] = filters.qs
        return found

    def paginated(self, rows: QuerySet[Any], serializer: type[BaseSerializer[Any]]) -> Response:
        """Return one page of rows, as the query asks (``page``, ``page_size``, ``cursor``)."""
        pages = PageOrCursorPagination()
        page = pages.paginate_queryset(rows, self.request, self)
        return pages.get_paginated_response(serializer(page, many=True).data)


class NoSuchAddress(ServiceView):
    """Answers 404 in the shape of every error, whatever the method."""

    permissions = PUBLIC
    authentication_classes = []
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound
