"""People's accounts: registering and signing in with a password."""

from __future__ import annotations

import math
from typing import Any, Final
from uuid import UUID

from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from notification_service.lib.errors import Conflict, InvalidInput, NotAuthenticated, PermissionDenied, TooManyRequests
from notification_service.lib.rate_limit import Decision, Limit, peek, take
from notification_service.lib.request_context import current_request
from notification_service.lib.scope import platform_scope, tenant_scope
from tenants import audit, sessions
from tenants.callers import Caller
from tenants.companies import create_tenant
from tenants.identity import require_open
from tenants.models import Membership, Role, Tenant, TenantStatus, User
from tenants.sessions import SessionTokens

#: Attempts to sign in from one address.
_ATTEMPTS_BY_ADDRESS: Final = Limit(30, 60)
#: Failures to sign in as one person, from anywhere; a successful one costs nothing.
_FAILURES_BY_EMAIL: Final = Limit(10, 600)
_REGISTRATIONS_BY_ADDRESS: Final = Limit(100, 3600)


def register(*, email: str, password: str, name: str = "", company: str = "") -> SessionTokens:
    """Create a person, and with ``company`` a tenant that they own; sign them in.

    Raises ``InvalidInput`` naming ``password``, ``Conflict`` for an email that is taken, ``TooManyRequests``.
    """
    _require(take(f"register:{_address()}", _REGISTRATIONS_BY_ADDRESS))
    try:
        validate_password(password, User(email=email, name=name))
    except ValidationError as error:
        raise InvalidInput(f"password: {error.messages[0]}", errors={"password": error.messages}) from None
    try:
        with transaction.atomic():
            user = User.objects.create_user(email, password, name=name)
            tenant = _found(company, user) if company else None
    except IntegrityError:
        taken = "This email address has an account already."
        raise Conflict(taken, code="email_taken", errors={"email": [taken]}) from None
    return sessions.start(user, tenant, Role.OWNER if tenant else "")


def sign_in(*, email: str, password: str, tenant: str = "") -> SessionTokens:
    """Sign in with a password. ``tenant`` (slug or id) says where, for members of several; else it is their first.

    An unknown person and a wrong password get the same answer in the same time. Raises ``NotAuthenticated``,
    ``PermissionDenied`` and ``TooManyRequests``, with codes.
    """
    email = email.strip().lower()
    _require(take(f"login:{_address()}", _ATTEMPTS_BY_ADDRESS))
    _require(peek(f"login-failures:{email}", _FAILURES_BY_EMAIL))
    user = User.objects.filter(email=email).first()
    if user is None:
        make_password(password)  # takes as long as checking one
    if user is None or not user.check_password(password) or not user.is_active:
        take(f"login-failures:{email}", _FAILURES_BY_EMAIL)
        raise NotAuthenticated("The email address or the password is wrong.", code="invalid_credentials")
    membership = _choose(user, tenant)
    User.objects.filter(id=user.id).update(last_login=timezone.now())
    if membership is None:
        return sessions.start(user, None, "")
    return sessions.start(user, membership.tenant, membership.role)


def memberships(user_id: UUID) -> list[Membership]:
    """Return a person's memberships with their tenants, oldest first."""
    with platform_scope("a person's memberships"):
        return list(Membership.objects.filter(user_id=user_id).select_related("tenant").order_by("id"))


def _found(company: str, owner: User) -> Tenant:
    tenant, _ = create_tenant(name=company, status=TenantStatus.TRIAL)
    caller = Caller(tenant_id=tenant.id, actor_type="user", actor_id=str(owner.id), actor_label=owner.email)
    with tenant_scope(tenant.id):
        Membership.objects.create(tenant=tenant, user=owner, role=Role.OWNER)
        audit.record(caller, "tenant.created", "tenant", tenant.id, name=tenant.name, slug=tenant.slug)
    return tenant


def _choose(user: User, wanted: str) -> Membership | None:
    if not wanted and user.platform_role:
        return None
    found = memberships(user.id)
    if wanted:
        found = [each for each in found if wanted in (each.tenant.slug, str(each.tenant.id), each.tenant.external_id)]
        if not found:
            raise PermissionDenied("You are no member of this tenant.", code="not_a_member")
    if not found:
        return None
    chosen = next((each for each in found if each.tenant.is_open), found[0])
    require_open(chosen.tenant.status)
    return chosen


def _require(decision: Decision) -> None:
    if not decision.allowed:
        wait = math.ceil(decision.retry_after)
        raise TooManyRequests(f"Too many attempts; try again in {wait} s.", retry_after=decision.retry_after)


def _address() -> str:
    request = current_request()
    return (request.ip if request else None) or "unknown"


def profile(caller: Caller) -> dict[str, Any]:
    """Return what a caller may know of themselves: who they are, where they act, and what they may do."""
    user_id = caller.local_user_id()
    user = User.objects.filter(id=user_id).first() if user_id else None
    tenant = Tenant.objects.filter(id=caller.tenant_id).first() if caller.tenant_id else None
    return {
        "id": caller.actor_id,
        "email": caller.email,
        "name": user.name if user else caller.actor_label,
        "role": caller.role,
        "platform_role": caller.platform_role,
        "issuer": caller.issuer,
        "tenant": tenant,
        "permissions": sorted(caller.permissions),
        "memberships": memberships(user.id) if user else [],
    }
