"""What happens in the rooms below, told to webhooks in the transactions in which it happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from notification_service.lib.scope import current_tenant_id
from notifications.recipients.people import Person
from notifications.records.models import WITHOUT_RECEIPTS, NotificationRecord, Receipt
from notifications.records.outcomes import Outcome
from notifications.records.sending import INAPP
from notifications.records.states import DeliveryState, Status
from notifications.webhooks.publishing import News, event_id_of, publish_news, wanted

_DELIVERED, _FAILED = "notification.delivered", "notification.failed"
#: What a report of a provider, or of the reader, is to the tenant. A record tells each of them once.
_OF_STATE: Final[Mapping[str, str]] = {
    DeliveryState.DELIVERED: _DELIVERED,
    DeliveryState.UNDELIVERABLE: _FAILED,
    DeliveryState.BOUNCED: "notification.bounced",
    DeliveryState.READ: "notification.read",
    DeliveryState.ACKNOWLEDGED: "notification.acknowledged",
}
_REGISTERED: Final = "user.registered"
_FACTS: Final = ("id", "channel", "recipient", "user_id", "event_id", "campaign_id", "batch_id", "mode")


def tell_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Tell of messages that were given up, or taken by a provider that reports nothing more (``on_outcomes``)."""
    if not outcomes or not wanted(outcomes[0].claimed.tenant_id, (_DELIVERED, _FAILED)):
        return
    now = timezone.now()
    publish_news([_of_outcome(one, now) for one in outcomes if one.status == Status.FAILED or _was_delivered(one)])


def tell_receipts(receipts: Sequence[Receipt]) -> None:
    """Tell of what providers and readers report (``on_receipts``)."""
    told = [receipt for receipt in receipts if receipt.state in _OF_STATE and receipt.record_id]
    if not told or not wanted(current_tenant_id(), {_OF_STATE[receipt.state] for receipt in told}):
        return
    ids = {receipt.record_id for receipt in told if receipt.record_id}
    facts = {row["id"]: row for row in NotificationRecord.objects.filter(id__in=ids).values(*_FACTS)}
    publish_news([_of_receipt(receipt, facts[receipt.record_id]) for receipt in told if receipt.record_id in facts])


def tell_registered(people: Sequence[Person]) -> None:
    """Tell of people who are new (``recipients.hooks.on_registered``); who they are the API says."""
    tenant_id = current_tenant_id()
    if not wanted(tenant_id, (_REGISTERED,)):
        return
    now = timezone.now()
    publish_news(
        [
            News(
                _REGISTERED,
                {"id": person.id, "userId": person.user_id, "roles": person.roles, "registeredAt": now},
                str(person.id),
                event_id_of(tenant_id, _REGISTERED, str(person.id)),
                now,
            )
            for person in people
        ]
    )


def _was_delivered(outcome: Outcome) -> bool:
    return outcome.status == Status.SUCCESS and bool(outcome.tries) and outcome.tries[-1].provider in WITHOUT_RECEIPTS


def _of_outcome(outcome: Outcome, now: datetime) -> News:
    claimed, failed = outcome.claimed, outcome.status == Status.FAILED
    facts = {name: getattr(claimed, name) for name in _FACTS}
    more = {"failureReason": str(outcome.result.reason or "unknown_error"), "failedAt": now}
    kind = _FAILED if failed else _DELIVERED
    return _news(claimed.tenant_id, kind, facts, more if failed else {"deliveredAt": now}, now)


def _of_receipt(receipt: Receipt, facts: Mapping[str, Any]) -> News:
    at, kind = receipt.occurred_at, _OF_STATE[receipt.state]
    more: dict[str, Any] = {f"{kind.partition('.')[2]}At": at}
    if kind in (_FAILED, "notification.bounced"):
        more["failureReason"] = str(receipt.payload.get("reason") or "provider_error")
    return _news(receipt.tenant_id, kind, facts, more, at)


def _news(tenant_id: UUID, kind: str, facts: Mapping[str, Any], more: Mapping[str, Any], at: datetime) -> News:
    data = {
        "notificationId": facts["id"],
        "userId": facts["user_id"] or (facts["recipient"] if facts["channel"] == INAPP else None),
        "eventId": facts["event_id"],
        "campaignId": facts["campaign_id"],
        "batchId": facts["batch_id"],
        "channel": facts["channel"],
        "mode": facts["mode"],
        "status": kind.partition(".")[2],
        **more,
    }
    return News(kind, data, str(facts["id"]), event_id_of(tenant_id, kind, str(facts["id"])), at)
