"""Whose data the current code may touch: the scope that managers and row-level security read.

There are three scopes, and no scope means no data: ``TenantScope`` (one tenant), ``PlatformScope`` (every tenant, with
a stated reason) and ``IntakeScope`` (insert only, for the intake that writes many tenants' rows in one transaction).
A scope is a transaction: PostgreSQL forgets it at commit (``set_config(..., is_local => true)``), so a pooled
connection never carries it to the next user.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

import structlog
from django.db import DEFAULT_DB_ALIAS, connections, transaction

log = structlog.get_logger(__name__)


class NoScope(RuntimeError):
    """Tenant-owned data was touched outside every scope: a bug in our code, never the caller's fault."""


@dataclass(frozen=True, slots=True)
class TenantScope:
    """Rows of one tenant."""

    tenant_id: UUID


@dataclass(frozen=True, slots=True)
class PlatformScope:
    """Rows of every tenant; ``reason`` says why, and stands in the log."""

    reason: str


@dataclass(frozen=True, slots=True)
class IntakeScope:
    """May insert rows of any tenant and read none."""


Scope = TenantScope | PlatformScope | IntakeScope

_current: ContextVar[Scope | None] = ContextVar("tenant_scope", default=None)


def current_scope() -> Scope | None:
    """Return the innermost scope, or None outside every scope."""
    return _current.get()


def current_tenant_id() -> UUID:
    """Return the tenant of the current tenant scope. Raises ``NoScope`` in any other."""
    scope = _current.get()
    if not isinstance(scope, TenantScope):
        raise NoScope("this needs tenant_scope(...)")
    return scope.tenant_id


@contextmanager
def tenant_scope(tenant_id: UUID, *, using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Touch one tenant's rows, in a transaction that commits at the end and rolls back on an exception."""
    with _scope(TenantScope(tenant_id), using):
        yield


@contextmanager
def platform_scope(reason: str, *, using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Touch every tenant's rows, in a transaction. ``reason`` is logged: it says why a tenant's walls do not hold."""
    log.debug("platform_scope", reason=reason)
    with _scope(PlatformScope(reason), using):
        yield


@contextmanager
def intake_scope(*, using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Insert rows of many tenants in one transaction. Each row's tenant comes from the authenticated caller."""
    with _scope(IntakeScope(), using):
        yield


@contextmanager
def _scope(scope: Scope, using: str) -> Iterator[None]:
    outer = _current.get()
    with transaction.atomic(using=using):
        _tell_postgres(scope, using)
        token = _current.set(scope)
        try:
            yield
        finally:
            _current.reset(token)
        # On an exception the rollback (to the savepoint) restores the settings; after a plain exit we do.
        if connections[using].savepoint_ids and not connections[using].needs_rollback:
            _tell_postgres(outer, using)


def _tell_postgres(scope: Scope | None, using: str) -> None:
    tenant = str(scope.tenant_id) if isinstance(scope, TenantScope) else ""
    kind = {TenantScope: "tenant", PlatformScope: "platform", IntakeScope: "intake"}.get(type(scope), "")
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT set_config('app.tenant_id', %s, true), set_config('app.scope', %s, true)", [tenant, kind]
        )
