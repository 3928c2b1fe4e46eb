"""How a tenant looks: what templates show as ``brand.*``, and the languages that its words fall back to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Final
from uuid import UUID

from tenants import audit
from tenants.callers import Caller
from tenants.models import Tenant

#: Columns of the tenant that are part of its looks.
COLUMNS: Final = ("name", "logo_url", "brand_color", "locale")
#: What is kept in ``Tenant.settings["branding"]``, with what counts where the tenant has said nothing.
KEPT: Final[Mapping[str, str]] = {
    "background_color": "#f4f4f5",
    "text_color": "#18181b",
    "footer": "",
    "address": "",
    "website": "",
    "support_email": "",
}
#: The colour of a tenant that has chosen none.
COLOUR: Final = "#2563eb"
_KNOWN_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Branding:
    """What templates may show of a tenant; colours as ``#RRGGBB``, anything else may be empty."""

    name: str
    logo_url: str
    color: str
    #: Black or white, whichever can be read on ``color``.
    color_text: str
    background_color: str
    text_color: str
    footer: str
    address: str
    website: str
    support_email: str
    #: The tenant's own language.
    locale: str

    def variables(self) -> dict[str, str]:
        """Return everything by the name that templates use: ``{"brand.name": "Acme", …}``."""
        return {f"brand.{name}": value for name, value in asdict(self).items()}


#: The names by which templates use a tenant's looks.
VARIABLES: Final = frozenset(f"brand.{each.name}" for each in fields(Branding))
_known: dict[UUID, tuple[float, Branding]] = {}


def branding_of(tenant_id: UUID) -> Branding:
    """Return a tenant's looks, as of at most ten seconds ago."""
    until, found = _known.get(tenant_id, (0.0, None))
    if found is None or until < time.monotonic():
        found = _read(Tenant.objects.get(id=tenant_id))
        _known[tenant_id] = (time.monotonic() + _KNOWN_SECONDS, found)
    return found


def shown(tenant: Tenant) -> dict[str, str]:
    """Return a tenant's branding as its admins see and change it."""
    kept = tenant.settings.get("branding", {})
    return {name: getattr(tenant, name) for name in COLUMNS} | {name: kept.get(name, KEPT[name]) for name in KEPT}


def update(caller: Caller, changes: Mapping[str, str]) -> Tenant:
    """Change the branding of the caller's tenant (needs its scope), validated by the door."""
    tenant = Tenant.objects.select_for_update().get(id=caller.required_tenant_id())
    before = shown(tenant)
    for name in COLUMNS:
        if name in changes:
            setattr(tenant, name, changes[name])
    kept = {name: changes[name] for name in KEPT if name in changes}
    tenant.settings = {**tenant.settings, "branding": {**tenant.settings.get("branding", {}), **kept}}
    tenant.save(update_fields=[*COLUMNS, "settings", "updated_at"])
    forget(tenant.id)
    audit.record(caller, "branding.updated", "tenant", tenant.id, before=before, after=shown(tenant))
    return tenant


def forget(tenant_id: UUID) -> None:
    """Look a tenant up again at the next use: it has changed."""
    _known.pop(tenant_id, None)


def _read(tenant: Tenant) -> Branding:
    said = shown(tenant)
    colour = said["brand_color"] or COLOUR
    return Branding(
        name=said["name"],
        logo_url=said["logo_url"],
        color=colour,
        color_text="#ffffff" if _is_dark(colour) else "#000000",
        locale=said["locale"],
        **{name: said[name] for name in KEPT},
    )


def _is_dark(colour: str) -> bool:
    """Whether white is easier to read on a colour than black (relative luminance of WCAG 2)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.179
