"""Verbs of credentials: create, change, delete, check, pause; and the choice of the one to send with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.utils import timezone
from pydantic import SecretStr, ValidationError

from notification_service.lib.encryption import key_ring
from notification_service.lib.errors import Conflict, InvalidInput, NotFound
from notification_service.lib.masking import is_masked, mask
from notification_service.lib.net import NetworkPolicy
from notification_service.lib.scope import current_tenant_id, tenant_scope
from notifications.channels.registry import channels
from notifications.credentials import circuit
from notifications.credentials.hooks import credential_usable
from notifications.credentials.models import Credential, CredentialStatus
from notifications.providers.base import CheckResult, CredentialSchema, Provider, field_errors
from notifications.providers.registry import make_provider, providers
from tenants import audit
from tenants.callers import Caller, Mode, system_caller
from tenants.notices import tell_admins

_SEEN_SECONDS = 2.0
_seen: dict[tuple[UUID, str], float] = {}

#: Fields of a payload by which a provider names the account when it calls us.
_ACCOUNT_FIELDS = ("account_sid", "phone_number_id")
#: So many credentials of one account are tried at a call of its provider; each tenant has an address of its own, too.
_SAME_ACCOUNT = 50


def create_credential(
    caller: Caller,
    *,
    channel: str,
    payload: Mapping[str, Any],
    provider: str | None = None,
    name: str = "",
    position: int = 0,
    weight: int = 1,
    rate_limit: int | None = None,
    enabled: bool = True,
) -> Credential:
    """Store a credential. ``provider`` defaults to the channel's first. Raises ``InvalidInput`` naming the field."""
    provider = _provider_for(channel, provider)
    valid = valid_payload(provider, _unmask(payload, {}))
    credential = Credential(
        tenant_id=caller.required_tenant_id(),
        channel=channel,
        provider=provider,
        name=name or providers.get(provider).label,
        position=position,
        weight=weight,
        rate_limit=rate_limit,
        status=CredentialStatus.ACTIVE if enabled else CredentialStatus.DISABLED,
        status_changed_at=timezone.now(),
    )
    _encrypt(credential, valid)
    credential.save(force_insert=True)
    audit.record(caller, "credential.created", "credential", credential.id, before={}, after=describe(credential))
    _announce(credential)
    return credential


def update_credential(
    caller: Caller,
    credential: Credential,
    *,
    payload: Mapping[str, Any] | None = None,
    merge: bool = False,
    provider: str | None = None,
    name: str | None = None,
    position: int | None = None,
    weight: int | None = None,
    rate_limit: int | None = None,
    enabled: bool | None = None,
) -> Credential:
    """Change a credential; ``merge`` keeps fields of the payload that are not given.

    A secret sent back as its mask stays what it is, unless it would be sent to another place than before: then it is
    asked for (``secret_required``). New words for a paused credential make it active again. Raises ``InvalidInput``
    naming the field.
    """
    before = describe(credential)
    if provider is not None and provider != credential.provider:
        if payload is None:
            raise InvalidInput(
                "Another provider needs another payload.", errors={"credentials": ["Required with a new provider."]}
            )
        credential.provider, merge = _provider_for(credential.channel, provider), False
    if payload is not None:
        present = decrypt(credential) if credential.provider == before["provider"] else None
        known = present.reveal() if present else {}
        sent = _unmask(payload, known)
        valid = valid_payload(credential.provider, {**known, **sent} if merge else sent)
        if present and valid.sends_elsewhere(present):
            _require_secrets(valid, payload)
        _encrypt(credential, valid)
    if name is not None:
        credential.name = name
    for field, value in (("position", position), ("weight", weight), ("rate_limit", rate_limit)):
        if value is not None:
            setattr(credential, field, value)
    status = credential.status
    if enabled is False:
        status = CredentialStatus.DISABLED
    elif enabled or (payload is not None and status == CredentialStatus.PAUSED):
        status = CredentialStatus.ACTIVE
    _set_status(credential, status)
    credential.save()
    audit.record(
        caller,
        "credential.updated",
        "credential",
        credential.id,
        before=before,
        after=describe(credential),
        payload_changed=payload is not None,
    )
    circuit.reset(credential.tenant_id, credential.id)
    _announce(credential)
    return credential


def delete_credential(caller: Caller, credential: Credential) -> None:
    """Delete a credential and its secrets for good; records keep its id."""
    audit.record(caller, "credential.deleted", "credential", credential.id, before=describe(credential), after={})
    credential.delete()


