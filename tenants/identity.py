"""From a verified token to a caller: which tenant, which role, and whether both still hold."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection
from django.db.models import Q

from notification_service.lib.errors import NotAuthenticated, PermissionDenied
from notification_service.lib.scope import tenant_scope
from tenants import audit
from tenants.callers import Caller, system_caller
from tenants.companies import create_tenant
from tenants.issuers import VerifiedToken, verify
from tenants.models import Tenant, TenantStatus
from tenants.permissions import (
    API_KEY_SCOPES,
    PLATFORM_ROLE_PERMISSIONS,
    ROLE_PERMISSIONS,
    Permission,
    permissions_of_role,
)
from tenants.tokens import PLATFORM_ADMIN

log = structlog.get_logger(__name__)

_OPEN = (TenantStatus.ACTIVE, TenantStatus.TRIAL)
_SCOPES = {scope.value: scope for scope in API_KEY_SCOPES}


class SignedIn(NamedTuple):
    """The row of the database function ``signed_in``: ``role`` is None for who is no member."""

    email: str
    name: str
    is_active: bool
    platform_role: str
    tenant_status: str | None
    role: str | None
    session_open: bool


def authenticate_bearer(token: str) -> Caller:
    """Return who a JSON Web Token speaks for; the same for every door.

    Raises ``NotAuthenticated`` or, when the tenant may not use the service, ``PermissionDenied``, each with a code.
    """
    verified = verify(token)
    return _local_caller(verified) if verified.is_local else _outside_caller(verified)


def require_open(status: str) -> None:
    """Raise ``PermissionDenied`` unless a tenant of this status may use the service."""
    if status not in _OPEN:
        raise PermissionDenied("This tenant is suspended.", code="tenant_suspended")


def _local_caller(token: VerifiedToken) -> Caller:
    user_id, tenant_id, session = _uuid(token.user_id), _uuid(token.tenant), _uuid(token.session)
    row = signed_in(user_id, tenant_id, session) if user_id else None
    if row is None or not row.is_active:
        raise NotAuthenticated("This person may not sign in any more.", code="user_inactive")
    if not row.session_open:
        raise NotAuthenticated("This session has ended; sign in again.", code="session_ended")
    if token.tenant and row.tenant_status is None:
        raise NotAuthenticated("The token's tenant does not exist.", code="unknown_tenant")
    role = platform_role = ""
    permissions = frozenset({Permission.SELF})
    if token.kind == PLATFORM_ADMIN:
        if not row.platform_role:
            raise NotAuthenticated("This person does not work for the platform any more.", code="membership_ended")
        platform_role = row.platform_role
        permissions = PLATFORM_ROLE_PERMISSIONS.get(platform_role, permissions)
    elif tenant_id is not None:
        if row.role is None:
            raise NotAuthenticated("This person is no member of the tenant any more.", code="membership_ended")
        require_open(row.tenant_status or "")
        role = row.role
        permissions = permissions_of_role(role)
    return Caller(
        tenant_id=None if platform_role else tenant_id,
        actor_type="user",
        actor_id=str(user_id),
        actor_label=row.email,
        name=row.name,
        email=row.email,
        role=role,
        platform_role=platform_role,
        permissions=permissions,
        issuer=token.issuer,
        session_id=session,
    )


def signed_in(user_id: UUID, tenant_id: UUID | None, session: UUID | None) -> SignedIn | None:
    """Return what authentication must know of a person in a tenant and a session, in one query; None if unknown."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM signed_in(%s, %s, %s)", [user_id, tenant_id, session])
        row = cursor.fetchone()
    return SignedIn(*row) if row else None


def _outside_caller(token: VerifiedToken) -> Caller:
    if not token.tenant:
        raise NotAuthenticated("The token names no tenant.", code="tenant_missing")
    if not (token.user_id or token.client):
        raise NotAuthenticated("The token names neither a person nor a client.", code="subject_missing")
    tenant_id, status = _outside_tenant(token)
    require_open(status)
    is_service = bool(token.scopes) and not token.roles
    known = [role for role in token.roles if role in ROLE_PERMISSIONS]
    if is_service:
        permissions = frozenset(_SCOPES[scope] for scope in token.scopes if scope in _SCOPES)
    else:
        permissions = frozenset({Permission.SELF}).union(*(permissions_of_role(role) for role in known))
    who = (token.client or token.user_id) if is_service else (token.user_id or token.client)
    return Caller(
        tenant_id=tenant_id,
        actor_type="service" if is_service else "user",
        actor_id=who[:64],
        actor_label=token.username or token.email or who,
        name=token.username,
        email=token.email,
        role=(known or [*token.roles, ""])[0],
        permissions=permissions,
        issuer=token.issuer,
    )


def _outside_tenant(token: VerifiedToken) -> tuple[UUID, str]:
    named = Q(external_id=token.tenant)
    if own_id := _uuid(token.tenant):
        named |= Q(id=own_id)
    found = Tenant.objects.filter(named).order_by("id").values_list("id", "status").first()
    if found is None and settings.AUTO_PROVISION_TENANTS:
        found = _provision(token)
    if found is None:
        raise NotAuthenticated("The token's tenant is not known here.", code="unknown_tenant")
    return found


def _provision(token: VerifiedToken) -> tuple[UUID, str]:
    """Create the tenant that a trusted issuer vouches for; when several requests do, one wins and all use its row."""
    tenant, is_new = create_tenant(name=token.tenant, status=TenantStatus.ACTIVE, external_id=token.tenant)
    if is_new:
        log.info("tenant_provisioned", tenant_id=str(tenant.id), issuer=token.issuer)
        with tenant_scope(tenant.id):
            audit.record(
                system_caller(tenant.id, "auto-provisioning"),
                "tenant.provisioned",
                "tenant",
                tenant.id,
                issuer=token.issuer,
                external_id=token.tenant,
                by=token.username or token.user_id,
            )
    return tenant.id, tenant.status


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(value) if value else None
    except ValueError:
        return None
