"""Verbs of suppressions: who must not be written to any more, and why.

On which lane a suppression holds: on every lane, with one exception. ``unsubscribed`` does not hold on the critical
lane: who wants no more newsletters still asks for a password code. An address that bounced, that is dead, that said
STOP (the law and the carriers forbid every message), that complained, or that the tenant itself has barred gets nothing
at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.utils import timezone

from notification_service.lib.errors import InvalidInput, NotFound
from notification_service.lib.ids import new_id
from notification_service.lib.masking import mask_address
from notification_service.lib.scope import current_tenant_id
from notifications.channels.base import ContentError
from notifications.channels.registry import channels
from notifications.recipients.models import Suppression, SuppressionReason
from tenants import audit
from tenants.callers import Caller

_CRITICAL = "critical"


class Addressee(NamedTuple):
    """Where a message is to go, and what kind of message it is. ``address`` is in its channel's normal form."""

    channel: str
    address: str
    lane: str = "normal"
    category: str = ""


@dataclass(frozen=True, slots=True)
class NewSuppression:
    """An address to suppress; ``address`` is in its channel's normal form."""

    channel: str
    address: str
    reason: SuppressionReason
    category: str = ""
    source_record_id: UUID | None = None
    expires_at: datetime | None = None


_FIND = """
SELECT s.channel, s.address, s.category, s.reason
FROM suppression AS s
JOIN (SELECT DISTINCT * FROM unnest(%s::text[], %s::text[]) AS w (channel, address)) AS w
    ON s.channel = w.channel AND s.address = w.address
WHERE s.tenant_id = %s AND (s.expires_at IS NULL OR s.expires_at > %s)
ORDER BY s.reason = 'unsubscribed', s.id
"""


def find_suppressed(addressees: Iterable[Addressee]) -> dict[Addressee, SuppressionReason]:
    """Return those that must get nothing, with the reason, in one query. Needs the tenant's scope."""
    wanted = list(addressees)
    if not wanted:
        return {}
    keys = [(each.channel, suppression_key(each.channel, each.address)) for each in wanted]
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [*map(list, zip(*keys, strict=True)), current_tenant_id(), timezone.now()])
        rows = cursor.fetchall()
    holding: dict[tuple[str, str], list[tuple[str, SuppressionReason]]] = {}
    for channel, address, category, reason in rows:
        holding.setdefault((channel, address), []).append((category, SuppressionReason(reason)))
    if not holding:
        return {}
    found: dict[Addressee, SuppressionReason] = {}
    for each, key in zip(wanted, keys, strict=True):
        for category, reason in holding.get(key, ()):
            if category in ("", each.category) and holds(reason, each.lane):
                found.setdefault(each, reason)
    return found


def holds(reason: SuppressionReason, lane: str) -> bool:
    """Whether a suppression for this reason holds on this lane."""
    return lane != _CRITICAL or reason != SuppressionReason.UNSUBSCRIBED


def category_of(metadata: Mapping[str, Any]) -> str:
    """Return the category of a message: the text under ``category`` of its metadata, or nothing."""
    category = metadata.get("category")
    return category[:64] if isinstance(category, str) else ""


# What is permanent is never made temporary, and what holds on every lane is never weakened to an unsubscription.
_SUPPRESS = """
INSERT INTO suppression AS s
    (id, tenant_id, channel, address, category, reason, source_record_id, expires_at, created_by, created_at)
SELECT n.id, %(tenant)s, n.channel, n.address, n.category, n.reason, n.source, n.expires_at, %(by)s, now()
FROM unnest(%(id)s::uuid[], %(channel)s::text[], %(address)s::text[], %(category)s::text[], %(reason)s::text[],
            %(source)s::uuid[], %(expires_at)s::timestamptz[])
    AS n (id, channel, address, category, reason, source, expires_at)
ORDER BY n.channel, n.address, n.category
ON CONFLICT (tenant_id, channel, address, category) DO UPDATE SET
    reason = excluded.reason, source_record_id = excluded.source_record_id, expires_at = excluded.expires_at,
    created_by = excluded.created_by
WHERE (s.expires_at IS NOT NULL AND (excluded.expires_at IS NULL OR excluded.expires_at > s.expires_at))
    OR (s.reason = 'unsubscribed' AND excluded.reason <> 'unsubscribed' AND excluded.expires_at IS NULL)
RETURNING s.channel, s.address, s.category
"""


