"""``/api/v1/projects/me/branding``: how the caller's tenant looks in messages and pages."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants import branding, projects
from tenants.api.views import TenantView
from tenants.models.tenant import Tenant, validate_colour, validate_locale
from tenants.permissions import Permission


class BrandingIn(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=255, required=False, help_text="In templates: `brand.name`.")
    logo_url = serializers.URLField(max_length=500, required=False, allow_blank=True)
    brand_color = serializers.CharField(
        validators=[validate_colour], required=False, allow_blank=True, help_text="In templates: `brand.color`."
    )
    background_color = serializers.CharField(validators=[validate_colour], required=False)
    text_color = serializers.CharField(validators=[validate_colour], required=False)
    footer = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    address = serializers.CharField(
        max_length=500, required=False, allow_blank=True, help_text="Postal address, as many laws ask for in mails."
    )
    website = serializers.URLField(max_length=500, required=False, allow_blank=True)
    support_email = serializers.EmailField(max_length=320, required=False, allow_blank=True)
    locale = serializers.CharField(
        max_length=35, validators=[validate_locale], required=False, help_text="The tenant's own language."
    )


class BrandingOut(BrandingIn):
    def to_representation(self, instance: Tenant) -> dict[str, Any]:
        return dict(branding.shown(instance))


@extend_schema(tags=["project"])
class BrandingDetail(TenantView):
    """How the caller's tenant looks."""

    permissions = {
        "GET": Permission.PROJECT_READ,
        "PUT": Permission.PROJECT_MANAGE,
        "PATCH": Permission.PROJECT_MANAGE,
    }

    @extend_schema(operation_id="branding_retrieve", responses=BrandingOut)
    def get(self, request: Request) -> Response:
        return Response(BrandingOut(projects.get(self.caller)).data)

    @extend_schema(operation_id="branding_replace", request=BrandingIn, responses=BrandingOut)
    def put(self, request: Request) -> Response:
        return Response(BrandingOut(branding.update(self.caller, self.valid(BrandingIn))).data)

    @extend_schema(operation_id="branding_update", request=BrandingIn(partial=True), responses=BrandingOut)
    def patch(self, request: Request) -> Response:
        return Response(BrandingOut(branding.update(self.caller, self.valid(BrandingIn, partial=True))).data)
