"""Sessions: chains of rotating refresh tokens, each link good for one renewal.

Who renews with a link that was used before holds a copy: the whole family ends, for thief and owner alike (RFC 9700,
section 4.14.2). The access tokens of a family end with it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from notification_service.lib.errors import NotAuthenticated
from notification_service.lib.ids import new_id
from notification_service.lib.scope import tenant_scope
from tenants import audit
from tenants.callers import Caller
from tenants.identity import require_open, signed_in
from tenants.models import RefreshToken, Tenant, User
from tenants.tokens import issue_access_token, issue_platform_token

_PREFIX: Final = "rt_"


@dataclass(frozen=True, slots=True)
class SessionTokens:
    """What a person gets when they sign in or renew. ``expires_in`` is in seconds and concerns the access token."""

    user: User
    tenant: Tenant | None
    role: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int


def start(user: User, tenant: Tenant | None, role: str) -> SessionTokens:
    """Start a session of a person in a tenant, or in none: as platform staff if they are, else as themselves alone."""
    family = new_id()
    link = _append(user, tenant, family)
    _record(user, tenant.id if tenant else None, "session.started", family)
    return _tokens(user, tenant, role, family, link)


def renew(refresh_token: str) -> SessionTokens:
    """Exchange a refresh token for new tokens. Raises ``NotAuthenticated`` and ``PermissionDenied``, with codes."""
    found = _find(refresh_token)
    if found is None:
        raise NotAuthenticated("The refresh token is not valid.", code="invalid_refresh_token")
    role, link = "", ""
    with transaction.atomic():
        _lock(found.family)
        found.refresh_from_db()
        if found.revoked_at is not None or found.expires_at <= timezone.now():
            raise NotAuthenticated("This session has ended; sign in again.", code="session_ended")
        is_copy = found.used_at is not None
        if is_copy:
            _revoke(found.family)
        else:
            role = _role_now(found)
            RefreshToken.objects.filter(id=found.id).update(used_at=timezone.now())
            link = _append(found.user, found.tenant, found.family)
    if is_copy:
        _record(found.user, found.tenant_id, "session.reuse_detected", found.family)
        raise NotAuthenticated("This refresh token was used before; sign in again.", code="refresh_token_reused")
    return _tokens(found.user, found.tenant, role, found.family, link)


def end_by_token(refresh_token: str) -> None:
    """End the session of a refresh token; unknown ones are none of ours (RFC 7009, section 2.2)."""
    found = _find(refresh_token)
    if found is not None:
        end(found.family)


def end(family: UUID) -> None:
    """End a session: its refresh tokens and its access tokens are refused from now on."""
    with transaction.atomic():
        _lock(family)
        link = RefreshToken.objects.filter(family=family).select_related("user").first()
        if link is None or not _revoke(family):
            return
    _record(link.user, link.tenant_id, "session.ended", family)


def _record(user: User, tenant_id: UUID | None, action: str, family: UUID) -> None:
    caller = Caller(tenant_id=tenant_id, actor_type="user", actor_id=str(user.id), actor_label=user.email)
    if tenant_id is None:
        audit.record_for_platform(caller, action, "session", family)
    else:
        with tenant_scope(tenant_id):
            audit.record(caller, action, "session", family)


def _role_now(link: RefreshToken) -> str:
    """Return the person's role in the session's tenant. Raises unless they may still sign in there."""
    row = signed_in(link.user_id, link.tenant_id, None)
    if row is None or not row.is_active or (link.tenant_id is not None and row.role is None):
        raise NotAuthenticated("This person may not sign in here any more.", code="membership_ended")
    if link.tenant_id is not None:
        require_open(row.tenant_status or "")
    return row.role or ""


def _tokens(user: User, tenant: Tenant | None, role: str, family: UUID, refresh_token: str) -> SessionTokens:
    if tenant is None and user.platform_role:
        role, access_token = user.platform_role, issue_platform_token(user, session=family)
    else:
        access_token = issue_access_token(user, tenant, role, session=family)
    seconds = int(settings.ACCESS_TOKEN_LIFETIME.total_seconds())
    return SessionTokens(user, tenant, role, access_token, refresh_token, seconds)


def _append(user: User, tenant: Tenant | None, family: UUID) -> str:
    secret = secrets.token_urlsafe(32)
    link = RefreshToken.objects.create(
        user=user,
        tenant=tenant,
        family=family,
        secret_hash=_hash(secret),
        expires_at=timezone.now() + settings.REFRESH_TOKEN_LIFETIME,
    )
    return f"{_PREFIX}{link.id.hex}_{secret}"


def _find(refresh_token: str) -> RefreshToken | None:
    link_id, _, secret = refresh_token.removeprefix(_PREFIX).partition("_")
    try:
        link = RefreshToken.objects.select_related("user", "tenant").filter(id=UUID(link_id)).first()
    except ValueError:
        return None
    is_ours = link is not None and hmac.compare_digest(bytes(link.secret_hash), _hash(secret))
    return link if is_ours else None


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _lock(family: UUID) -> None:
    """Let nobody else renew or end this family until the transaction ends: no link may be appended after the end."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"session:{family}"])


def _revoke(family: UUID) -> int:
    return RefreshToken.objects.filter(family=family, revoked_at__isnull=True).update(revoked_at=timezone.now())
