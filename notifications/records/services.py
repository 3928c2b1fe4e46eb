"""Verbs of records after their acceptance: change, cancel, delete, send again, tell the story."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from notification_service.lib.errors import Conflict, NotFound
from notifications.recipients.preferences import CHOSEN
from notifications.records.categories import categorised, category_of_version
from notifications.records.ends import announce_ends
from notifications.records.intake import (
    NewRecord,
    accept,
    channel_of,
    check_times,
    due_and_deadline,
    normal_address,
    prepare,
    prove,
)
from notifications.records.models import Attempt, NotificationRecord, RecordEvent
from notifications.records.states import EDITABLE, WAITING, Status, sources
from notifications.records.wake import wake_after_commit
from notifications.templates.services import resolve
from tenants import audit
from tenants.callers import Caller


def get_record(record_id: UUID, *, lock: bool = False) -> NotificationRecord:
    """Return one of the tenant's records that is not deleted. Needs the tenant's scope. Raises ``NotFound``."""
    rows = NotificationRecord.objects.filter(id=record_id, deleted_at=None)
    record = (rows.select_for_update() if lock else rows).first()
    if record is None:
        raise NotFound
    return record


def move(record: NotificationRecord, target: Status, **changes: Any) -> None:
    """Move one record that is locked (``get_record(lock=True)``), and save it. Raises ``Conflict`` if it may not."""
    if str(record.status) not in sources(target):
        raise Conflict(
            f"A record that is {record.status} can not become {target}.",
            code="wrong_status",
            errors={"status": [f"Is {record.status}."]},
        )
    record.status = target
    _save(record, changes)


def edit_record(caller: Caller, record_id: UUID, changes: Mapping[str, Any]) -> NotificationRecord:
    """Change a record that nobody has begun to send: recipient, content, context, lane, times, metadata.

    Raises ``NotFound``, ``Conflict`` when it is too late, ``InvalidInput`` and ``ContentInvalid`` naming the field.
    """
    record = get_record(record_id, lock=True)
    if record.status not in EDITABLE:
        raise Conflict(
            f"Only a record that is pending or scheduled can be changed; this one is {record.status}.",
            code="wrong_status",
            errors={"status": [f"Is {record.status}."]},
        )
    now = timezone.now()
    names = ("recipient", "content", "context", "lane", "locale")
    merged = {name: changes.get(name, getattr(record, name)) for name in names}
    channel, version_id = channel_of(record.channel), _version_after(record, changes)
    if version_id is None:
        recipient, content = prepare(
            record.tenant_id, channel, merged["recipient"], merged["content"], merged["context"]
        )
    else:
        recipient = normal_address(record.tenant_id, channel, merged["recipient"])
        content = {} if changes.get("template") else dict(record.content)
    scheduled_at: datetime | None = changes.get("scheduled_at", record.scheduled_at)
    times = {"scheduled_at", "expires_at", "lane"} & changes.keys()
    if times:
        check_times(scheduled_at, changes.get("expires_at"), now)
        keep_deadline = None if "lane" in changes or "scheduled_at" in changes else record.expires_at
        status, due_at, expires_at = due_and_deadline(
            merged["lane"], scheduled_at, changes.get("expires_at") or keep_deadline, now
        )
    else:
        status, due_at, expires_at = Status(record.status), record.due_at, record.expires_at
    before = {name: getattr(record, name) for name in changes if name != "template"}
    before |= {"template": record.template_version_id}
    record.status = status
    record.content, record.template_version_id = content, version_id
    record.context, record.locale = dict(merged["context"]), merged["locale"]
    prove(record)
    _save(
        record,
        {
            "recipient": recipient,
            "content": content,
            "template_version_id": version_id,
            "locale": merged["locale"],
            "context": record.context,
            "lane": merged["lane"],
            "metadata": categorised(changes.get("metadata", record.metadata), category_of_version(version_id)),
            "scheduled_at": scheduled_at,
            "due_at": due_at,
            "expires_at": expires_at,
            # It waits for its new time now, and no more for a digest or for the end of quiet hours.
            **({"provider_response": ""} if times and record.provider_response.startswith(CHOSEN) else {}),
        },
    )
    after = {name: getattr(record, name) for name in before if name != "template"} | {"template": version_id}
    _happened(record, "edited", caller, fields=sorted(name for name in before if before[name] != after[name]))
    if record.due_at <= now:
        wake_after_commit(record.tenant_id, record.lane)
    return record


def _version_after(record: NotificationRecord, changes: Mapping[str, Any]) -> UUID | None:
    """Return the version that a record names once it is changed: its own, a new template's, or none."""
    if changes.get("template"):
        return resolve(changes["template"], channel=record.channel).id
    return None if "content" in changes else record.template_version_id


