"""Personas and a client. Only the network to vendors is ever played; everything else is the real thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from notification_service.lib.redis import attempt
from notification_service.lib.scope import tenant_scope
from tenants.models import Membership, Role, Tenant, TenantStatus, User


@dataclass(frozen=True, slots=True)
class Persona:
    """A person in a tenant, with a client that is signed in as them."""

    tenant: Tenant
    user: User
    client: APIClient

    @property
    def tenant_id(self) -> UUID:
        return self.tenant.id


@pytest.fixture(autouse=True)
def _clean_shared_state() -> None:
    """Rate limits, wake-up tokens and caches of one test are nobody else's."""
    cache.clear()
    attempt(lambda client: client.flushdb())


@pytest.fixture
def make_tenant(db: None) -> Callable[..., Tenant]:
    """Make a tenant."""

    def make(slug: str = "acme", **fields: object) -> Tenant:
        defaults = {"name": slug.title(), "status": TenantStatus.ACTIVE}
        return Tenant.objects.create(slug=slug, **{**defaults, **fields})

    return make


@pytest.fixture
def tenant(make_tenant: Callable[..., Tenant]) -> Tenant:
    return make_tenant("acme")


@pytest.fixture
def other_tenant(make_tenant: Callable[..., Tenant]) -> Tenant:
    return make_tenant("globex")


@pytest.fixture
def make_member(db: None) -> Callable[..., User]:
    """Make a person with a role in a tenant."""

    def make(tenant: Tenant, role: str = Role.ADMIN, email: str | None = None, password: str | None = None) -> User:
        user = User.objects.create_user(email or f"{role}@{tenant.slug}.example", password)
        with tenant_scope(tenant.id):
            Membership.objects.create(tenant=tenant, user=user, role=role)
        return user

    return make