def check_credential(caller: Caller, credential_id: UUID) -> CheckResult:
    """Really connect to the provider with the credential, send nothing, and say what happened.

    Call it outside every scope: no transaction is open while the provider is asked. Raises ``NotFound``.
    """
    tenant_id = caller.required_tenant_id()
    with tenant_scope(tenant_id):
        credential = get_credential(credential_id)
        provider, payload = open_provider(credential.provider), decrypt(credential)
    result = asyncio.run(_check(provider, payload))
    with tenant_scope(tenant_id):
        audit.record(caller, "credential.tested", "credential", credential_id, ok=result.ok, outcome=result.detail)
    return result


def get_credential(credential_id: UUID) -> Credential:
    """Return one of the tenant's credentials. Needs the tenant's scope. Raises ``NotFound``."""
    try:
        return Credential.objects.get(id=credential_id)
    except Credential.DoesNotExist:
        raise NotFound from None


def pause_credential(tenant_id: UUID, credential_id: UUID, *, because: str, updated_at: datetime | None = None) -> None:
    """Stop using a credential that its provider refused, and tell the tenant's admins once.

    ``because`` is the provider's answer; ``updated_at`` the credential's when it was read for that attempt. Needs the
    tenant's scope. Does nothing if the credential is not active, or was changed since: what was refused is gone.
    """
    credential = Credential.objects.select_for_update().filter(id=credential_id, status=CredentialStatus.ACTIVE).first()
    if credential is None or updated_at not in (None, credential.updated_at):
        return
    before = describe(credential)
    _set_status(credential, CredentialStatus.PAUSED, because)
    credential.save()
    caller = system_caller(tenant_id, "delivery")
    audit.record(
        caller,
        "credential.paused",
        "credential",
        credential.id,
        before=before,
        after=describe(credential),
        reason=because,
    )
    tell_admins(
        tenant_id,
        f"{credential.name}: the provider refuses this credential",
        f"We stopped sending {credential.channel} with the credential “{credential.name}” ({credential.provider}), "
        f"because the provider answered:\n\n    {because}\n\n"
        "Nothing is lost: what is still to be sent waits. Correct the credential, and it goes out.",
    )


def credentials_of_account(provider: str, accounts: Collection[str]) -> list[Credential]:
    """Return the credentials of all tenants for a provider's accounts. Needs ``platform_scope``."""
    rows = Credential.objects.filter(provider=provider, account__in=[name for name in accounts if name])
    return list(rows.order_by("id")[:_SAME_ACCOUNT])


def receipts_url(credential: Credential) -> str | None:
    """Return the address at which the provider reports what became of messages, or None if it reports nothing."""
    kind = providers.get(credential.provider)
    if kind.parse_receipt is Provider.parse_receipt:
        return None
    return f"{settings.PUBLIC_URL}/webhooks/{credential.provider}/{credential.id}"


def require_credential(channel: str, mode: Mode) -> None:
    """Raise ``Conflict`` if the tenant has nothing at all to send with on this channel. Needs the tenant's scope."""
    if mode == "test" or own_provider(channel):
        return
    if Credential.objects.filter(channel=channel).exists():
        _seen[current_tenant_id(), channel] = time.monotonic() + _SEEN_SECONDS
        return
    raise Conflict(
        f"There is no credential for channel {channel!r} yet: create one at /api/notifications/credentials/.",
        code="no_credential",
        errors={"channel": [f"No credential for {channel!r}."]},
    )


def own_provider(channel: str) -> str | None:
    """Return the provider of a channel that needs no credential (in-app: we deliver it ourselves), or None."""
    if channel not in channels:
        return None
    first = channels.get(channel).providers[0]
    return None if providers.get(first).needs_credential else first


def known_to_have_credential(tenant_id: UUID, channel: str, mode: Mode) -> bool:
    """Whether ``require_credential`` found something in this process within the last seconds; asks no database."""
    return mode == "test" or bool(own_provider(channel)) or _seen.get((tenant_id, channel), 0.0) > time.monotonic()


def decrypt(credential: Credential) -> CredentialSchema:
    """Return the payload in clear. Raises ``DecryptionError`` if no key of the ring fits."""
    clear = key_ring().decrypt(bytes(credential.payload_encrypted), associated_data=credential.associated_data)
    schema = providers.get(credential.provider).schema
    return schema.model_validate(orjson.loads(clear))


