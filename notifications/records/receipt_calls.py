"""Calls of providers: whose they are, and whether they are genuine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, runtime_checkable
from uuid import UUID

import orjson
import structlog

from notification_service.lib.errors import InvalidInput, NotFound, PermissionDenied
from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.credentials.models import Credential
from notifications.credentials.services import credentials_of_account, decrypt, open_provider
from notifications.providers.base import Provider, ReceiptRequest
from notifications.providers.registry import providers
from notifications.providers.replies import reply_of
from notifications.records.models import NotificationRecord
from notifications.records.receipts import take_in, take_reply

log = structlog.get_logger(__name__)

#: More reports than any provider puts into one call.
_MAX_REPORTS = 5000


@runtime_checkable
class Challenging(Protocol):
    """A provider that asks, before it calls an address, whether that is ours."""

    def answer_challenge(self, query: Mapping[str, str], credential: Any) -> str | None:
        """Return the answer, or None if the question does not come from whom the credential belongs to."""


def receive(
    provider: str, credential_id: UUID | None, request: ReceiptRequest, *, other_urls: Collection[str] = ()
) -> int:
    """Take a provider's call; return how many of its reports were news.

    Without ``credential_id`` the call itself says whose it is: it names the account, or records of ours. It counts only
    if it is signed with the tenant's credential; ``other_urls`` are further spellings of the address that was called,
    which some signatures cover. Raises ``NotFound`` (no such provider, credential or account), ``PermissionDenied``
    (wrong signature) and ``InvalidInput`` (genuine, but no report).
    """
    vendor = _vendor(provider)
    candidates = _candidates(vendor, credential_id, request)
    if not candidates:
        raise NotFound
    calls = [request, *(replace(request, url=url) for url in other_urls)]
    credential = next((each for each in candidates if _is_genuine(vendor, calls, each)), None)
    if credential is None:
        log.warning("receipt_refused", provider=vendor.key, credential_id=str(credential_id or ""))
        raise PermissionDenied("The signature is wrong.", code="invalid_signature")
    try:
        reply, reports = reply_of(vendor.key, request), vendor.parse_receipt(request)
    except ValueError as error:
        raise InvalidInput(f"This is no report of {vendor.label}: {error}"[:300]) from None
    with tenant_scope(credential.tenant_id):
        if reply is not None:
            take_reply(vendor.channel, reply)
        return len(take_in(vendor.key, credential.id, reports[:_MAX_REPORTS]))


def answer_challenge(provider: str, credential_id: UUID, query: Mapping[str, str]) -> str:
    """Return what a provider must be answered that asks whether an address is ours.

    Raises ``NotFound`` (no such credential, or a provider that does not ask), ``PermissionDenied`` for a wrong token.
    """
    vendor = _vendor(provider)
    credential = next(iter(_by_id(vendor, credential_id)), None)
    if credential is None or not isinstance(vendor, Challenging):
        raise NotFound
    answer = vendor.answer_challenge(query, decrypt(credential))
    if answer is None:
        raise PermissionDenied("The verify token is wrong.", code="invalid_signature")
    return answer


def _vendor(name: str) -> Provider[Any]:
    """Return the provider that an address means: by its key, or by the beginning of it (``whatsapp``)."""
    key = next((key for key in (name, f"{name}_cloud") if key in providers), None)
    if key is None or providers.get(key).parse_receipt is Provider.parse_receipt:
        raise NotFound
    return open_provider(key)


def _candidates(vendor: Provider[Any], credential_id: UUID | None, request: ReceiptRequest) -> list[Credential]:
    if credential_id is not None:
        return _by_id(vendor, credential_id)
    with platform_scope("whose receipt is it"):
        found = credentials_of_account(vendor.key, _accounts(vendor.key, request))
        return found or _by_records(vendor, request)


def _by_id(vendor: Provider[Any], credential_id: UUID) -> list[Credential]:
    with platform_scope("whose receipt is it"):
        return list(Credential.objects.filter(id=credential_id, provider=vendor.key))


def _by_records(vendor: Provider[Any], request: ReceiptRequest) -> list[Credential]:
    """Return the credentials of the records that a call refers to. It is not verified yet: this only says with what."""
    try:
        ids = {report.record_id for report in vendor.parse_receipt(request)[:_MAX_REPORTS] if report.record_id}
    except ValueError:
        return []
    used = NotificationRecord.objects.filter(id__in=ids).values_list("credential_id", flat=True).distinct()
    return list(Credential.objects.filter(id__in=[each for each in used if each], provider=vendor.key))


def _is_genuine(vendor: Provider[Any], calls: Sequence[ReceiptRequest], credential: Credential) -> bool:
    payload = decrypt(credential)
    return any(vendor.verify_receipt(call, payload) for call in calls)


def _twilio_accounts(request: ReceiptRequest) -> list[str]:
    return [value for name, value in request.form() if name == "AccountSid"]


def _whatsapp_accounts(request: ReceiptRequest) -> list[str]:
    changes = [change for entry in orjson.loads(request.body)["entry"] for change in entry["changes"]]
    return [str(change["value"]["metadata"]["phone_number_id"]) for change in changes]


#: Where a provider's call names the account, by provider key.
_ACCOUNTS: Final[Mapping[str, Callable[[ReceiptRequest], list[str]]]] = {
    "twilio": _twilio_accounts,
    "whatsapp": _whatsapp_accounts,
    "whatsapp_cloud": _whatsapp_accounts,
}


def _accounts(provider: str, request: ReceiptRequest) -> list[str]:
    read = _ACCOUNTS.get(provider)
    try:
        return read(request) if read else []
    except (ValueError, TypeError, KeyError, AttributeError):
        return []
