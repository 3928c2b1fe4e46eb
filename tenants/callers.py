"""Who is calling: what authentication found out, in one value that views and services pass along."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from django.conf import settings

from notification_service.lib.errors import PermissionDenied
from tenants.permissions import Permission

Mode = Literal["live", "test"]


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. ``tenant_id`` is None for platform staff and for people who belong to no tenant yet.

    ``actor_type`` is ``user``, ``service`` (a service account of an outside issuer), ``api_key`` or ``system``;
    ``actor_id`` is the id at whoever issued it (a person of an outside issuer is no row of ours); ``mode`` is ``test``
    for test API keys: nothing they send reaches a real provider.
    """

    tenant_id: UUID | None
    actor_type: Literal["user", "service", "api_key", "system"]
    actor_id: str
    actor_label: str = ""
    #: What other people may call a person: in chat, for example. The label may be an address that is nobody's business.
    name: str = ""
    email: str = ""
    role: str = ""
    platform_role: str = ""
    permissions: frozenset[Permission] = field(default=frozenset())
    mode: Mode = "live"
    # Whose word this is: our own issuer's name, an outside one's, or empty for API keys and ourselves.
    issuer: str = ""
    # The session (family of refresh tokens) that a locally issued token belongs to.
    session_id: UUID | None = None

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

    def local_user_id(self) -> UUID | None:
        """Return the id of the person's row of ours, or None for API keys, services and people of other issuers."""
        is_ours = self.actor_type == "user" and self.issuer == settings.JWT_ISSUER
        return UUID(self.actor_id) if is_ours else None

    def required_tenant_id(self) -> UUID:
        """Return the tenant. Raises ``PermissionDenied`` for a caller without one."""
        if self.tenant_id is None:
            raise PermissionDenied("This resource belongs to a tenant, and you act for none.", code="no_tenant")
        return self.tenant_id


#: The service itself, acting for a tenant without anybody having called.
def system_caller(tenant_id: UUID | None, label: str) -> Caller:
    """Return the caller that stands for our own machinery, named by ``label`` (for example ``sweeper``)."""
    return Caller(tenant_id=tenant_id, actor_type="system", actor_id=label, actor_label=label)
