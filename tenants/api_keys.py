"""API keys: making, rotating and revoking them. Whether a request's key is good is ``api_key_check``'s question."""

from __future__ import annotations

import hashlib
import secrets
import string
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from notification_service.lib.errors import Conflict, InvalidInput, NotFound
from tenants import audit
from tenants.callers import Caller
from tenants.models import ApiKey
from tenants.models.api_key import ApiKeyMode, ApiKeyStatus
from tenants.permissions import API_KEY_SCOPES, Permission

DEFAULT_SCOPES: Final = (
    Permission.NOTIFICATIONS_WRITE,
    Permission.NOTIFICATIONS_READ,
    Permission.EVENTS_WRITE,
    Permission.EVENTS_READ,
    Permission.TEMPLATES_READ,
)
MAX_OVERLAP: Final = timedelta(days=7)
_BASE62: Final = string.ascii_letters + string.digits
_KEY_CHARACTERS = 24
_SECRET_BYTES = 32  # 43 characters
_HINT = 4


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A key with its secret, which is seen this once."""

    key: ApiKey
    secret: str = field(repr=False)


def create(
    caller: Caller,
    *,
    name: str,
    mode: ApiKeyMode,
    scopes: Collection[str] | None = None,
    expires_at: datetime | None = None,
    allowed_networks: Sequence[str] = (),
) -> NewSecret:
    """Create a key of the caller's tenant (needs its scope). Raises ``InvalidInput`` naming the fields at fault."""
    if expires_at is not None and expires_at <= timezone.now():
        raise _invalid("expires_at", "This moment has passed.")
    secret = _new_secret(mode)
    key = ApiKey.objects.create(
        tenant_id=caller.required_tenant_id(),
        name=name,
        mode=mode,
        key=f"pk_{mode}_" + "".join(secrets.choice(_BASE62) for _ in range(_KEY_CHARACTERS)),
        secret_hash=hash_secret(secret),
        secret_hint=secret[-_HINT:],
        scopes=_checked_scopes(caller, DEFAULT_SCOPES if scopes is None else scopes),
        allowed_networks=_checked_networks(allowed_networks),
        expires_at=expires_at,
        created_by_id=caller.local_user_id(),
    )
    audit.record(caller, "api_key.created", "api_key", key.id, after=_describe(key))
    return NewSecret(key, secret)


def keys() -> QuerySet[ApiKey]:
    """Return the keys of the current tenant scope, revoked ones too, newest first."""
    rows: QuerySet[ApiKey] = ApiKey.objects.all()
    return rows


def get(key_id: UUID, *, for_update: bool = False) -> ApiKey:
    """Return one key of the current tenant scope. Raises ``NotFound``."""
    rows = keys().select_for_update() if for_update else keys()
    found = rows.filter(id=key_id).first()
    if found is None:
        raise NotFound
    return found


def rotate(caller: Caller, key_id: UUID, *, overlap: timedelta | None = None) -> NewSecret:
    """Give a key a new secret; the old one is valid for ``overlap`` more (default ``API_KEY_ROTATION_OVERLAP``).

    Raises ``NotFound``, and ``Conflict`` for a revoked key.
    """
    key = get(key_id, for_update=True)
    if key.status == ApiKeyStatus.REVOKED:
        raise Conflict("A revoked key can not be rotated; create a new one.", code="api_key_revoked")
    overlap = settings.API_KEY_ROTATION_OVERLAP if overlap is None else overlap
    secret = _new_secret(key.mode)
    key.previous_secret_hash = key.secret_hash
    key.previous_secret_expires_at = until = timezone.now() + overlap
    key.secret_hash = hash_secret(secret)
    key.secret_hint = secret[-_HINT:]
    key.save(update_fields=["previous_secret_hash", "previous_secret_expires_at", "secret_hash", "secret_hint"])
    audit.record(caller, "api_key.rotated", "api_key", key.id, old_secret_until=until.isoformat())
    return NewSecret(key, secret)


def revoke(caller: Caller, key_id: UUID, *, reason: str = "") -> ApiKey:
    """Revoke a key for good; revoking twice changes nothing. Raises ``NotFound``."""
    key = get(key_id, for_update=True)
    if key.status != ApiKeyStatus.REVOKED:
        key.status, key.revoked_at, key.revoked_reason = ApiKeyStatus.REVOKED, timezone.now(), reason[:255]
        key.save(update_fields=["status", "revoked_at", "revoked_reason"])
        audit.record(caller, "api_key.revoked", "api_key", key.id, name=key.name, reason=reason)
    return key


def hash_secret(secret: str) -> bytes:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def _new_secret(mode: str) -> str:
    return f"sk_{mode}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def _checked_scopes(caller: Caller, scopes: Collection[str]) -> list[str]:
    known = {scope.value for scope in API_KEY_SCOPES}
    if not scopes:
        raise _invalid("scopes", "Give at least one scope.")
    if unknown := sorted(set(scopes) - known):
        raise _invalid("scopes", f"No scope of API keys: {', '.join(unknown)}. Known: {', '.join(sorted(known))}.")
    if beyond := sorted(set(scopes) - caller.permissions):
        raise _invalid("scopes", f"You do not hold these permissions yourself: {', '.join(beyond)}.")
    return sorted({str(scope) for scope in scopes})


def _checked_networks(networks: Sequence[str]) -> list[str]:
    checked = []
    for network in networks:
        try:
            checked.append(str(ip_network(network.strip())))
        except ValueError as error:
            raise _invalid("allowed_networks", f"{network!r} is no address and no network in CIDR: {error}.") from None
    return checked


def _invalid(name: str, message: str) -> InvalidInput:
    return InvalidInput.at(name, message)


def _describe(key: ApiKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "mode": key.mode,
        "key": key.key,
        "scopes": key.scopes,
        "allowed_networks": key.allowed_networks,
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
    }
