"""``/api/v1/projects/me/api-keys``: the tenant's API keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from tenants import api_keys
from tenants.api.views import TenantView
from tenants.models import ApiKey
from tenants.models.api_key import ApiKeyMode, ApiKeyStatus
from tenants.permissions import Permission


class ApiKeyBody(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=255)
    mode = serializers.ChoiceField(choices=ApiKeyMode.choices, default=ApiKeyMode.LIVE)
    scopes = serializers.ListField(
        child=serializers.CharField(max_length=64),
        required=False,
        allow_null=True,
        default=None,
        help_text=f"Default: {', '.join(api_keys.DEFAULT_SCOPES)}.",
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)
    allowed_networks = serializers.ListField(
        child=serializers.CharField(max_length=64),
        required=False,
        default=list,
        max_length=100,
        help_text="Addresses and networks (CIDR) that may use the key; empty: all.",
    )


class RotateBody(serializers.Serializer[Any]):
    overlap_seconds = serializers.IntegerField(
        required=False,
        allow_null=True,
        default=None,
        min_value=0,
        max_value=int(api_keys.MAX_OVERLAP.total_seconds()),
        help_text="How long the old secret stays valid beside the new one; 0 ends it at once.",
    )


class ApiKeySummary(serializers.ModelSerializer[ApiKey]):
    class Meta:
        model = ApiKey
        fields = [
            "id",
            "name",
            "mode",
            "key",
            "secret_hint",
            "scopes",
            "allowed_networks",
            "status",
            "expires_at",
            "last_used_at",
            "previous_secret_expires_at",
            "revoked_at",
            "revoked_reason",
            "created_at",
        ]
        read_only_fields = fields


class ApiKeyWithSecret(ApiKeySummary):
    secret = serializers.CharField(read_only=True, help_text="Shown this once.")

    class Meta(ApiKeySummary.Meta):
        fields = [*ApiKeySummary.Meta.fields, "secret"]
        read_only_fields = fields


class ApiKeyFilter(django_filters.FilterSet):  # type: ignore[misc]
    status = django_filters.ChoiceFilter(choices=ApiKeyStatus.choices)
    mode = django_filters.ChoiceFilter(choices=ApiKeyMode.choices)

    class Meta:
        model = ApiKey
        fields: list[str] = []


@extend_schema(tags=["api keys"])
class ApiKeyList(TenantView):
    """The tenant's API keys."""

    permissions = Permission.KEYS_MANAGE
    filterset_class = ApiKeyFilter

    @extend_schema(operation_id="api_keys_list", responses=ApiKeySummary(many=True), filters=True)
    def get(self, request: Request) -> Response:
        return self.paginated(self.filtered(api_keys.keys()), ApiKeySummary)

    @extend_schema(operation_id="api_keys_create", request=ApiKeyBody, responses={201: ApiKeyWithSecret})
    def post(self, request: Request) -> Response:
        """Make an API key. Its secret is in the answer and nowhere else."""
        return _with_secret(api_keys.create(self.caller, **self.valid(ApiKeyBody)), status.HTTP_201_CREATED)


@extend_schema(tags=["api keys"])
class ApiKeyDetail(TenantView):
    """One API key."""

    permissions = Permission.KEYS_MANAGE

    @extend_schema(operation_id="api_keys_retrieve", responses=ApiKeySummary)
    def get(self, request: Request, key_id: UUID) -> Response:
        return Response(ApiKeySummary(api_keys.get(key_id)).data)

    @extend_schema(operation_id="api_keys_revoke", responses={204: None})
    def delete(self, request: Request, key_id: UUID) -> Response:
        """Revoke an API key, at once and for good."""
        api_keys.revoke(self.caller, key_id, reason="revoked by a person")
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["api keys"])
class ApiKeyRotate(TenantView):
    """Give an API key a new secret; the old one stays valid for an overlap."""

    permissions = Permission.KEYS_MANAGE

    @extend_schema(operation_id="api_keys_rotate", request=RotateBody, responses=ApiKeyWithSecret)
    def post(self, request: Request, key_id: UUID) -> Response:
        seconds = self.valid(RotateBody)["overlap_seconds"]
        overlap = None if seconds is None else timedelta(seconds=seconds)
        return _with_secret(api_keys.rotate(self.caller, key_id, overlap=overlap))


def _with_secret(made: api_keys.NewSecret, status_code: int = status.HTTP_200_OK) -> Response:
    body = {**ApiKeySummary(made.key).data, "secret": made.secret}
    return Response(body, status=status_code, headers={"Cache-Control": "no-store"})
