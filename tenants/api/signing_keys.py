"""``/.well-known/jwks.json``: with which keys the service's tokens are verified."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from tenants import signing_keys
from tenants.api.permissions import PUBLIC
from tenants.api.views import ServiceView

_CACHE_SECONDS = 300


class Jwks(ServiceView):
    """The public keys of the service's own tokens (RFC 7517)."""

    permissions = PUBLIC

    @extend_schema(
        operation_id="jwks",
        tags=["auth"],
        responses={200: {"type": "object", "properties": {"keys": {"type": "array", "items": {"type": "object"}}}}},
    )
    def get(self, request: Request) -> Response:
        return Response(signing_keys.jwks(), headers={"Cache-Control": f"public, max-age={_CACHE_SECONDS}"})
