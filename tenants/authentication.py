"""Authentication of REST requests: who is calling, by API key or by bearer token.

Both classes return the ``Caller`` twice, as ``request.user`` and as ``request.auth``.
"""

from __future__ import annotations

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from notification_service.lib.errors import NotAuthenticated
from tenants.callers import Caller
from tenants.identity import authenticate_bearer

SECRET_PREFIX = "sk_"  # noqa: S105 - what secrets of API keys begin with


def bearer_of(header: str) -> str | None:
    """Return the token of an ``Authorization`` header, or None if there is no header (RFC 6750, section 2.1).

    Raises ``NotAuthenticated`` for any other scheme and for a token that is missing or in several pieces.
    """
    if not header.strip():
        return None
    scheme, _, token = header.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or " " in token:
        raise NotAuthenticated("Authorization must read: Bearer <token>.", code="invalid_authorization_header")
    return token


class ApiKeyAuthentication(BaseAuthentication):
    pass


class JwtAuthentication(BaseAuthentication):
    """``Authorization: Bearer <JSON Web Token>`` of the local issuer or a trusted one."""

    def authenticate(self, request: Request) -> tuple[Caller, Caller] | None:
        token = bearer_of(request.headers.get("Authorization", ""))
        if token is None:
            return None
        caller = authenticate_bearer(token)
        return caller, caller

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'
