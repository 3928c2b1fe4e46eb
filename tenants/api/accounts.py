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


class RegisterView(ServiceView):
    permissions = PUBLIC

    @extend_schema(
        operation_id="auth_register",
        tags=["auth"],
        summary="Create a person, and with company a tenant that they own",
        request=RegisterBody,
        responses={201: Tokens},
        examples=[
            OpenApiExample(
                "With a company",
                {"email": "ada@example.com", "password": "correct horse battery", "name": "Ada", "company": "Acme"},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        return _answer(accounts.register(**_checked(RegisterBody, request)), status.HTTP_201_CREATED)


class LoginView(ServiceView):
    permissions = PUBLIC

    @extend_schema(
        operation_id="auth_login",
        tags=["auth"],
        summary="Sign in with a password",
        request=LoginBody,
        responses=Tokens,
    )
    def post(self, request: Request) -> Response:
        return _answer(accounts.sign_in(**_checked(LoginBody, request)))


class RefreshView(ServiceView):
    permissions = PUBLIC

    @extend_schema(
        operation_id="auth_refresh",
        tags=["auth"],
        summary="Exchange a refresh token for new tokens; each works once",
        request=RefreshBody,
        responses=Tokens,
    )
    def post(self, request: Request) -> Response:
        return _answer(sessions.renew(**_checked(RefreshBody, request)))


class LogoutView(ServiceView):
    """Public, because who signs out may hold a refresh token only: their access token expired long ago."""

    permissions = PUBLIC

    @extend_schema(
        operation_id="auth_logout",
        tags=["auth"],
        summary="End the session of the refresh token, or else of the bearer token",
        request=LogoutBody,
        responses={204: None},
    )
    def post(self, request: Request) -> Response:
        refresh_token = _checked(LogoutBody, request)["refresh_token"]
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


class MeView(ServiceView):
    permissions = Permission.SELF

    @extend_schema(
        operation_id="auth_me", tags=["auth"], summary="Who I am, where I act, what I may do", responses=Profile
    )
    def get(self, request: Request) -> Response:
        return Response(Profile(accounts.profile(self.caller)).data)


def _checked(body: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    serializer = body(data=request.data)
    serializer.is_valid(raise_exception=True)
    checked: dict[str, Any] = serializer.validated_data
    return checked


def _answer(tokens: sessions.SessionTokens, status_code: int = status.HTTP_200_OK) -> Response:
    return Response(Tokens(tokens).data, status=status_code, headers={"Cache-Control": "no-store"})