def masked_payload(credential: Credential) -> dict[str, Any]:
    """Return the payload as it may be shown: secrets as ``••••`` and their last characters."""
    payload = decrypt(credential)
    return {
        name: mask(value.get_secret_value()) if isinstance(value, SecretStr) else value
        for name, value in payload.model_dump(mode="python").items()
    }


def describe(credential: Credential) -> dict[str, Any]:
    """Return a credential as the audit log may keep it."""
    return {
        "name": credential.name,
        "channel": credential.channel,
        "provider": credential.provider,
        "position": credential.position,
        "weight": credential.weight,
        "rate_limit": credential.rate_limit,
        "status": str(credential.status),
        "settings": masked_payload(credential),
    }


def open_provider(key: str) -> Provider[Any]:
    """Return a new provider for the running event loop, bound to the networks that tenants' hosts may be in."""
    return make_provider(key, network_policy=NetworkPolicy.parse(settings.OUTBOUND_ALLOWED_NETWORKS))


async def _check(provider: Provider[Any], payload: CredentialSchema) -> CheckResult:
    try:
        return await provider.check(payload)
    finally:
        await provider.aclose()


def _provider_for(channel: str, provider: str | None) -> str:
    if channel not in channels:
        known = ", ".join(channels.keys())
        raise InvalidInput("Unknown channel.", errors={"channel": [f"Unknown channel {channel!r}; known: {known}."]})
    fitting = [candidate.key for candidate in providers if candidate.channel == channel]
    preferred = [key for key in channels.get(channel).providers if key in fitting]
    chosen = provider or next(iter([*preferred, *fitting]), None)
    if chosen not in fitting:
        raise InvalidInput(
            "Unknown provider.",
            errors={"provider": [f"Unknown provider {chosen!r} for {channel}; known: {', '.join(fitting)}."]},
        )
    return chosen


def _unmask(payload: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Put what is known back where its mask was sent. Raises ``InvalidInput`` for a mask of nothing."""
    unknown = [name for name, value in payload.items() if is_masked(value) and known.get(name) is None]
    if unknown:
        message = "This is a mask of nothing that is stored: enter the value itself."
        errors = {f"credentials.{name}": [message] for name in unknown}
        raise InvalidInput(f"credentials.{unknown[0]}: {message}", errors=errors)
    return {name: known[name] if is_masked(value) else value for name, value in payload.items()}


def _require_secrets(valid: CredentialSchema, payload: Mapping[str, Any]) -> None:
    """Raise ``InvalidInput`` naming the secrets that the caller has not entered: who may change a credential need not
    know them, and must not learn them by having them sent to a place of their choice.
    """
    kept = [
        name
        for name in sorted(valid.secret_fields())
        if getattr(valid, name) is not None and (name not in payload or is_masked(payload[name]))
    ]
    if kept:
        message = "Enter the secret again: with this change it is sent to another place, or less protected."
        errors = {f"credentials.{name}": [message] for name in kept}
        raise InvalidInput(f"credentials.{kept[0]}: {message}", code="secret_required", errors=errors)


def valid_payload(provider: str, payload: Mapping[str, Any]) -> CredentialSchema:
    """Return a payload that fits the provider's schema. Raises ``InvalidInput`` naming the fields."""
    try:
        return providers.get(provider).schema.model_validate(dict(payload))
    except ValidationError as error:
        found = field_errors(error)
        errors = {name if name == "credentials" else f"credentials.{name}": found[name] for name in found}
        field, messages = next(iter(errors.items()))
        raise InvalidInput(f"{field}: {messages[0]}", errors=errors) from None


def _encrypt(credential: Credential, payload: CredentialSchema) -> None:
    credential.payload_encrypted = key_ring().encrypt(
        orjson.dumps(payload.reveal()), associated_data=credential.associated_data
    )
    names = (str(getattr(payload, name, None) or "") for name in _ACCOUNT_FIELDS)
    credential.account = next((name for name in names if name), "")[:255]


def _set_status(credential: Credential, status: str, detail: str = "") -> None:
    if status != credential.status:
        credential.status, credential.status_detail = status, detail[:500]
        credential.status_changed_at = timezone.now()


def _announce(credential: Credential) -> None:
    if credential.status == CredentialStatus.ACTIVE:
        credential_usable(credential.tenant_id, credential.channel)
