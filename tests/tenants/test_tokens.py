"""Tokens of the local issuer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from notification_service.lib.errors import ServiceError
from notification_service.lib.scope import current_scope, tenant_scope
from tenants.identity import authenticate_bearer
from tenants.models import Membership, Role, Tenant, TenantStatus, User
from tenants.permissions import Permission
from tenants.tokens import issue_access_token, issue_platform_token


def refusal(token: str) -> tuple[int, str]:
    with pytest.raises(ServiceError) as refused:
        authenticate_bearer(token)
    return refused.value.status, refused.value.error_code


def test_a_token_says_who_and_where(tenant: Tenant, make_member: Callable[..., User]) -> None:
    user = make_member(tenant, Role.ADMIN)
    caller = authenticate_bearer(issue_access_token(user, tenant, Role.ADMIN))
    assert (caller.tenant_id, caller.actor_id, caller.role) == (tenant.id, str(user.id), "admin")
    assert caller.may(Permission.CREDENTIALS_MANAGE)
    assert not caller.may(Permission.PLATFORM_READ)
    assert current_scope() is None


def test_the_database_knows_the_role_and_not_the_token(tenant: Tenant, make_member: Callable[..., User]) -> None:
    user = make_member(tenant, Role.EMPLOYEE)
    token = issue_access_token(user, tenant, Role.OWNER)
    assert authenticate_bearer(token).permissions == {Permission.SELF}
    with tenant_scope(tenant.id):
        Membership.objects.filter(user=user).delete()
    assert refusal(token) == (401, "membership_ended")
    User.objects.filter(id=user.id).update(is_active=False)
    assert refusal(token) == (401, "user_inactive")


@pytest.mark.parametrize("status", [TenantStatus.SUSPENDED, TenantStatus.CANCELLED])
def test_a_closed_tenant_is_refused(tenant: Tenant, make_member: Callable[..., User], status: TenantStatus) -> None:
    token = issue_access_token(make_member(tenant), tenant, Role.ADMIN)
    Tenant.objects.filter(id=tenant.id).update(status=status)
    assert refusal(token) == (403, "tenant_suspended")


def test_a_token_without_a_tenant_opens_only_what_is_ones_own(db: None) -> None:
    caller = authenticate_bearer(issue_access_token(User.objects.create_user("a@example.com"), None, ""))
    assert (caller.tenant_id, caller.permissions) == (None, {Permission.SELF})


def test_platform_staff_act_in_no_tenant(db: None) -> None:
    boss = User.objects.create_superuser("root@example.com")
    token = issue_platform_token(boss)
    caller = authenticate_bearer(token)
    assert (caller.tenant_id, caller.platform_role) == (None, "super_admin")
    assert caller.may(Permission.PLATFORM_MANAGE)
    User.objects.filter(id=boss.id).update(platform_role="")
    assert refusal(token) == (401, "membership_ended")
    with pytest.raises(ValueError, match="no platform role"):
        issue_platform_token(User.objects.create_user("a@example.com"))


def test_expired(tenant: Tenant, make_member: Callable[..., User]) -> None:
    user = make_member(tenant)
    assert authenticate_bearer(issue_access_token(user, tenant, Role.ADMIN, timedelta(seconds=-15)))
    assert refusal(issue_access_token(user, tenant, Role.ADMIN, timedelta(seconds=-45))) == (401, "token_expired")
