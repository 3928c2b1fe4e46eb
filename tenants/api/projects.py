"""``/api/v1/projects/me``: the caller's tenant."""

from __future__ import annotations

import re
from typing import Any, Final

import phonenumbers
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants import projects
from tenants.api.views import TenantView
from tenants.models import Tenant
from tenants.permissions import Permission

_CHANNEL: Final = re.compile(r"\*|[a-z][a-z0-9_]{0,31}")


class RetentionDays(serializers.DictField):
    """Days (1 to 3650) by channel; ``*`` stands for every channel that is not named."""

    child = serializers.IntegerField(min_value=1, max_value=3650)

    def to_internal_value(self, data: Any) -> dict[str, int]:
        if isinstance(data, dict):
            if wrong := [str(key)[:40] for key in data if not _CHANNEL.fullmatch(str(key))]:
                raise serializers.ValidationError({key: ["Name a channel, or * for every other one."] for key in wrong})
            if wrong := [key for key, days in data.items() if isinstance(days, bool)]:
                raise serializers.ValidationError({key: ["A valid integer is required."] for key in wrong})
        return dict(super().to_internal_value(data))


class Project(serializers.ModelSerializer[Tenant]):
    delivery_guarantee = serializers.ChoiceField(
        choices=["at_least_once", "at_most_once"],
        source="settings.delivery_guarantee",
        required=False,
        help_text="Whether a message may be sent again when its provider left open whether it was sent.",
    )
    retention_days = RetentionDays(
        source="settings.retention_days",
        required=False,
        help_text="Days after which finished records are deleted, by channel; `*` is every other channel. "
        "`campaigns`: the recipients of campaigns that are over; `chat`: messages of chat.",
    )
    default_region = serializers.CharField(
        source="settings.default_region",
        required=False,
        allow_blank=True,
        help_text="Country (ISO 3166-1, two letters) of telephone numbers without a country code.",
    )

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
            *projects.SETTINGS,
            "created_at",
            "updated_at",
        ]
        read_only_fields = [name for name in fields if name not in (*projects.EDITABLE, *projects.SETTINGS)]

    def validate_default_region(self, value: str) -> str:
        """Accept a country that has telephone numbers, in either case."""
        if value and value.upper() not in phonenumbers.SUPPORTED_REGIONS:
            raise serializers.ValidationError("Enter a country as two letters, such as NG (ISO 3166-1).")
        return value.upper()

    def to_representation(self, instance: Tenant) -> dict[str, Any]:
        return {**super().to_representation(instance), **projects.settings_of(instance)}


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
