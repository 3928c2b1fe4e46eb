"""Is this API key good? And what wrong secrets lead to.

A secret has 256 bits, so it can not be guessed; what wrong ones do show is that somebody tries. Each source (an IPv4
address, an IPv6 /64) has ``API_KEY_SOURCE_LIMIT`` tries per key in ``API_KEY_FAILURE_WINDOW``; further ones are turned
away uncounted. The key is revoked when ``API_KEY_REVOKE_AFTER`` counted tries come in the window, and never fewer than
``_SOURCES`` sources together can make: whoever knows only the public half can not revoke it from one address. For a
key with an IP allow-list, sources outside the list never count. The right secret is let in whatever others tried.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, NamedTuple
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection
from django.utils import timezone

from notification_service.lib.errors import NotAuthenticated, PermissionDenied, TooManyRequests
from notification_service.lib.rate_limit import Limit, take
from notification_service.lib.scope import platform_scope, tenant_scope
from tenants import api_keys
from tenants.callers import Caller, system_caller
from tenants.identity import require_open
from tenants.models import ApiKey
from tenants.models.api_key import ApiKeyMode, ApiKeyStatus
from tenants.notices import tell_admins
from tenants.permissions import API_KEY_SCOPES

log = structlog.get_logger(__name__)

_SOURCES: Final = 5
_TOUCH_EVERY: Final = timedelta(minutes=1)
_SCOPES: Final = {scope.value: scope for scope in API_KEY_SCOPES}


class _Key(NamedTuple):
    """A row of the database function ``find_api_key``."""

    id: UUID
    tenant_id: UUID
    tenant_status: str
    name: str
    mode: str
    key: str
    secret_hash: bytes
    previous_secret_hash: bytes | None
    previous_secret_expires_at: datetime | None
    scopes: list[str]
    allowed_networks: list[str]
    status: str
    expires_at: datetime | None
    last_used_at: datetime | None


def authenticate_api_key(key: str | None, secret: str, address: str | None) -> Caller:
    """Return the caller of a key and its secret, or of a secret alone (``key`` None), calling from ``address``.

    Raises ``NotAuthenticated``, ``PermissionDenied`` or ``TooManyRequests``, with codes. Who does not have the right
    secret learns nothing about the key.
    """
    given = api_keys.hash_secret(secret)
    row = _find(key, given)
    if row is None or not _matches(row, given):
        raise _count_wrong_secret(row, given, address)
    if row.status != ApiKeyStatus.ACTIVE:
        raise NotAuthenticated("This API key has been revoked.", code="api_key_revoked")
    now = timezone.now()
    if row.expires_at is not None and row.expires_at <= now:
        raise NotAuthenticated("This API key has expired.", code="api_key_expired")
    if not _is_allowed(row.allowed_networks, address):
        raise PermissionDenied("This API key may not be used from your address.", code="address_not_allowed")
    require_open(row.tenant_status)
    if row.last_used_at is None or now - row.last_used_at >= _TOUCH_EVERY:
        _touch(row.id, now)
    return Caller(
        tenant_id=row.tenant_id,
        actor_type="api_key",
        actor_id=str(row.id),
        actor_label=f"{row.name} ({row.key})",
        permissions=frozenset(_SCOPES[scope] for scope in row.scopes if scope in _SCOPES),
        mode="test" if row.mode == ApiKeyMode.TEST else "live",
    )


def wrong_api_key() -> NotAuthenticated:
    """Return the one refusal for an unknown key, a wrong secret, or a half of the pair that is missing."""
    return NotAuthenticated("The API key or its secret is wrong.", code="invalid_api_key")


def _find(key: str | None, given: bytes) -> _Key | None:
    if key is not None and "\x00" in key:
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM find_api_key(%s, %s)", [key, given if key is None else None])
        row = cursor.fetchone()
    return _Key(*row) if row else None


def _matches(row: _Key, given: bytes) -> bool:
    is_current = hmac.compare_digest(bytes(row.secret_hash), given)
    is_previous = _is_previous(row, given)
    until = row.previous_secret_expires_at
    return is_current or (is_previous and until is not None and until > timezone.now())


def _is_previous(row: _Key, given: bytes) -> bool:
    return row.previous_secret_hash is not None and hmac.compare_digest(bytes(row.previous_secret_hash), given)


def _is_allowed(networks: Sequence[str], address: str | None) -> bool:
    if not networks:
        return True
    return address is not None and any(_parse(address) in ip_network(network) for network in networks)


def _touch(key_id: UUID, now: datetime) -> None:
    """Note the use, unless somebody else is just doing it: nobody waits for a row's lock here."""
    with platform_scope("last use of an API key"):
        free = ApiKey.objects.filter(id=key_id).select_for_update(skip_locked=True)
        ApiKey.objects.filter(id__in=free.values("id")).update(last_used_at=now)


def _count_wrong_secret(row: _Key | None, given: bytes, address: str | None) -> NotAuthenticated | TooManyRequests:
    """Count one wrong secret and return the refusal; an old secret, rotated away, is no attack and is not counted."""
    if row is not None and _is_previous(row, given):
        return wrong_api_key()
    window = settings.API_KEY_FAILURE_WINDOW.total_seconds()
    source = f"api-key-source:{row.id if row else 'unknown'}:{_source(address)}"
    decision = take(source, Limit(settings.API_KEY_SOURCE_LIMIT, window))
    if not decision.allowed:
        return TooManyRequests("Too many wrong secrets from your address.", retry_after=decision.retry_after)
    if row is None or row.status != ApiKeyStatus.ACTIVE or not _is_allowed(row.allowed_networks, address):
        return wrong_api_key()
    tries = max(settings.API_KEY_REVOKE_AFTER, _SOURCES * settings.API_KEY_SOURCE_LIMIT)
    if not take(f"api-key-tries:{row.id}", Limit(tries - 1, window)).allowed:
        _revoke(row, tries)
    return wrong_api_key()


def _source(address: str | None) -> str:
    """Return whom tries are counted for: an IPv6 host has a whole /64 to itself."""
    if address is None:
        return "unknown"
    parsed = _parse(address)
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else str(parsed)


def _parse(address: str) -> IPv4Address | IPv6Address:
    """Return an address; IPv4 seen through an IPv6 socket (``::ffff:192.0.2.1``) as what it is."""
    parsed = ip_address(address)
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed


def _revoke(row: _Key, tries: int) -> None:
    minutes = round(settings.API_KEY_FAILURE_WINDOW.total_seconds() / 60)
    reason = f"{tries} wrong secrets within {minutes} minutes"
    log.warning("api_key_revoked", tenant_id=str(row.tenant_id), api_key_id=str(row.id), reason=reason)
    with tenant_scope(row.tenant_id):
        api_keys.revoke(system_caller(row.tenant_id, "api-key-guard"), row.id, reason=reason)
        tell_admins(
            row.tenant_id,
            f"API key “{row.name}” was revoked",
            f"The API key “{row.name}” ({row.key}) was revoked: {reason}, from several addresses.\n\n"
            "Requests with it are refused from now on. Create a new key, and consider giving it an IP allow-list:\n"
            "only addresses on the list can then lead to a revocation.\n",
        )