def cancel_record(caller: Caller, record_id: UUID) -> NotificationRecord:
    """Cancel a record that waits. Raises ``NotFound``, and ``Conflict`` if it is being sent or has its end."""
    record = get_record(record_id, lock=True)
    move(record, Status.CANCELLED)
    announce_ends([record])
    _happened(record, "cancelled", caller)
    audit.record(caller, "record.cancelled", "record", record.id)
    return record


def delete_record(caller: Caller, record_id: UUID) -> None:
    """Take a record out of sight; one that waits is cancelled. Raises ``NotFound``."""
    record = get_record(record_id, lock=True)
    if record.status in WAITING:
        move(record, Status.CANCELLED)
        announce_ends([record])
    _save(record, {"deleted_at": timezone.now()})
    _happened(record, "deleted", caller)
    audit.record(caller, "record.deleted", "record", record.id)


def resend_record(caller: Caller, record_id: UUID) -> NotificationRecord:
    """Send a record that has its end once more, as a new record that names it (``resend_of``).

    Raises ``NotFound``, and ``Conflict`` while the record is still on its way.
    """
    record = get_record(record_id)
    if not record.is_final:
        raise Conflict(
            f"A record that is {record.status} is still on its way; only one that has its end can be sent again.",
            code="wrong_status",
            errors={"status": [f"Is {record.status}."]},
        )
    new = accept(
        caller,
        NewRecord(
            channel=record.channel,
            recipient=record.recipient,
            content=record.content,
            context=record.context,
            metadata=record.metadata,
            lane=record.lane,
            template_version_id=record.template_version_id,
            locale=record.locale,
            user_id=record.user_id,
        ),
    )
    new.resend_of = record.id
    new.save(update_fields=["resend_of"])
    _happened(record, "resent", caller, as_record=str(new.id))
    audit.record(caller, "record.resent", "record", record.id, as_record=str(new.id))
    return new


def timeline(record: NotificationRecord) -> list[dict[str, Any]]:
    """Return everything that happened to a record, in order: ``{"at", "event", "status"?, …}``.

    Events: ``accepted``, ``scheduled``, ``sending`` and ``attempt`` (each try at a provider, with its answer),
    ``edited``, ``cancelled``, ``digested``, ``resent``, ``worker_lost``, ``waiting`` (for a time or a credential),
    ``ended``.
    """
    story: list[dict[str, Any]] = [
        {"at": record.created_at, "event": "accepted", "status": "pending", "actor": record.created_by}
    ]
    if record.scheduled_at and record.scheduled_at > record.created_at:
        story.append(
            {
                "at": record.created_at,
                "event": "scheduled",
                "status": "scheduled",
                "due_at": record.scheduled_at,
            }
        )
    for attempt in Attempt.objects.filter(record_id=record.id, id__gte=record.id):
        story += _attempt_story(attempt)
    for happened in RecordEvent.objects.filter(record_id=record.id, id__gte=record.id):
        story.append({"at": happened.created_at, "event": happened.kind, "actor": happened.actor, **happened.detail})
    if record.is_final and not any(step.get("status") == record.status and step["event"] != "resent" for step in story):
        story.append(
            {
                "at": record.updated_at,
                "event": "ended",
                "status": str(record.status),
                "reason": record.failure_reason or None,
                "response": record.provider_response,
            }
        )
    story.sort(key=lambda step: step["at"])  # stable: what was appended first stays first
    return story


def _attempt_story(attempt: Attempt) -> list[dict[str, Any]]:
    return [
        {
            "at": attempt.started_at,
            "event": "sending",
            "status": "sending",
            "attempt": attempt.number,
            "provider": attempt.provider,
        },
        {
            "at": attempt.finished_at,
            "event": "attempt",
            "status": attempt.outcome,
            "attempt": attempt.number,
            "provider": attempt.provider,
            "credential_id": attempt.credential_id,
            "reason": attempt.failure_reason or None,
            "code": attempt.code,
            "response": attempt.response,
            "provider_message_id": attempt.provider_message_id,
            "ambiguous": attempt.ambiguous,
            "duration_ms": round((attempt.finished_at - attempt.started_at).total_seconds() * 1000),
            "next_attempt_at": attempt.next_due_at,
        },
    ]


def _save(record: NotificationRecord, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        setattr(record, name, value)
    record.updated_at = timezone.now()
    record.save(update_fields=["status", "updated_at", *changes])


def _happened(record: NotificationRecord, kind: str, caller: Caller, **detail: Any) -> None:
    RecordEvent.objects.create(
        tenant_id=record.tenant_id,
        record_id=record.id,
        kind=kind,
        actor=(caller.actor_label or caller.actor_id)[:255],
        detail={"status": str(record.status), **detail},
        created_at=timezone.now(),
    )
