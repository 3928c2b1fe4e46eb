"""``/api/v1/auth/…``: registering, signing in and out."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from notification_service.lib.errors import NotAuthenticated
from tenants import accounts, sessions
from tenants.api.permissions import PUBLIC
from tenants.api.views import ServiceView
from tenants.authentication import bearer_of
from tenants.identity import authenticate_bearer
from tenants.models import Tenant
from tenants.permissions import Permission

_REGISTER = {"email": "ada@example.com", "password": "correct horse battery", "name": "Ada", "company": "Acme"}


class TenantSummary(serializers.ModelSerializer[Tenant]):
    class Meta:
        model = Tenant
        fields = ["id", "name", "slug"]


class PersonSummary(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    email = serializers.EmailField()
    name = serializers.CharField(allow_blank=True)


class RegisterBody(serializers.Serializer[Any]):
    email = serializers.EmailField(max_length=254)
    password = serializers.CharField(max_length=256, trim_whitespace=False, write_only=True)
    name = serializers.CharField(max_length=255, required=False, allow_blank=True, default="")
    company = serializers.CharField(
        max_length=255, required=False, allow_blank=True, default="", help_text="Creates a tenant that you own."
    )


class LoginBody(serializers.Serializer[Any]):
    email = serializers.CharField(max_length=254)
    password = serializers.CharField(max_length=256, trim_whitespace=False, write_only=True)
    tenant = serializers.CharField(
        max_length=255,
        required=False,
        allow_blank=True,
        default="",
        help_text="Slug or id of the tenant to act in, for members of several; otherwise the first.",
    )


class RefreshBody(serializers.Serializer[Any]):
    refresh_token = serializers.CharField(max_length=256, write_only=True)


class LogoutBody(serializers.Serializer[Any]):
    refresh_token = serializers.CharField(max_length=256, required=False, default="", write_only=True)


class Tokens(serializers.Serializer[Any]):
    access_token = serializers.CharField()
    refresh_token = serializers.CharField()
    token_type = serializers.CharField(default="Bearer")
    expires_in = serializers.IntegerField(help_text="Seconds that the access token lasts.")
    user = PersonSummary()
    tenant = TenantSummary(allow_null=True)
    role = serializers.CharField(allow_blank=True)


class MembershipSummary(serializers.Serializer[Any]):
    tenant = TenantSummary()
    role = serializers.CharField()


class Profile(serializers.Serializer[Any]):
    id = serializers.CharField()
    email = serializers.CharField(allow_blank=True)
    name = serializers.CharField(allow_blank=True)
    role = serializers.CharField(allow_blank=True)
    platform_role = serializers.CharField(allow_blank=True)
    issuer = serializers.CharField()
    tenant = TenantSummary(allow_null=True)
    permissions = serializers.ListField(child=serializers.CharField())
    memberships = MembershipSummary(many=True)


@extend_schema(tags=["auth"])
class Register(ServiceView):
    """Create a person, and with ``company`` a tenant that they own."""

    permissions = PUBLIC

    @extend_schema(
        operation_id="auth_register",
        request=RegisterBody,
        responses={201: Tokens},
        examples=[OpenApiExample("With a company", _REGISTER, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        return _answer(accounts.register(**self.valid(RegisterBody)), status.HTTP_201_CREATED)


@extend_schema(tags=["auth"])
class Login(ServiceView):
    """Sign in with a password."""

    permissions = PUBLIC

    @extend_schema(operation_id="auth_login", request=LoginBody, responses=Tokens)
    def post(self, request: Request) -> Response:
        return _answer(accounts.sign_in(**self.valid(LoginBody)))


@extend_schema(tags=["auth"])
class Refresh(ServiceView):
    """Exchange a refresh token for new tokens. Each works once; using one twice ends the session."""

    permissions = PUBLIC

    @extend_schema(operation_id="auth_refresh", request=RefreshBody, responses=Tokens)
    def post(self, request: Request) -> Response:
        return _answer(sessions.renew(**self.valid(RefreshBody)))


@extend_schema(tags=["auth"])
class Logout(ServiceView):
    """End the session of the refresh token, or else of the bearer token."""

    # Who signs out may hold a refresh token only: their access token expired long ago.
    permissions = PUBLIC

    @extend_schema(operation_id="auth_logout", request=LogoutBody, responses={204: None})
    def post(self, request: Request) -> Response:
        refresh_token = self.valid(LogoutBody)["refresh_token"]
        access_token = bearer_of(request.headers.get("Authorization", ""))
        if refresh_token:
            sessions.end_by_token(refresh_token)
        elif access_token:
            session = authenticate_bearer(access_token).session_id
            if session is not None:
                sessions.end(session)
        else:
            raise NotAuthenticated
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["auth"])
class Me(ServiceView):
    """Who I am, where I act, and what I may do."""

    permissions = Permission.SELF

    @extend_schema(operation_id="auth_me", responses=Profile)
    def get(self, request: Request) -> Response:
        return Response(Profile(accounts.profile(self.caller)).data)


def _answer(tokens: sessions.SessionTokens, status_code: int = status.HTTP_200_OK) -> Response:
    return Response(Tokens(tokens).data, status=status_code, headers={"Cache-Control": "no-store"})
