"""A tenant's own description of itself (name, place, looks) and how it wants to be served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tenants import audit, branding, limits
from tenants.callers import Caller
from tenants.models import Tenant

EDITABLE: Final = ("name", "timezone", "locale", "logo_url", "brand_color")
#: What is kept in ``Tenant.settings`` and changed here, with what counts where the tenant has said nothing:
#: ``at_least_once`` or ``at_most_once``; days by channel (``*``: every other channel), none: kept as long as the
#: platform keeps them; the ISO 3166-1 code of the country of telephone numbers without a country code, or empty.
SETTINGS: Final[Mapping[str, Any]] = {
    "delivery_guarantee": "at_least_once",
    "retention_days": {},
    "default_region": "",
}


def get(caller: Caller) -> Tenant:
    """Return the caller's tenant."""
    return Tenant.objects.get(id=caller.required_tenant_id())


def settings_of(tenant: Tenant) -> dict[str, Any]:
    """Return every one of ``SETTINGS`` as it counts for a tenant."""
    return {name: tenant.settings.get(name, default) for name, default in SETTINGS.items()}


def update(caller: Caller, *, settings: Mapping[str, Any] | None = None, **changes: Any) -> Tenant:
    """Change the caller's tenant (needs its scope): ``EDITABLE`` fields and ``SETTINGS``, validated by the door."""
    tenant = Tenant.objects.select_for_update().get(id=caller.required_tenant_id())
    chosen = {name: value for name, value in (settings or {}).items() if name in SETTINGS}
    before = {name: getattr(tenant, name) for name in changes} | {name: settings_of(tenant)[name] for name in chosen}
    for name in changes.keys() & set(EDITABLE):
        setattr(tenant, name, changes[name])
    tenant.settings = {**tenant.settings, **chosen}
    tenant.save(update_fields=[*changes.keys() & set(EDITABLE), "settings", "updated_at"])
    limits.forget(tenant.id)
    branding.forget(tenant.id)
    audit.record(caller, "tenant.updated", "tenant", tenant.id, before=before, after={**changes, **chosen})
    return tenant
