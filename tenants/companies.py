"""Making tenants."""

from __future__ import annotations

import secrets

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from tenants.models import Tenant, TenantStatus

_SLUG_LENGTH = 80
_TRIES = 5


def create_tenant(*, name: str, status: TenantStatus, external_id: str | None = None) -> tuple[Tenant, bool]:
    """Create a tenant under a slug that nobody has; return it and True.

    If ``external_id`` has a tenant already (of a request at the same moment, perhaps), return that one and False.
    """
    for attempt in range(_TRIES):
        try:
            with transaction.atomic():
                slug = _slug(name, plain=attempt == 0)
                return Tenant.objects.create(name=name, slug=slug, status=status, external_id=external_id), True
        except IntegrityError:
            existing = Tenant.objects.filter(external_id=external_id).first() if external_id else None
            if existing is not None:
                return existing, False
    raise RuntimeError(f"no free slug for {name!r}")


def _slug(name: str, *, plain: bool) -> str:
    slug = slugify(name)[:_SLUG_LENGTH].strip("-") or "tenant"
    return slug if plain else f"{slug}-{secrets.token_hex(3)}"
