"""Receipts: what providers report after they took a message. Kept, matched with their records, and applied.

They come twice, in any order, and before we know the provider's id: a report is kept once (``event_key``), a record's
``delivery_state`` only moves up (``states.DELIVERY_RANKS``), and what finds no record waits for it. The status of a
record is not touched: that the provider took the message stays true.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress as suppress_errors
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog
from django.db import connection
from django.utils import timezone

from notification_service.lib.ids import id_floor
from notification_service.lib.scope import current_tenant_id
from notifications.channels.base import ContentError
from notifications.channels.registry import channels
from notifications.providers.base import FailureReason
from notifications.providers.base import Receipt as Report
from notifications.providers.registry import providers
from notifications.providers.replies import Reply
from notifications.recipients.models import Suppression, SuppressionReason
from notifications.recipients.services import PUSH, deactivate
from notifications.recipients.suppressions import NewSuppression, suppress, suppression_key
from notifications.records import hooks
from notifications.records.models import WITHOUT_RECEIPTS, NotificationRecord, Receipt, RecordEvent
from notifications.records.outcomes import Outcome
from notifications.records.states import DELIVERY_RANKS, DeliveryState

log = structlog.get_logger(__name__)

#: A receipt whose record has not turned up after this long belongs to a message that was not sent through us.
PATIENCE = timedelta(hours=1)
#: How long receipts are kept: longer than any provider repeats itself. The records' timelines keep what they said.
KEPT = timedelta(days=30)
#: A higher price is no price of one message.
_DEAREST = Decimal(1_000_000)
#: Codes by which Twilio and WhatsApp say that the recipient has replied STOP.
_STOP_CODES = frozenset({"21610", "STOP"})
_UNSUBSCRIBED = re.compile("unsubscribed", re.IGNORECASE)
_SPAM = re.compile("spam", re.IGNORECASE)


def take_in(provider: str, credential_id: UUID, reports: Sequence[Report]) -> list[Receipt]:
    """Keep and apply verified reports; return those that are news. Needs the tenant's scope."""
    now = timezone.now()
    rows = [
        Receipt(
            tenant_id=current_tenant_id(),
            provider=provider,
            credential_id=credential_id,
            event_key=_event_key(report),
            record_id=report.record_id,
            provider_message_id=_clean(report.provider_message_id)[:255],
            state=report.state,
            payload=_payload(report),
            occurred_at=report.occurred_at,
            received_at=now,
        )
        for report in reports
    ]
    Receipt.objects.bulk_create(rows, ignore_conflicts=True)
    fresh = list(Receipt.objects.filter(id__in=[row.id for row in rows]))
    apply(fresh)
    return fresh


def apply(receipts: Sequence[Receipt]) -> list[Receipt]:
    """Apply receipts to their records; return those that found one. The others wait. Needs the tenant's scope."""
    records = _records_of(receipts)
    _suppress([(receipt, records.get(receipt.id)) for receipt in receipts])
    now = timezone.now()
    of_none = [each.id for each in receipts if not each.record_id and not each.provider_message_id]
    Receipt.objects.filter(id__in=of_none).update(applied_at=now)  # about an address, and about no message
    found = [receipt for receipt in receipts if receipt.id in records]
    if not found:
        return []
    for receipt in found:
        receipt.record_id, receipt.applied_at = records[receipt.id].id, now
    Receipt.objects.bulk_update(found, ["record_id", "applied_at"])
    _charge([(records[receipt.id].id, receipt.payload) for receipt in found if receipt.payload["price"]])
    own = [receipt for receipt in found if not _is_about_a_copy(receipt, records[receipt.id])]
    if own:
        move({receipt.id: (records[receipt.id].id, _delivery_state(receipt)) for receipt in own})
    RecordEvent.objects.bulk_create(
        RecordEvent(
            tenant_id=receipt.tenant_id,
            record_id=records[receipt.id].id,
            kind=str(_delivery_state(receipt)),
            actor=receipt.provider,
            detail={
                "occurred_at": receipt.occurred_at.isoformat(),
                **{
                    name: receipt.payload[name]
                    for name in ("code", "detail", "price", "currency")
                    if receipt.payload[name]
                },
                **({} if receipt in own else {"copy": receipt.payload["address"]}),
            },
            created_at=now,
        )
        for receipt in found
    )
    if own:
        hooks.announce_receipts(own)
    return found


def apply_waiting(message_ids: Iterable[str]) -> int:
    """Apply what waits for these ids of providers; return how many found their records. Needs the tenant's scope."""
    waiting = Receipt.objects.filter(applied_at=None, provider_message_id__in=list(message_ids))
    return len(apply(list(waiting.select_for_update())))


