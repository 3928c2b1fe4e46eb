"""Systems that call the webhook: each signs with a secret of its own (HMAC-SHA256 over ``<timestamp>.<body>``)."""

from __future__ import annotations

import hashlib
import hmac
import secrets as random_secrets
import time
from typing import Final
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from notification_service.lib.encryption import key_ring
from notification_service.lib.errors import Conflict, NotAuthenticated, NotFound
from notification_service.lib.ids import new_id
from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.events.models import EventSource
from tenants import audit
from tenants.callers import Caller
from tenants.models import Tenant, TenantStatus
from tenants.permissions import Permission

#: How far a signed call's clock may be off, in seconds: an older one is a replay.
WINDOW: Final = 300
_REFUSED: Final = "The signature does not fit, or its time is more than five minutes off."


def create_source(caller: Caller, name: str) -> tuple[EventSource, str]:
    """Make a source; return it and its secret, which is shown this once. Raises ``Conflict``."""
    if EventSource.objects.filter(name=name).exists():
        raise Conflict("There is a source of this name.", code="name_taken", errors={"name": ["Is taken."]})
    source = EventSource(id=new_id(), tenant_id=caller.required_tenant_id(), name=name, created_by=caller.actor_label)
    secret = _give_secret(source)
    source.save()
    audit.record(caller, "event_source.created", "event_source", source.id, name=name)
    return source, secret


def change_source(
    caller: Caller, source_id: UUID, *, enabled: bool | None = None, rotate: bool = False
) -> tuple[EventSource, str | None]:
    """Switch a source on or off, or give it a new secret; return both. Raises ``NotFound``."""
    source = get_source(source_id)
    secret = _give_secret(source) if rotate else None
    if enabled is not None:
        source.enabled = enabled
    source.save()
    audit.record(caller, "event_source.updated", "event_source", source.id, enabled=source.enabled, rotated=rotate)
    return source, secret


def delete_source(caller: Caller, source_id: UUID) -> None:
    """Forget a source. Raises ``NotFound``."""
    source = get_source(source_id)
    audit.record(caller, "event_source.deleted", "event_source", source.id, name=source.name)
    source.delete()


def get_source(source_id: UUID) -> EventSource:
    """Return one of the tenant's sources. Raises ``NotFound``."""
    source = EventSource.objects.filter(id=source_id).first()
    if source is None:
        raise NotFound
    return source


def list_sources() -> QuerySet[EventSource]:
    """Return the tenant's sources."""
    return EventSource.objects.all()


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the value of ``X-Webhook-Signature`` for a call."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def caller_of(source_id: str, timestamp: str, signature: str, body: bytes) -> Caller:
    """Return who signed a call. Raises ``NotAuthenticated``, and never says which part of it was wrong."""
    try:
        wanted, sent_at = UUID(source_id), int(timestamp)
    except ValueError:
        raise NotAuthenticated(_REFUSED, code="invalid_signature") from None
    with platform_scope("a signed call names its source"):
        source = EventSource.objects.filter(id=wanted, enabled=True).first()
    # Whoever does not exist has a secret too: how long an answer takes says nothing.
    secret = _secret_of(source) if source else random_secrets.token_urlsafe(32)
    fits = hmac.compare_digest(sign(secret, timestamp, body), signature)
    if source is None or not fits or abs(time.time() - sent_at) > WINDOW:
        raise NotAuthenticated(_REFUSED, code="invalid_signature")
    if not Tenant.objects.filter(id=source.tenant_id, status__in=(TenantStatus.ACTIVE, TenantStatus.TRIAL)).exists():
        raise NotAuthenticated(_REFUSED, code="invalid_signature")
    with tenant_scope(source.tenant_id):
        EventSource.objects.filter(id=source.id).update(last_used_at=timezone.now())
    permissions = frozenset({Permission.NOTIFICATIONS_WRITE, Permission.EVENTS_WRITE})
    return Caller(source.tenant_id, "service", str(source.id), source.name, permissions=permissions)


def _give_secret(source: EventSource) -> str:
    secret = f"evs_{random_secrets.token_urlsafe(32)}"
    source.secret_encrypted = key_ring().encrypt(secret.encode(), associated_data=source.associated_data)
    return secret


def _secret_of(source: EventSource) -> str:
    clear = key_ring().decrypt(bytes(source.secret_encrypted), associated_data=source.associated_data)
    return clear.decode()
