"""A tenant's own description of itself: name, place, looks."""

from __future__ import annotations

from typing import Any, Final

from tenants import audit
from tenants.callers import Caller
from tenants.models import Tenant

EDITABLE: Final = ("name", "timezone", "locale", "logo_url", "brand_color")


def get(caller: Caller) -> Tenant:
    """Return the caller's tenant."""
    return Tenant.objects.get(id=caller.required_tenant_id())


def update(caller: Caller, **changes: Any) -> Tenant:
    """Change the caller's tenant (needs its scope); only ``EDITABLE`` fields, validated by the door."""
    tenant = Tenant.objects.select_for_update().get(id=caller.required_tenant_id())
    before = {name: getattr(tenant, name) for name in changes}
    for name in changes.keys() & set(EDITABLE):
        setattr(tenant, name, changes[name])
    tenant.save(update_fields=[*changes.keys() & set(EDITABLE), "updated_at"])
    audit.record(caller, "tenant.updated", "tenant", tenant.id, before=before, after=changes)
    return tenant