def suppress(news: Sequence[NewSuppression], *, by: str) -> int:
    """Suppress addresses, in one statement; return how many of them that was news for. Needs the tenant's scope.

    ``by`` says who: ``receipt``, ``delivery``, ``unsubscribe link``, a person.
    """
    # One statement can not touch a row twice: the strongest of each address wins.
    unique: dict[tuple[str, str, str], NewSuppression] = {}
    for new in news:
        key = (new.channel, suppression_key(new.channel, new.address), new.category)
        if key not in unique or unique[key].reason == SuppressionReason.UNSUBSCRIBED:
            unique[key] = new
    if not unique:
        return 0
    chosen = list(unique.values())
    parameters: dict[str, Any] = {
        "tenant": current_tenant_id(),
        "by": by[:255],
        "id": [new_id() for _ in chosen],
        "channel": [key[0] for key in unique],
        "address": [key[1] for key in unique],
        "category": [key[2] for key in unique],
        "reason": [str(new.reason) for new in chosen],
        "source": [new.source_record_id for new in chosen],
        "expires_at": [new.expires_at for new in chosen],
    }
    with connection.cursor() as cursor:
        cursor.execute(_SUPPRESS, parameters)
        return len(cursor.fetchall())


def create_suppression(
    caller: Caller,
    *,
    channel: str,
    address: str,
    reason: str = SuppressionReason.MANUAL,
    category: str = "",
    expires_at: datetime | None = None,
) -> tuple[Suppression, bool]:
    """Suppress one address for a caller; return the suppression that holds now, and whether that changed anything.

    Needs the tenant's scope. Raises ``InvalidInput`` naming the field.
    """
    key = normal_address(channel, address)
    if expires_at is not None and expires_at <= timezone.now():
        raise InvalidInput("expires_at: Must lie in the future.", errors={"expires_at": ["Must lie in the future."]})
    new = NewSuppression(channel, key, SuppressionReason(reason), category, expires_at=expires_at)
    changed = suppress([new], by=caller.actor_label or caller.actor_id) > 0
    held = Suppression.objects.get(channel=channel, address=key, category=category)
    if changed:
        audit.record(caller, "suppression.created", "suppression", held.id, **_described(held))
    return held, changed


def get_suppression(suppression_id: UUID) -> Suppression:
    """Return one of the tenant's suppressions. Needs the tenant's scope. Raises ``NotFound``."""
    held = Suppression.objects.filter(id=suppression_id).first()
    if held is None:
        raise NotFound
    return held


def lift_suppression(caller: Caller, held: Suppression) -> None:
    """Let an address receive again. Needs the tenant's scope."""
    audit.record(caller, "suppression.lifted", "suppression", held.id, **_described(held))
    held.delete()


def lift_address(caller: Caller, channel: str, address: str) -> int:
    """Lift every suppression of an address; return how many there were. Raises ``InvalidInput``, ``NotFound``."""
    rows = list(Suppression.objects.filter(channel=channel, address=normal_address(channel, address)))
    if not rows:
        raise NotFound
    for held in rows:
        lift_suppression(caller, held)
    return len(rows)


def normal_address(channel: str, address: str) -> str:
    """Return an address as suppressions have it. Raises ``InvalidInput`` naming ``channel`` or ``address``."""
    if channel not in channels:
        message = f"Unknown channel {channel!r}; known: {', '.join(channels.keys())}."
        raise InvalidInput("Unknown channel.", errors={"channel": [message]})
    try:
        return suppression_key(channel, channels.get(channel).normalise_address(address))
    except ContentError as error:
        raise InvalidInput.at("address", error.message) from None


def suppression_key(channel: str, address: str) -> str:
    """Return the form in which normal addresses are compared here.

    Mail servers may tell ``Ada@`` from ``ada@`` (RFC 5321 §2.4), people do not: who has unsubscribed has done so in
    either spelling.
    """
    return address.lower() if channel == "email" else address


def _described(held: Suppression) -> dict[str, Any]:
    return {
        "channel": held.channel,
        "address": mask_address(held.address),
        "reason": str(held.reason),
        "category": held.category,
    }
