"""The way out of every bulk message: a signed link, and the headers that mail programs make a button of.

RFC 2369 (``List-Unsubscribe``) and RFC 8058 (one click). The link holds all that is needed, so that it works long after
its record is gone; its signature is the only proof of right, and nobody has to sign in.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Protocol
from uuid import UUID

import orjson
from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.db.models import QuerySet

from notification_service.lib.errors import NotFound
from notification_service.lib.scope import tenant_scope
from notifications.channels.registry import channels
from notifications.recipients.models import Suppression, SuppressionReason
from notifications.recipients.suppressions import NewSuppression, suppress, suppression_key
from tenants.models import Tenant

#: Who is said to have made and lifted such a suppression.
BY = "unsubscribe link"
_SALT = "notifications.unsubscribe"


class Sent(Protocol):
    """What a link needs to know of a record."""

    @property
    def id(self) -> UUID: ...
    @property
    def tenant_id(self) -> UUID: ...
    @property
    def channel(self) -> str: ...
    @property
    def recipient(self) -> str: ...
    @property
    def lane(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Link:
    """What a link says: which address of which tenant's messages, and in which record it stood."""

    tenant_id: UUID
    record_id: UUID
    channel: str
    address: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """How things stand for a link: whose messages, and whether the address gets them.

    ``reason`` is why it does not; only ``unsubscribed`` can be undone by the link.
    """

    tenant_name: str
    link: Link
    reason: SuppressionReason | None


def unsubscribe_headers(record: Sent) -> dict[str, str]:
    """Return the headers that a message of this record carries: for email on the bulk lane, else none.

    RFC 8058 has mail programs post only to https addresses, and only if a DKIM signature covers both headers: that is
    the business of ``PUBLIC_URL`` and of the tenant's mail server.
    """
    if record.lane != "bulk" or record.channel != "email":
        return {}
    return {
        "List-Unsubscribe": f"<{unsubscribe_url(record)}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def unsubscribe_url(record: Sent) -> str:
    """Return the address under which the recipient of this record can unsubscribe."""
    said = orjson.dumps([record.tenant_id.hex, record.id.hex, record.channel, record.recipient])
    token = _sign(urlsafe_b64encode(said).rstrip(b"="))
    return f"{settings.PUBLIC_URL}/u/{token}"


def read_token(token: str) -> Link:
    """Return what a link says. Raises ``NotFound`` if we did not write it."""
    try:
        tenant, record, channel, address = _signer().unsign_object(token)
        link = Link(UUID(tenant), UUID(record), channel, address)
    except (BadSignature, ValueError):
        raise NotFound from None
    if link.channel not in channels:
        raise NotFound
    return link


def subscription(link: Link) -> Subscription:
    """Say how things stand. Opens the tenant's scope. Raises ``NotFound`` if the tenant is gone."""
    with tenant_scope(link.tenant_id):
        return _standing(link)


def unsubscribe(link: Link) -> Subscription:
    """Suppress the address; once or often makes no difference. Raises ``NotFound`` if the tenant is gone."""
    with tenant_scope(link.tenant_id):
        _standing(link)
        suppress(
            [NewSuppression(link.channel, link.address, SuppressionReason.UNSUBSCRIBED, "", link.record_id)], by=BY
        )
        return _standing(link)


def resubscribe(link: Link) -> Subscription:
    """Undo ``unsubscribe``, and nothing else: an address that bounced stays suppressed."""
    with tenant_scope(link.tenant_id):
        _suppressions(link).filter(reason=SuppressionReason.UNSUBSCRIBED).delete()
        return _standing(link)


def _standing(link: Link) -> Subscription:
    tenant = Tenant.objects.filter(id=link.tenant_id).first()
    if tenant is None:
        raise NotFound
    held = next((each for each in _suppressions(link) if not each.has_expired), None)
    return Subscription(tenant.name, link, SuppressionReason(held.reason) if held else None)


def _suppressions(link: Link) -> QuerySet[Suppression]:
    address = suppression_key(link.channel, link.address)
    return Suppression.objects.filter(channel=link.channel, address=address, category="")


def _sign(value: bytes) -> str:
    """Do what ``Signer.sign_object`` does, whose work on the key alone takes longer than all else about a bulk mail."""
    signature = urlsafe_b64encode(hmac.digest(_key(), value, "sha256")).rstrip(b"=")
    return f"{value.decode()}.{signature.decode()}"


@lru_cache(maxsize=1)
def _key() -> bytes:
    """The key that ``Signer`` derives from its salt and secret (``django.utils.crypto.salted_hmac``)."""
    return sha256(b"%bsigner%b" % (_SALT.encode(), settings.SECRET_KEY.encode())).digest()


@lru_cache(maxsize=1)
def _signer() -> Signer:
    return Signer(salt=_SALT, sep=".")
