"""``/api/v1/admin/lookups``: the values that lists offer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.templates import lookups
from notifications.templates.models import Lookup
from tenants.api.pagination import NumberedPages
from tenants.api.permissions import reading_and_writing
from tenants.api.views import TenantView
from tenants.permissions import Permission


class LookupChange(serializers.Serializer[Any]):
    label = serializers.CharField(max_length=255)  # type: ignore[assignment]
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)
    position = serializers.IntegerField(min_value=0, max_value=10_000, required=False, help_text="Low ones come first.")
    active = serializers.BooleanField(required=False, help_text="Whether it is offered.")


class LookupIn(LookupChange):
    type = serializers.CharField(max_length=64, help_text="`priority`, or a new one.")
    value = serializers.CharField(max_length=64)


class LookupOut(serializers.Serializer[Any]):
    id = serializers.UUIDField(allow_null=True, help_text="None for the service's own, and what is kept elsewhere.")
    type = serializers.CharField()
    value = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    description = serializers.CharField()
    position = serializers.IntegerField()
    active = serializers.BooleanField()
    source = serializers.CharField(help_text="`system` or `tenant`")  # type: ignore[assignment]
    place = serializers.CharField(help_text="Where it is changed, if not here: a category's address.")


class TypeOut(serializers.Serializer[Any]):
    type = serializers.CharField()
    description = serializers.CharField()
    source = serializers.CharField(help_text="`system` or `tenant`")  # type: ignore[assignment]
    count = serializers.IntegerField()


_PERMISSIONS = reading_and_writing(Permission.TEMPLATES_READ, Permission.TEMPLATES_MANAGE)


@extend_schema(tags=["lookups"])
class LookupList(TenantView):
    """Values of every type, or of one: the service's and the tenant's own."""

    permissions = _PERMISSIONS

    @extend_schema(
        operation_id="lookups_list",
        responses=LookupOut(many=True),
        parameters=[
            OpenApiParameter("type", str, description="Only values of this type."),
            OpenApiParameter("hidden", bool, description="Also those that are not active."),
        ],
    )
    def get(self, request: Request) -> Response:
        hidden = request.query_params.get("hidden", "").lower() in ("true", "1")
        found = lookups.values(request.query_params.get("type") or None, hidden=hidden)
        pages = NumberedPages()
        page = pages.paginate_queryset([_shown(each) for each in found], request, self)
        return pages.get_paginated_response(page)

    @extend_schema(operation_id="lookups_create", request=LookupIn, responses={201: LookupOut})
    def post(self, request: Request) -> Response:
        made = lookups.create(self.caller, **self.valid(LookupIn))
        return Response(_shown_row(made), status=201, headers={"Location": f"/api/v1/admin/lookups/{made.id}"})


@extend_schema(tags=["lookups"])
class LookupTypes(TenantView):
    """Every type, with how many values it has."""

    permissions = Permission.TEMPLATES_READ

    @extend_schema(operation_id="lookups_types", responses=TypeOut(many=True))
    def get(self, request: Request) -> Response:
        return Response(lookups.types())


@extend_schema(tags=["lookups"])
class LookupDetail(TenantView):
    """One of the tenant's own values."""

    permissions = _PERMISSIONS

    @extend_schema(operation_id="lookups_retrieve", responses=LookupOut)
    def get(self, request: Request, lookup_id: UUID) -> Response:
        return Response(_shown_row(lookups.get(lookup_id)))

    @extend_schema(operation_id="lookups_replace", request=LookupChange, responses=LookupOut)
    def put(self, request: Request, lookup_id: UUID) -> Response:
        changes = {"description": "", "position": 100, "active": True, **self.valid(LookupChange)}
        return Response(_shown_row(lookups.update(self.caller, lookup_id, changes)))

    @extend_schema(operation_id="lookups_update", request=LookupChange(partial=True), responses=LookupOut)
    def patch(self, request: Request, lookup_id: UUID) -> Response:
        changes = self.valid(LookupChange, partial=True)
        return Response(_shown_row(lookups.update(self.caller, lookup_id, changes)))

    @extend_schema(operation_id="lookups_delete", responses={204: None})
    def delete(self, request: Request, lookup_id: UUID) -> Response:
        lookups.delete(self.caller, lookup_id)
        return Response(status=204)


def _shown(value: lookups.Value) -> dict[str, Any]:
    return {**asdict(value), "id": str(value.id) if value.id else None}


def _shown_row(row: Lookup) -> dict[str, Any]:
    return _shown(lookups.shown(row))
