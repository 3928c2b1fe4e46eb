"""The API's schema: how callers say who they are."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import get_lib_doc_excludes

from tenants.api.fields import ClosedSerializer


def undescribed() -> list[type]:
    """Return the classes whose docstrings say nothing of the serializers that inherit from them."""
    return [ClosedSerializer, *get_lib_doc_excludes()]  # type: ignore[no-untyped-call]


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tenants.authentication.ApiKeyAuthentication"
    name = ["ApiKey", "ApiSecret"]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        return [
            {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "`pk_live_…` or `pk_test_…`"},
            {"type": "apiKey", "in": "header", "name": "X-API-Secret", "description": "`sk_live_…` or `sk_test_…`"},
        ]


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tenants.authentication.JwtAuthentication"
    name = "Bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A token of this service or of a trusted issuer, or the secret of an API key alone.",
        }
