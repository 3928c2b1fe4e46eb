"""The choice of what to send with: order, weight, health, and how much a provider lets through a second."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

import structlog
from django.conf import settings
from django.utils import timezone

from notification_service.lib.encryption import DecryptionError
from notification_service.lib.rate_limit import Limit, take_some
from notifications.credentials.circuit import circuits, may_probe
from notifications.credentials.models import Credential, CredentialStatus
from notifications.credentials.services import decrypt, own_provider, valid_payload
from notifications.providers.base import CredentialSchema
from tenants.callers import Mode

log = structlog.get_logger(__name__)

#: How long records wait for what comes of somebody else's try of a half-open circuit.
_PROBE_PATIENCE = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, eq=False)
class UsableCredential:
    """A credential in clear, ready to be handed to its provider. ``id`` is None for the sandbox's.

    ``probing``: its circuit is half-open, so one message goes first. ``rate_limit`` is in messages a second.
    ``updated_at`` tells which of its states this is.
    """

    id: UUID | None
    provider: str
    payload: CredentialSchema = field(repr=False)
    probing: bool = False
    rate_limit: int | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What to try, in order. If there is nothing: why, and when it is worth looking again (None: when told)."""

    credentials: tuple[UsableCredential, ...] = ()
    because: str = ""
    again_at: datetime | None = None


def choose(tenant_id: UUID, channel: str, mode: Mode) -> Choice:
    """Return what a tenant's message can be sent with now. Needs the tenant's scope.

    Active credentials by ``position``; those of the same position by chance, in proportion to ``weight``. Test traffic
    goes to the sandbox, whatever the tenant has.
    """
    if mode == "test":
        return Choice((_sandbox_credential(channel),))
    rows = list(Credential.objects.filter(channel=channel, status=CredentialStatus.ACTIVE))
    if not rows:
        if own := own_provider(channel):
            return Choice((UsableCredential(None, own, valid_payload(own, {})),))
        return Choice(because=f"No usable {channel} credential: waiting for one.")
    health = circuits(tenant_id, [row.id for row in rows])
    usable: list[UsableCredential] = []
    ends: list[datetime] = []
    for row in _in_order(rows):
        circuit = health[row.id]
        if circuit.open_until is not None:
            ends.append(circuit.open_until)
            continue
        if circuit.state == "half_open" and not may_probe(tenant_id, row.id):
            ends.append(timezone.now() + _PROBE_PATIENCE)  # somebody is finding out just now
            continue
        try:
            payload = _reporting_to_us(row, decrypt(row))
        except DecryptionError as error:  # its records wait, like for one that was refused, and are not given up
            log.error("credential_does_not_decrypt", credential_id=str(row.id), error=str(error))
            continue
        is_probe = circuit.state == "half_open"
        usable.append(UsableCredential(row.id, row.provider, payload, is_probe, row.rate_limit, row.updated_at))
    if usable:
        return Choice(tuple(usable))
    if not ends:
        return Choice(because=f"No {channel} credential can be decrypted: waiting for one.")
    return Choice(
        because=f"Every {channel} provider keeps failing: trying again when the first has had a rest.",
        again_at=min(ends),
    )


def let_through(tenant_id: UUID, credential: UsableCredential, wanted: int) -> int:
    """Return how many of ``wanted`` messages the credential's rate limit lets through now."""
    if credential.rate_limit is None or credential.id is None:
        return wanted
    limit = Limit(credential.rate_limit, 1.0)
    return take_some(f"tenant:{tenant_id}:credential:{credential.id}", limit, wanted)


def _in_order(rows: Sequence[Credential]) -> list[Credential]:
    # Efraimidis and Spirakis: sorting by u^(1/w) draws without replacement in proportion to the weights.
    return sorted(rows, key=lambda row: (row.position, -(random.random() ** (1 / row.weight))))  # noqa: S311 - no secret


def _reporting_to_us(row: Credential, payload: CredentialSchema) -> CredentialSchema:
    """Name the address for receipts where the provider is told it with each message and the tenant named none."""
    if getattr(payload, "status_callback", "") is not None or not settings.PUBLIC_URL:
        return payload
    address = f"{settings.PUBLIC_URL}/webhooks/{row.provider}/{row.id}"
    return payload.model_copy(update={"status_callback": address})


def _sandbox_credential(channel: str) -> UsableCredential:
    """What test traffic is sent with: the sandbox's, where it plays the vendor, or what sends nothing."""
    if own := own_provider(channel):
        return UsableCredential(None, own, valid_payload(own, {}))
    provider, payload = _sandbox_payload(channel)
    return UsableCredential(None, provider, valid_payload(provider, payload))


def _sandbox_payload(channel: str) -> tuple[str, dict[str, Any]]:
    if channel == "email" and settings.SANDBOX_SMTP_URL:
        url = urlsplit(settings.SANDBOX_SMTP_URL)
        return "smtp", {
            "host": url.hostname,
            "port": url.port or 25,
            "security": "none",
            "username": unquote(url.username or "") or None,
            "password": unquote(url.password or "") or None,
            "from_email": "test@example.com",
        }
    if channel == "sms" and settings.SANDBOX_URL:
        return "twilio", {
            "account_sid": "AC" + "f" * 32,
            "auth_token": "sandbox",
            "from_phone": "+15005550006",
            "base_url": f"{settings.SANDBOX_URL}/twilio",
        }
    if channel == "whatsapp" and settings.SANDBOX_URL:
        return "whatsapp_cloud", {
            "access_token": "sandbox",
            "phone_number_id": "100000000000001",
            "base_url": settings.SANDBOX_URL,
        }
    return "console", {}
