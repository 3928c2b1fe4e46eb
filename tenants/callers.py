"""Who is calling: what authentication found out, in one value that views and services pass along."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from tenants.permissions import Permission

Mode = Literal["live", "test"]


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. ``tenant_id`` is None only for platform staff outside every tenant.

    ``actor_type`` is ``user``, ``api_key`` or ``system``; ``actor_id`` the id at whoever issued it (a person of an
    outside issuer is no row of ours); ``mode`` is ``test`` for test API keys: nothing they send reaches a real provider.
    """

    tenant_id: UUID | None
    actor_type: Literal["user", "api_key", "system"]
    actor_id: str
    actor_label: str = ""
    role: str = ""
    platform_role: str = ""
    permissions: frozenset[Permission] = field(default=frozenset())
    mode: Mode = "live"

    # What Django REST framework expects of ``request.user``.
    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def pk(self) -> str:
        return self.actor_id

    @property
    def is_active(self) -> bool:
        return True

    def may(self, permission: Permission) -> bool:
        """Whether the caller holds the permission."""
        return permission in self.permissions

    def required_tenant_id(self) -> UUID:
        """Return the tenant. Raises ``RuntimeError`` for a caller without one (a view that forgot to ask)."""
        if self.tenant_id is None:
            raise RuntimeError("this caller belongs to no tenant")
        return self.tenant_id


#: The service itself, acting for a tenant without anybody having called.
def system_caller(tenant_id: UUID | None, label: str) -> Caller:
    """Return the caller that stands for our own machinery, named by ``label`` (for example ``sweeper``)."""
    return Caller(tenant_id=tenant_id, actor_type="system", actor_id=label, actor_label=label)
