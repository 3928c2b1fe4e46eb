"""``/api/v1/audit``: who did what in the tenant."""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notification_service.lib.ids import id_floor
from tenants.api.views import TenantListView
from tenants.models import AuditLog
from tenants.permissions import Permission


class AuditEntry(serializers.ModelSerializer[AuditLog]):
    class Meta:
        model = AuditLog
        fields = [
            "id",
            "created_at",
            "actor_type",
            "actor_id",
            "actor_label",
            "action",
            "resource_type",
            "resource_id",
            "metadata",
            "ip_address",
            "user_agent",
        ]
        read_only_fields = fields


class AuditFilter(filters.FilterSet):
    """Times are compared with the ids, which carry them: the index answers."""

    created_after = filters.IsoDateTimeFilter(method="after", label="From this moment on.")
    created_before = filters.IsoDateTimeFilter(method="before", label="Before this moment.")

    class Meta:
        model = AuditLog
        fields = ["action", "resource_type", "resource_id", "actor_type", "actor_id"]

    def after(self, rows: QuerySet[AuditLog], name: str, moment: datetime) -> QuerySet[AuditLog]:
        return rows.filter(id__gte=id_floor(moment))

    def before(self, rows: QuerySet[AuditLog], name: str, moment: datetime) -> QuerySet[AuditLog]:
        return rows.filter(id__lt=id_floor(moment))


class AuditListView(TenantListView):
    model = AuditLog
    permissions = Permission.AUDIT_READ
    serializer_class = AuditEntry
    filterset_class = AuditFilter

    @extend_schema(operation_id="audit_list", tags=["audit"], summary="The tenant's audit log, newest first")
    def get(self, request: Request) -> Response:
        return self.list(request)
