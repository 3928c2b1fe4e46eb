"""Verbs of batches: send one, append to one, look at it, cancel it, hold it and let it go."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from notification_service.lib.errors import Conflict, InvalidInput, NotFound, Unprocessable
from notification_service.lib.ids import new_id
from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.batches import counters
from notifications.batches.holding import SETTLE, settle
from notifications.batches.items import Checked, ItemChecker, ItemError
from notifications.batches.models import Batch, BatchSource, BatchStatus, Chunk
from notifications.batches.staging import START
from notifications.batches.wake import enqueue_settling
from notifications.records.bulk import write_rows
from tenants import audit, limits
from tenants.callers import Caller

#: Items of one call, and of one chunk.
MAX_ITEMS: Final = 10_000
MAX_CHUNK: Final = 5_000
#: Rows in one statement.
_WRITE: Final = 2_500
_SHOWN_ERRORS: Final = 50
#: Statements that a request makes to cancel or hold; what is left is the worker's.
_AT_ONCE: Final = 2
#: A batch that nobody has moved for this long, and that is not at its end, is compared with its records; not too often.
_IDLE, _RECOUNT_AFTER = timedelta(seconds=60), timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class BatchCall:
    """Items, and the fields that those which do not have them share."""

    items: Sequence[Any]
    defaults: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sent:
    """What a call came to. ``notifications`` are records: an item to a person with three devices makes three."""

    batch: Batch
    accepted: int
    notifications: int
    errors: Sequence[ItemError]


def send_batch(caller: Caller, call: BatchCall) -> Sent:
    """Accept every item that is right, under one new batch that is closed at once. Needs the tenant's scope.

    Raises ``InvalidInput`` naming items if none is right, ``TooManyRequests``.
    """
    if not call.items:
        raise _invalid("items", "Name at least one item.")
    batch = _new_batch(caller)
    checked = _check(caller, batch.id, call)
    batch.status, batch.closed_at = BatchStatus.CLOSED, timezone.now()
    batch.save(force_insert=True)
    _write(caller, batch, checked)
    audit.record(caller, "batch.sent", "batch", batch.id, accepted=checked.accepted, rejected=len(checked.errors))
    return Sent(batch, checked.accepted, checked.notifications, checked.errors)


def send_chunk(
    caller: Caller, *, batch_id: UUID | None, number: int, call: BatchCall, final: bool, fingerprint: bytes
) -> tuple[dict[str, Any], bool]:
    """Append a chunk to a batch (None: a new one); return the answer, and whether it was given before.

    A number is used once: the same request again gets its answer again, another one ``Unprocessable``. ``final`` closes
    the batch. Needs the tenant's scope. Raises ``NotFound``, ``Conflict`` if the batch takes no more, and like
    ``send_batch``.
    """
    batch = get_batch(batch_id) if batch_id else _new_batch(caller)
    if batch_id is None:
        batch.save(force_insert=True)
        audit.record(caller, "batch.opened", "batch", batch.id)
    chunk = Chunk(id=new_id(), tenant_id=batch.tenant_id, batch_id=batch.id, number=number, request_hash=fingerprint)
    Chunk.objects.bulk_create([chunk], ignore_conflicts=True)  # waits for whoever is just writing the same number
    earlier = Chunk.objects.get(batch_id=batch.id, number=number)
    if earlier.id != chunk.id:
        if not hmac.compare_digest(bytes(earlier.request_hash), fingerprint):
            raise Unprocessable(
                f"Chunk {number} was sent before with other items.",
                code="chunk_reused",
                errors={"chunk": ["Already used for a different request."]},
            )
        return earlier.response, True
    _require_open(batch)
    if not call.items and not final:
        raise _invalid("items", "Name at least one item, or say that this chunk is the final one.")
    checked = _check(caller, batch.id, call) if call.items else Checked([], [], 0)
    _write(caller, batch, checked, close=final)
    chunk.response = {
        "batch_id": str(batch.id),
        "chunk": number,
        "status": str(BatchStatus.CLOSED if final else BatchStatus.OPEN),
        **answer_of(Sent(batch, checked.accepted, checked.notifications, checked.errors)),
    }
    chunk.save(update_fields=["response"])
    return chunk.response, False


def answer_of(sent: Sent) -> dict[str, Any]:
    """Return what became of the items as JSON values."""
    return {
        "accepted": sent.accepted,
        "rejected": len(sent.errors),
        "notifications": sent.notifications,
        "errors": [
            {"index": each.index, "field": each.field, "code": each.code, "detail": each.detail} for each in sent.errors
        ],
    }


def get_batch(batch_id: UUID) -> Batch:
    """Return one of the tenant's batches. Needs the tenant's scope. Raises ``NotFound``."""
    batch = Batch.objects.filter(id=batch_id).first()
    if batch is None:
        raise NotFound
    return batch


def cancel_batch(caller: Caller, batch_id: UUID) -> Batch:
    """Send nothing more of a batch: what waits is cancelled, what is being sent is not tried again.

    Needs the tenant's scope. Raises ``NotFound``, and ``Conflict`` if it is cancelled already.
    """
    now = timezone.now()
    found = Batch.objects.filter(id=batch_id).exclude(status=BatchStatus.CANCELLED)
    if not found.update(status=BatchStatus.CANCELLED, cancelled_at=now, held=False, settle_until=now + SETTLE):
        get_batch(batch_id)
        raise Conflict("The batch is cancelled already.", code="wrong_status", errors={"status": ["Is cancelled."]})
    audit.record(caller, "batch.cancelled", "batch", batch_id)
    return _settle_some(batch_id)


def hold_batch(caller: Caller, batch_id: UUID, *, held: bool) -> Batch:
    """Hold the waiting records of a batch back, or let them go. Needs the tenant's scope.

    Their deadlines go on. Raises ``NotFound``, ``Conflict`` if there is nothing to hold or let go.
    """
    batch = get_batch(batch_id)
    if batch.status == BatchStatus.CANCELLED or batch.held == held:
        state = str(batch.status) if batch.status == BatchStatus.CANCELLED else "paused" if held else "not paused"
        raise Conflict(f"The batch is {state}.", code="wrong_status", errors={"status": [f"Is {state}."]})
    Batch.objects.filter(id=batch_id).update(held=held, settle_until=timezone.now() + SETTLE)
    audit.record(caller, "batch.paused" if held else "batch.resumed", "batch", batch_id)
    return _settle_some(batch_id)


def settle_batch(tenant_id: UUID, batch_id: UUID, *, after: UUID = START, chunks: int) -> UUID | None:
    """Do to the batch's waiting records what has become of it, a transaction each; return where to go on, or None."""
    last: UUID | None = after
    for _ in range(chunks):
        with tenant_scope(tenant_id):
            batch = Batch.objects.filter(id=batch_id).first()
            last = settle(batch, last or START) if batch else None
        if last is None:
            return None
    return last


