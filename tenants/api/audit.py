"""``/api/v1/audit``: who did what in the tenant."""

from __future__ import annotations

from datetime import datetime

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notification_service.lib.ids import id_floor
from tenants.api.views import TenantView
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


class AuditFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Times are compared with the ids, which carry them: the index answers."""

    action = django_filters.CharFilter()
    resource_type = django_filters.CharFilter()
    resource_id = django_filters.CharFilter()
    actor_type = django_filters.CharFilter()
    actor_id = django_filters.CharFilter()
    created_after = django_filters.IsoDateTimeFilter(method="after", help_text="From this moment on.")
    created_before = django_filters.IsoDateTimeFilter(method="before", help_text="Before this moment.")

    class Meta:
        model = AuditLog
        fields: list[str] = []

    def after(self, rows: QuerySet[AuditLog], name: str, moment: datetime) -> QuerySet[AuditLog]:
        return rows.filter(id__gte=id_floor(moment))

    def before(self, rows: QuerySet[AuditLog], name: str, moment: datetime) -> QuerySet[AuditLog]:
        return rows.filter(id__lt=id_floor(moment))


@extend_schema(tags=["audit"])
class AuditList(TenantView):
    """Who did what in the tenant, newest first."""

    permissions = Permission.AUDIT_READ
    filterset_class = AuditFilter

    @extend_schema(operation_id="audit_list", responses=AuditEntry(many=True), filters=True)
    def get(self, request: Request) -> Response:
        return self.paginated(self.filtered(AuditLog.objects.all()), AuditEntry)