def take_reply(channel: str, reply: Reply) -> None:
    """Suppress an address whose owner replied STOP, or lift that after START. Needs the tenant's scope."""
    address = _address(channel, reply.address)
    if address is None:
        return
    if reply.wants_messages:
        key = suppression_key(channel, address)
        Suppression.objects.filter(channel=channel, address=key, reason=SuppressionReason.STOP).delete()
    else:
        suppress([NewSuppression(channel, address, SuppressionReason.STOP)], by="reply")


def after_outcomes(outcomes: Sequence[Outcome]) -> None:
    """What outcomes mean for receipts and recipients (``hooks.on_outcomes``).

    Receipts that were faster than their outcome are applied. An address that the provider calls dead, or refuses
    because its owner wants no messages, is suppressed, and its device is used no more; test traffic changes nothing.
    """
    ids = [
        each.result.provider_message_id
        for outcome in outcomes
        for each in outcome.tries
        if each.result.provider_message_id and each.provider not in WITHOUT_RECEIPTS
    ]
    if ids:
        apply_waiting(ids)
    news = []
    for outcome in outcomes:
        claimed, result = outcome.claimed, outcome.result
        if claimed.mode == "test" or not outcome.tries or result.accepted:
            continue
        if result.dead_address:
            reason = SuppressionReason.DEAD_ADDRESS
        elif result.reason == FailureReason.SUPPRESSED:
            reason = SuppressionReason.STOP if claimed.channel == "sms" else SuppressionReason.UNSUBSCRIBED
        else:
            continue
        news.append(NewSuppression(claimed.channel, claimed.recipient, reason, source_record_id=claimed.id))
    _bar(news, by="delivery")


# What waits although its record is there by now: receipt and outcome were committed at the same moment.
_SILENT = ", ".join(f"'{provider}'" for provider in WITHOUT_RECEIPTS)
_OVERDUE = f"""
SELECT w.tenant_id, array_agg(DISTINCT w.provider_message_id) FROM receipt AS w
JOIN notification_record AS r ON r.tenant_id = w.tenant_id AND r.provider = w.provider
    AND r.provider_message_id = w.provider_message_id
WHERE w.applied_at IS NULL AND w.received_at > %s
    AND r.provider_message_id > '' AND NOT (r.provider IN ({_SILENT}))
GROUP BY w.tenant_id
"""


def overdue() -> dict[UUID, list[str]]:
    """Return, by tenant, the provider's ids of receipts that still wait although their records have come.

    Needs ``platform_scope``. ``PATIENCE`` limits how far back it looks.
    """
    with connection.cursor() as cursor:
        cursor.execute(_OVERDUE, [timezone.now() - PATIENCE])
        return dict(cursor.fetchall())


def forget_old() -> int:
    """Delete receipts that are kept long enough; return how many. Needs ``platform_scope``."""
    return Receipt.objects.filter(id__lt=id_floor(timezone.now() - KEPT)).delete()[0]


def _event_key(report: Report) -> str:
    # Without the time: some providers give none, and then a repetition would look new.
    same = [report.provider_message_id, str(report.record_id or ""), report.state, report.code, report.address]
    is_of_a_message = report.provider_message_id or report.record_id
    if not is_of_a_message or report.code in _STOP_CODES:
        same.append(report.occurred_at.isoformat())  # a wish, not a stage of a message: it may be repeated later
    return hashlib.sha256("\x1f".join(same).encode("utf-8", "replace")).hexdigest()


def _payload(report: Report) -> dict[str, Any]:
    return {
        "code": _clean(report.code)[:64],
        "detail": _clean(report.detail)[:500],
        "address": _clean(report.address)[:2048],
        "suppress": report.suppress,
        "reason": str(report.reason or ""),
        "price": _clean(report.price)[:32],
        "currency": _clean(report.currency)[:8],
    }


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\x00", "")


def _records_of(receipts: Sequence[Receipt]) -> dict[UUID, NotificationRecord]:
    """Return the record of each receipt that has one, by the receipt's id."""
    rows = NotificationRecord.objects.only("id", "tenant_id", "channel", "recipient", "mode", "provider_message_id")
    by_id = rows.in_bulk([receipt.record_id for receipt in receipts if receipt.record_id])
    by_message: dict[tuple[str, str], NotificationRecord] = {}
    others = [receipt for receipt in receipts if receipt.record_id not in by_id]
    for provider in {receipt.provider for receipt in others}:
        ids = {each.provider_message_id for each in others if each.provider == provider}
        # Told twice what the partial index is about, the planner can use it.
        known = rows.filter(provider=provider, provider_message_id__in=ids - {""}, provider_message_id__gt="")
        for record in known.exclude(provider__in=WITHOUT_RECEIPTS):
            by_message[provider, record.provider_message_id] = record
    found = {}
    for receipt in receipts:
        by_reference = by_id.get(receipt.record_id) if receipt.record_id else None
        if by_reference and not _may_report(receipt.provider, by_reference.channel):
            by_reference = None
        if match := by_reference or by_message.get((receipt.provider, receipt.provider_message_id)):
            found[receipt.id] = match
    return found


