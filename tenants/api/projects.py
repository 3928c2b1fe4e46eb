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


@extend_schema(tags=["project"])
class ProjectDetail(TenantView):
    """The caller's tenant."""

    permissions = {
        "GET": Permission.PROJECT_READ,
        "PUT": Permission.PROJECT_MANAGE,
        "PATCH": Permission.PROJECT_MANAGE,
    }

    @extend_schema(operation_id="project_retrieve", responses=Project)
    def get(self, request: Request) -> Response:
        return Response(Project(projects.get(self.caller)).data)

    @extend_schema(operation_id="project_replace", request=Project, responses=Project)
    def put(self, request: Request) -> Response:
        return Response(Project(projects.update(self.caller, **self.valid(Project))).data)

    @extend_schema(operation_id="project_update", request=Project(partial=True), responses=Project)
    def patch(self, request: Request) -> Response:
        return Response(Project(projects.update(self.caller, **self.valid(Project, partial=True))).data)
