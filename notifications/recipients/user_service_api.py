"""``/api/v1/projects/me/user-service``: where a tenant's own service says who somebody is."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.recipients import user_service
from notifications.recipients.models import UserService
from tenants.api.views import TenantView
from tenants.permissions import Permission

_EXAMPLE = {"url": "https://crm.example.com/users/{user_id}", "secret": "a-secret-of-theirs"}


class UserServiceIn(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=2048, help_text="With `{user_id}` where the id goes.")
    secret = serializers.CharField(max_length=4096, help_text="Sent as `Authorization: Bearer …`; shown masked.")
    enabled = serializers.BooleanField(required=False)


class UserServiceOut(serializers.ModelSerializer[UserService]):
    secret = serializers.SerializerMethodField()

    class Meta:
        model = UserService
        fields = ["id", "url", "secret", "enabled", "created_at", "updated_at"]
        read_only_fields = fields

    def get_secret(self, service: UserService) -> str:
        """Its last characters."""
        return user_service.masked_secret(service)


@extend_schema(tags=["users"])
class UserServiceDetail(TenantView):
    """The tenant's own user service."""

    permissions = {
        "GET": Permission.PROJECT_READ,
        "PUT": Permission.PROJECT_MANAGE,
        "DELETE": Permission.PROJECT_MANAGE,
    }

    @extend_schema(operation_id="user_service_retrieve", responses=UserServiceOut)
    def get(self, request: Request) -> Response:
        return Response(UserServiceOut(user_service.get_user_service()).data)

    @extend_schema(
        operation_id="user_service_replace",
        request=UserServiceIn,
        responses=UserServiceOut,
        examples=[OpenApiExample("A CRM", value=_EXAMPLE, request_only=True)],
    )
    def put(self, request: Request) -> Response:
        return Response(UserServiceOut(user_service.set_user_service(self.caller, **self.valid(UserServiceIn))).data)

    @extend_schema(operation_id="user_service_delete", responses={204: None})
    def delete(self, request: Request) -> Response:
        user_service.delete_user_service(self.caller)
        return Response(status=204)