def unsettled() -> list[tuple[UUID, UUID]]:
    """Return the batches (tenant, id) whose records may still come back, and forget those whose time is over.

    Needs ``platform_scope``.
    """
    waiting = Batch.objects.filter(settle_until__isnull=False)
    found = list(waiting.values_list("tenant_id", "id")[:1000])
    waiting.filter(settle_until__lt=timezone.now()).update(settle_until=None)
    return found


def recount_idle(*, limit: int = 20) -> int:
    """Compare the counters of batches that seem to have stopped short of their end; return of how many.

    Runs in transactions of its own.
    """
    from_now = timezone.now()
    with platform_scope("which batches have stopped?"):
        idle = Batch.objects.filter(
            Q(moved_at__lt=from_now - _IDLE) | Q(moved_at=None, created_at__lt=from_now - _IDLE),
            Q(counted_at__lt=from_now - _RECOUNT_AFTER) | Q(counted_at=None),
            total__gt=F("success") + F("failed") + F("suppressed") + F("cancelled"),
        )
        found = list(idle.order_by("counted_at").values_list("tenant_id", "id")[:limit])
    for tenant_id, batch_id in found:
        with tenant_scope(tenant_id):
            counters.recount(batch_id)
    return len(found)


def _new_batch(caller: Caller, source: BatchSource = BatchSource.API) -> Batch:
    return Batch(
        id=new_id(),
        tenant_id=caller.required_tenant_id(),
        source=source,
        mode=caller.mode,
        created_by=(caller.actor_label or caller.actor_id)[:255],
    )


