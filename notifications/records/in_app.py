"""What becomes of in-app messages after they are in the inbox: their readers are the ones who report it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import Q

from notification_service.lib.ids import new_id
from notification_service.lib.scope import current_tenant_id
from notifications.records import hooks, receipts
from notifications.records.models import NotificationRecord, Receipt, RecordEvent
from notifications.records.states import DELIVERY_RANKS, DeliveryState

PROVIDER: Final = "inapp"
#: Stands for a credential, which this channel has none of.
_NO_CREDENTIAL: Final = UUID(int=0)
_TOGETHER = 1000


def record_reading(record_ids: Sequence[UUID], state: DeliveryState, *, by: str, at: datetime) -> None:
    """Move the ``delivery_state`` of records forward to ``read`` or ``acknowledged``, and tell the rooms above.

    Those that are there already, or further, stay and tell nobody. Needs the tenant's scope.
    """
    lower = [other for other, rank in DELIVERY_RANKS.items() if rank < DELIVERY_RANKS[state]]
    for start in range(0, len(record_ids), _TOGETHER):
        some = record_ids[start : start + _TOGETHER]
        behind = Q(id__in=list(some), delivery_state__in=lower)
        ids = list(NotificationRecord.objects.filter(behind).values_list("id", flat=True))
        if not ids:
            continue
        news = [_receipt(record_id, state, at) for record_id in ids]
        receipts.move({each.id: (record_id, state) for each, record_id in zip(news, ids, strict=True)})
        RecordEvent.objects.bulk_create(
            RecordEvent(
                tenant_id=current_tenant_id(),
                record_id=record_id,
                kind=str(state),
                actor=by[:255],
                detail={"occurred_at": at.isoformat()},
                created_at=at,
            )
            for record_id in ids
        )
        hooks.announce_receipts(news)


def _receipt(record_id: UUID, state: DeliveryState, at: datetime) -> Receipt:
    """What is announced. It is not kept: the record and its events say it all."""
    return Receipt(
        id=new_id(),
        tenant_id=current_tenant_id(),
        provider=PROVIDER,
        credential_id=_NO_CREDENTIAL,
        record_id=record_id,
        state=str(state),
        payload=dict.fromkeys(("code", "detail", "address", "reason", "price", "currency"), ""),
        occurred_at=at,
        received_at=at,
        applied_at=at,
    )
