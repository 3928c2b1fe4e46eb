"""``/api/v1/projects/me``: the caller's tenant."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants import projects
from tenants.api.views import TenantView
from tenants.models import Tenant
from tenants.permissions import Permission


class Project(serializers.ModelSerializer[Tenant]):
    class Meta:
        model = Tenant
        fields = [
            "id",
            "name",
            "slug",
            "status",
            "plan",
            "timezone",
            "locale",
            "logo_url",
            "brand_color",
            "custom_domain",
            "external_id",
            "created_at",
            "updated_at",
        ]
        read_only_fields = [name for name in fields if name not in projects.EDITABLE]


class ProjectView(TenantView):
    permissions = {
        "GET": Permission.PROJECT_READ,
        "PUT": Permission.PROJECT_MANAGE,
        "PATCH": Permission.PROJECT_MANAGE,
    }

    @extend_schema(operation_id="project_get", tags=["project"], summary="The caller's tenant", responses=Project)
    def get(self, request: Request) -> Response:
        return Response(Project(projects.get(self.tenant_id)).data)

    @extend_schema(
        operation_id="project_replace",
        tags=["project"],
        summary="Describe the tenant",
        request=Project,
        responses=Project,
    )
    def put(self, request: Request) -> Response:
        return self._update(request, partial=False)

    @extend_schema(
        operation_id="project_update",
        tags=["project"],
        summary="Change some of the tenant's description",
        request=Project,
        responses=Project,
    )
    def patch(self, request: Request) -> Response:
        return self._update(request, partial=True)

    def _update(self, request: Request, *, partial: bool) -> Response:
        body = Project(projects.get(self.tenant_id), data=request.data, partial=partial)
        body.is_valid(raise_exception=True)
        return Response(Project(projects.update(self.caller, **body.validated_data)).data)