def _check(caller: Caller, batch_id: UUID, call: BatchCall) -> Checked:
    checked = ItemChecker(caller, batch_id, call.defaults).check(call.items)
    if not checked.accepted:
        errors: dict[str, list[str]] = {}
        for each in checked.errors[:_SHOWN_ERRORS]:
            where = f"items.{each.index}.{each.field}" if each.field else f"items.{each.index}"
            errors.setdefault(where, []).append(each.detail)
        first, messages = next(iter(errors.items()))
        raise InvalidInput(f"No item is right. {first}: {messages[0]}", errors=errors)
    limits.admit(caller.required_tenant_id(), caller.mode, notifications=checked.notifications)
    return checked


_ADD = """
UPDATE batch SET total = total + %(total)s, suppressed = suppressed + %(suppressed)s,
    rejected = rejected + %(rejected)s, moved_at = now(), status = CASE WHEN %(close)s THEN 'closed' ELSE status END,
    closed_at = CASE WHEN %(close)s THEN now() ELSE closed_at END
WHERE id = %(batch)s AND status <> 'cancelled' AND NOT held
RETURNING total
"""


def add_to_batch(batch_id: UUID, *, total: int, suppressed: int, rejected: int = 0, close: bool = False) -> bool:
    """Count records that were just written; return False if the batch takes no more (then undo them).

    The last statement of its transaction: it waits for whoever cancels the batch, or makes them wait.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _ADD,
            {"batch": batch_id, "total": total, "suppressed": suppressed, "rejected": rejected, "close": close},
        )
        return cursor.fetchone() is not None


def _write(caller: Caller, batch: Batch, checked: Checked, *, close: bool = False) -> None:
    total = suppressed = 0
    for shared, rows in checked.groups:
        for start in range(0, len(rows), _WRITE):
            written = write_rows(shared, rows[start : start + _WRITE])
            total += written.recorded + written.suppressed
            suppressed += written.suppressed
    added = add_to_batch(batch.id, total=total, suppressed=suppressed, rejected=len(checked.errors), close=close)
    if not added:
        _require_open(get_batch(batch.id))
        raise Conflict("The batch was changed meanwhile: try again.")


def _require_open(batch: Batch) -> None:
    state = "paused" if batch.held else str(batch.status)
    if batch.source != BatchSource.API or state != BatchStatus.OPEN:
        state = "a file's" if batch.source != BatchSource.API else state
        raise Conflict(
            f"The batch is {state}: it takes no more chunks.",
            code="batch_closed",
            errors={"batch_id": [f"Is {state}."]},
        )


def _settle_some(batch_id: UUID) -> Batch:
    """Cancel, hold or release as much as a request may; leave the rest to a worker."""
    batch = get_batch(batch_id)
    last: UUID | None = START
    for _ in range(_AT_ONCE):
        last = settle(batch, last or START)
        if last is None:
            break
    else:
        transaction.on_commit(partial(enqueue_settling, batch.tenant_id, batch.id, last or START))
    return get_batch(batch_id)


def _invalid(name: str, message: str) -> InvalidInput:
    return InvalidInput.at(name, message)


def deadline_of(lane: str, due_at: datetime, expires_at: datetime | None) -> datetime:
    """Return when notifications of a lane that are due at a time expire."""
    return expires_at or due_at + settings.LANE_DEADLINES[str(lane)]
