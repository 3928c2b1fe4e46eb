"""Personas and a client. Only the network to vendors is ever played; everything else is the real thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import hypothesis
import pytest
from django.core.cache import cache
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from notification_service.lib.redis import attempt
from notification_service.lib.scope import tenant_scope
from tenants import api_keys, signing_keys
from tenants.callers import Caller
from tenants.models import Membership, Role, Tenant, TenantStatus, User
from tenants.models.api_key import ApiKeyMode
from tenants.permissions import ROLE_PERMISSIONS
from tenants.tokens import issue_access_token, issue_platform_token


@dataclass(frozen=True, slots=True)
class Persona:
    """A person in a tenant, with a client that is signed in as them."""

    tenant: Tenant
    user: User
    client: APIClient

    @property
    def tenant_id(self) -> UUID:
        return self.tenant.id


#: No example fails for having taken long: the machine may have been busy with something else.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test gets a second try, which the summary shows.

    They wait for servers, sockets and processes on machines that others use too; a fault of ours fails twice.
    """
    for item in items:
        item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """The signing key outlives the tests: making one takes a tenth of a second."""
    with django_db_blocker.unblock():
        signing_keys.signer()


@pytest.fixture(autouse=True)
def _clean_shared_state() -> None:
    """Rate limits, wake-up tokens and caches of one test are nobody else's."""
    cache.clear()
    signing_keys.forget_copies()
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


@pytest.fixture
def make_persona(make_member: Callable[..., User]) -> Callable[..., Persona]:
    """Make a person with a role in a tenant, and a client that is signed in as them."""

    def make(tenant: Tenant, role: str = Role.ADMIN, email: str | None = None) -> Persona:
        user = make_member(tenant, role, email)
        return Persona(tenant, user, bearer_client(issue_access_token(user, tenant, role)))

    return make


@pytest.fixture
def admin(tenant: Tenant, make_persona: Callable[..., Persona]) -> Persona:
    """An admin of the tenant ``acme``."""
    return make_persona(tenant, Role.ADMIN)


@pytest.fixture
def stranger(other_tenant: Tenant, make_persona: Callable[..., Persona]) -> Persona:
    """An admin of another tenant, who must never see a thing of ``acme``."""
    return make_persona(other_tenant, Role.ADMIN)


@pytest.fixture
def api_key_client(db: None) -> Callable[..., APIClient]:
    """Make a client that calls with a new API key of a tenant."""

    def make(tenant: Tenant, mode: str = "live", scopes: Sequence[str] | None = None) -> APIClient:
        owner = Caller(tenant.id, "user", "", permissions=ROLE_PERMISSIONS[Role.OWNER])
        with tenant_scope(tenant.id):
            made = api_keys.create(owner, name="Server", mode=ApiKeyMode(mode), scopes=scopes)
        client = APIClient()
        client.credentials(HTTP_X_API_KEY=made.key.key, HTTP_X_API_SECRET=made.secret)
        return client

    return make


@pytest.fixture
def platform_client(db: None) -> APIClient:
    """A client signed in as a platform super admin."""
    return bearer_client(issue_platform_token(User.objects.create_superuser("root@platform.example")))


def bearer_client(token: str) -> APIClient:
    """Return a client that sends a bearer token."""
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client
