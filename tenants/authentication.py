"""Authentication of REST requests: who is calling, by API key or by bearer token.

Both classes return the ``Caller`` twice, as ``request.user`` and as ``request.auth``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from notification_service.lib.errors import NotAuthenticated, ServiceError
from notification_service.lib.request_context import current_request
from tenants.api_key_check import authenticate_api_key, wrong_api_key
from tenants.caller_cache import callers, fingerprint
from tenants.callers import Caller
from tenants.identity import authenticate_bearer

_SECRET_PREFIX: Final = "sk_"  # noqa: S105 - what secrets of API keys begin with
_LONGEST: Final = 256


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
    """``X-API-Key`` and ``X-API-Secret``, or the secret alone as ``Authorization: Bearer sk_…``."""

    def authenticate(self, request: Request) -> tuple[Caller, Caller] | None:
        key, secret = request.headers.get("X-API-Key"), request.headers.get("X-API-Secret")
        if key is None and secret is None:
            header = request.headers.get("Authorization", "")
            secret = header.partition(" ")[2].strip()
            if not secret.startswith(_SECRET_PREFIX):
                return None
            secret = bearer_of(header)
        elif not key or not secret:
            raise wrong_api_key()
        if secret is None or len(secret) > _LONGEST or len(key or "") > _LONGEST:
            raise wrong_api_key()
        context = current_request()
        return _remembered(request, lambda: authenticate_api_key(key, secret, context.ip if context else None))

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class JwtAuthentication(BaseAuthentication):
    """``Authorization: Bearer <JSON Web Token>`` of the local issuer or a trusted one."""

    def authenticate(self, request: Request) -> tuple[Caller, Caller] | None:
        token = bearer_of(request.headers.get("Authorization", ""))
        if token is None:
            return None
        return _remembered(request, lambda: authenticate_bearer(token))

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


def _remembered(request: Request, authenticate: Callable[[], Caller]) -> tuple[Caller, Caller]:
    """Authenticate, and tell the fast doors what came of it."""
    meta = request.META
    names = ("HTTP_AUTHORIZATION", "HTTP_X_API_KEY", "HTTP_X_API_SECRET", "REMOTE_ADDR", "HTTP_X_FORWARDED_FOR")
    shown = fingerprint(*(meta.get(name, "") for name in names))
    try:
        caller = authenticate()
    except ServiceError:
        callers.forget(shown)
        raise
    callers.remember(shown, caller)
    return caller, caller