def _may_report(reporter: str, channel: str) -> bool:
    """A provider says nothing of other channels than its own; a reporter that is none is a room of ours."""
    return reporter not in providers or providers.get(reporter).channel == channel


def _delivery_state(receipt: Receipt) -> DeliveryState:
    return DeliveryState.UNDELIVERABLE if receipt.state == "failed" else DeliveryState(receipt.state)


_RANKS = ", ".join(f"('{state}', {rank})" for state, rank in DELIVERY_RANKS.items())
_MOVE = f"""
UPDATE notification_record AS r SET delivery_state = n.state, updated_at = now()
FROM unnest(%s::uuid[], %s::text[]) AS n (id, state)
JOIN (VALUES {_RANKS}) AS higher (state, rank) ON higher.state = n.state,
    (VALUES {_RANKS}) AS present (state, rank)
WHERE r.id = n.id AND r.tenant_id = %s AND present.state = r.delivery_state AND higher.rank > present.rank
"""


def move(news: dict[UUID, tuple[UUID, DeliveryState]]) -> None:
    """Move records forward to the highest of the states that news bring, by receipt id. Needs the tenant's scope."""
    best: dict[UUID, DeliveryState] = {}
    for record_id, state in news.values():
        if DELIVERY_RANKS[state] > DELIVERY_RANKS[best.get(record_id, DeliveryState.NONE)]:
            best[record_id] = state
    ordered = sorted(best.items())  # two calls at once lock the rows in the same order
    with connection.cursor() as cursor:
        cursor.execute(_MOVE, [[pair[0] for pair in ordered], [str(pair[1]) for pair in ordered], current_tenant_id()])


def _charge(bills: Sequence[tuple[UUID, dict[str, Any]]]) -> None:
    """Note what a provider charged for a message; some write it as a negative amount."""
    prices: dict[UUID, tuple[Decimal, str]] = {}
    for record_id, payload in bills:
        with suppress_errors(ArithmeticError):
            price = abs(Decimal(payload["price"]))
            if price < _DEAREST and re.fullmatch(r"[A-Za-z]{3}", payload["currency"]):
                prices[record_id] = (price, payload["currency"].upper())
    for record_id, (price, currency) in sorted(prices.items()):
        NotificationRecord.objects.filter(id=record_id).update(price=price, price_currency=currency)


def _suppress(pairs: Iterable[tuple[Receipt, NotificationRecord | None]]) -> None:
    news = []
    for receipt, record in pairs:
        reason = _suppression_reason(receipt)
        if reason is None or (record is not None and record.mode == "test"):
            continue
        channel = record.channel if record else providers.get(receipt.provider).channel
        is_theirs = record is not None and not _is_about_a_copy(receipt, record)
        address = record.recipient if record and is_theirs else _address(channel, receipt.payload["address"])
        if address:
            source = record.id if record else None
            news.append(NewSuppression(channel, address, reason, source_record_id=source))
    _bar(news, by="receipt")


def _is_about_a_copy(receipt: Receipt, record: NotificationRecord) -> bool:
    """Whether a report is about somebody in cc or bcc: the fate of a record is that of its own recipient."""
    if record.channel != "email":
        return False
    address = _address("email", receipt.payload["address"])
    return address is not None and address.casefold() != record.recipient.casefold()


def _bar(news: Sequence[NewSuppression], *, by: str) -> None:
    """Suppress addresses; the devices among them are used no more."""
    if not news:
        return
    changed = suppress(news, by=by)
    if tokens := [new.address for new in news if new.channel == PUSH]:
        deactivate(tokens, SuppressionReason.DEAD_ADDRESS)
    log.info("addresses_suppressed", count=changed, by=by)


def _suppression_reason(receipt: Receipt) -> SuppressionReason | None:
    """Return why the address of a receipt gets nothing more, or None if it does."""
    payload, words = receipt.payload, receipt.payload["detail"]
    if payload["suppress"] and payload["code"] in _STOP_CODES:
        return SuppressionReason.STOP
    if receipt.state == "complained":
        return SuppressionReason.COMPLAINT
    if not payload["suppress"]:
        return None
    if receipt.state in ("delivered", "opened", "clicked") or _UNSUBSCRIBED.search(words):
        return SuppressionReason.UNSUBSCRIBED  # it came, and its reader wants no more
    if _SPAM.search(words) and payload["reason"] == FailureReason.SUPPRESSED:
        return SuppressionReason.COMPLAINT
    is_email = providers.get(receipt.provider).channel == "email"
    return SuppressionReason.HARD_BOUNCE if is_email else SuppressionReason.DEAD_ADDRESS


def _address(channel: str, address: str) -> str | None:
    try:
        return channels.get(channel).normalise_address(address) if address else None
    except ContentError:
        return None
