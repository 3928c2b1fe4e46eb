"""Access tokens of the local issuer: signed JWTs (RFC 7519) that say who, where and for how long."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import jwt
from django.conf import settings
from django.utils import timezone

from notification_service.lib.ids import new_id
from tenants import signing_keys
from tenants.models import Role, Tenant, User

#: Values of the ``type`` claim.
USER: Final = "user"
PROJECT_ADMIN: Final = "project_admin"
PLATFORM_ADMIN: Final = "platform_admin"

_PROJECT_ADMINS = frozenset({Role.OWNER, Role.ADMIN})


def issue_access_token(
    user: User,
    tenant: Tenant | None,
    role: str,
    lifetime: timedelta | None = None,
    *,
    session: UUID | None = None,
) -> str:
    """Return a signed token for a person acting in a tenant, or in none (then it opens only what is theirs).

    ``lifetime`` defaults to ``ACCESS_TOKEN_LIFETIME``. ``session`` is the family of refresh tokens that it belongs to:
    it ends with it. The role in the token is for its reader; we ask the database at each request.
    """
    kind = PROJECT_ADMIN if tenant is not None and role in _PROJECT_ADMINS else USER
    return _sign(user, tenant, role, kind, lifetime, session)


def issue_platform_token(user: User, lifetime: timedelta | None = None, *, session: UUID | None = None) -> str:
    """Return a signed token for platform staff, acting in no tenant. Raises ``ValueError`` for anybody else."""
    if not user.platform_role:
        raise ValueError(f"{user.email} has no platform role")
    return _sign(user, None, user.platform_role, PLATFORM_ADMIN, lifetime, session)


def _sign(
    user: User, tenant: Tenant | None, role: str, kind: str, lifetime: timedelta | None, session: UUID | None
) -> str:
    now = timezone.now()
    expires_at = now + (settings.ACCESS_TOKEN_LIFETIME if lifetime is None else lifetime)
    claims: dict[str, Any] = {
        "iss": settings.JWT_ISSUER,
        "aud": settings.JWT_AUDIENCE,
        "sub": str(user.id),
        "iat": int(now.timestamp()),
        "nbf": int(now.timestamp()),
        "exp": int(expires_at.timestamp()),
        "jti": str(new_id()),
        "type": kind,
        "role": role,
        "roles": [role] if role else [],
        "user": {"id": str(user.id), "username": user.name or user.email},
        "email": user.email,
    }
    if tenant is not None:
        claims["tenant_unique_id"] = claims["projectId"] = str(tenant.id)
    if session is not None:
        claims["sid"] = str(session)
    key = signing_keys.signer()
    signing_keys.will_sign_until(key, expires_at)
    return jwt.encode(claims, key.private_key, algorithm=signing_keys.ALGORITHM, headers={"kid": key.kid})
