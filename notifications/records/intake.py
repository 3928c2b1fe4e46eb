"""Intake: check everything that can be checked, then write the row. The committed row is the promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from notification_service.lib.errors import ContentInvalid, InvalidInput
from notification_service.lib.ids import new_id
from notifications.channels.base import Channel, ContentError
from notifications.channels.registry import channels
from notifications.credentials.services import require_credential
from notifications.records.categories import categorised, category_of_version
from notifications.records.ends import announce_ends
from notifications.records.models import NotificationRecord
from notifications.records.preferred import heed_preferences
from notifications.records.states import Lane, Status
from notifications.records.suppressed import hold_suppressed
from notifications.records.wake import wake_after_commit
from notifications.records.words import fill_in, provable
from notifications.templates import lookups
from notifications.templates.rendering import compiled_version
from notifications.templates.services import resolve
from tenants.callers import Caller
from tenants.limits import default_region

#: How far ahead a message may be scheduled.
_HORIZON = timedelta(days=366)
#: Octets (in base64) of the attachments that one call may put into the database: every record keeps its own.
_MAX_ATTACHED = 128 * 2**20


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A message as a caller asks for it. Times are aware; ``expires_at`` defaults to the lane's deadline.

    Its words are its ``content``, or a template: named by slug or id (its published version is taken), or by the id of
    a version. With a template, ``content`` holds only what is said otherwise: an email's subject.
    """

    channel: str
    recipient: str
    content: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    lane: str = Lane.NORMAL
    scheduled_at: datetime | None = None
    expires_at: datetime | None = None
    template: str = ""
    template_version_id: UUID | None = None
    locale: str = ""
    user_id: str = ""


def accept(caller: Caller, new: NewRecord) -> NotificationRecord:
    """Accept one message: checked, written, its lane woken after the commit. Needs the caller's tenant scope.

    Raises ``InvalidInput`` and ``ContentInvalid`` naming the field, ``Conflict`` if there is nothing to send with.
    """
    return accept_many(caller, [new])[0]


def accept_many(caller: Caller, news: Sequence[NewRecord]) -> list[NotificationRecord]:
    """Accept messages together: all of them or, if one is refused, none. Otherwise like ``accept``."""
    for channel in {new.channel for new in news}:
        channel_of(channel)
        require_credential(channel, caller.mode)
    for new in news:
        if new.channel == "inapp" and isinstance(priority := new.content.get("priority"), str):
            lookups.check("priority", priority, field="content.priority")
    now = timezone.now()
    records = [build_record(caller, new, now) for new in news]
    _check_attached(records)
    hold_suppressed(records)
    fixed = {record.id for record, new in zip(records, news, strict=True) if new.expires_at is not None}
    heed_preferences(records, fixed_deadlines=fixed, now=now)
    NotificationRecord.objects.bulk_create(records)
    announce_ends([record for record in records if record.status == Status.SUPPRESSED])
    for lane in {record.lane for record in records if record.due_at <= now}:
        wake_after_commit(caller.required_tenant_id(), lane)
    return records


def _check_attached(records: Sequence[NotificationRecord]) -> None:
    """Raise ``InvalidInput`` for a call whose records, each with its own, would hold too much of attachments."""
    attached = sum(
        len(each["content"])
        for record in records
        if record.channel == "email"
        for each in record.content.get("attachments", ())
    )
    if attached > _MAX_ATTACHED:
        words = f"The attachments of all {len(records)} messages are larger than {_MAX_ATTACHED // 2**20} MiB together."
        raise InvalidInput(words, errors={"content.attachments": [words]})


def channel_of(key: str) -> Channel:
    """Return a channel by its key. Raises ``InvalidInput``."""
    if key not in channels:
        known = ", ".join(channels.keys())
        raise InvalidInput("Unknown channel.", errors={"channel": [f"Unknown channel {key!r}; known: {known}."]})
    return channels.get(key)


def prepare(
    tenant_id: UUID, channel: Channel, recipient: str, content: Mapping[str, Any], context: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return the normal form of address and content, having rendered once to prove that it can be done.

    Raises ``ContentInvalid`` (``content_error``) naming the field, and the placeholder if one has no value.
    """
    address = normal_address(tenant_id, channel, recipient)
    try:
        valid, compiled = channel.prepare(content)
        compiled.render(provable(compiled, context))
    except ContentError as error:
        # A missing value belongs to the context, a malformed text to the content.
        where = f"context.{error.placeholder}" if error.placeholder else error.field
        raise ContentInvalid(error.message, errors={where: [error.message]}) from None
    return address, valid


def normal_address(tenant_id: UUID, channel: Channel, recipient: str) -> str:
    """Return the one form of an address. Raises ``InvalidInput`` for the field ``recipient``."""
    try:
        return channel.normalise_address(recipient, region=default_region(tenant_id))
    except ContentError as error:
        raise InvalidInput(error.message, errors={"recipient": [error.message]}) from None


def pinned_version(new: NewRecord) -> tuple[UUID | None, str]:
    """Return the version of the template that a message is to be of, None if it brings its words along; its category.

    Needs the tenant's scope if there is a template. Raises ``InvalidInput`` for the field ``template``.
    """
    if new.template_version_id is not None or not new.template:
        return new.template_version_id, "" if "category" in new.metadata else category_of_version(
            new.template_version_id
        )
    version = resolve(new.template, channel=new.channel)
    return version.id, version.template.category


def prove(record: NotificationRecord) -> None:
    """Fill in a template once, to prove that nothing is missing. Needs the tenant's scope.

    Raises ``ContentInvalid`` (``content_error``) naming the placeholder, and ``InvalidInput`` for another channel's.
    """
    if record.template_version_id is None:
        return
    try:
        template = compiled_version(record.template_version_id)
        if template.channel != record.channel:
            message = f"The template is for {template.channel}, not for {record.channel}."
            raise InvalidInput.at("template", message)
        fill_in(record, channel_of(record.channel), template)
    except ContentError as error:
        where = f"context.{error.placeholder}" if error.placeholder else "template"
        raise ContentInvalid(error.message, errors={where: [error.message]}) from None


def check_times(scheduled_at: datetime | None, expires_at: datetime | None, now: datetime) -> None:
    """Raise ``InvalidInput`` for a schedule or deadline that makes no sense."""
    errors: dict[str, list[str]] = {}
    if scheduled_at and scheduled_at > now + _HORIZON:
        errors["scheduled_at"] = [f"Must lie within {_HORIZON.days} days."]
    if expires_at and expires_at <= (scheduled_at or now):
        errors["expires_at"] = ["Must lie in the future." if not scheduled_at else "Must lie after scheduled_at."]
    if errors:
        field, messages = next(iter(errors.items()))
        raise InvalidInput(f"{field}: {messages[0]}", errors=errors)


def due_and_deadline(
    lane: str, scheduled_at: datetime | None, expires_at: datetime | None, now: datetime
) -> tuple[Status, datetime, datetime]:
    """Return the status to begin with, when the record is due, and when it expires."""
    later = scheduled_at is not None and scheduled_at > now
    due = scheduled_at if scheduled_at is not None and later else now
    deadline = expires_at or due + settings.LANE_DEADLINES[str(lane)]
    return (Status.SCHEDULED if later else Status.PENDING), due, deadline


def build_record(caller: Caller, new: NewRecord, now: datetime) -> NotificationRecord:
    """Return a checked record that is not written yet. Raises like ``accept``."""
    check_times(new.scheduled_at, new.expires_at, now)
    tenant_id, channel = caller.required_tenant_id(), channel_of(new.channel)
    version_id, category = pinned_version(new)
    if version_id is None:
        recipient, content = prepare(tenant_id, channel, new.recipient, new.content, new.context)
    else:
        recipient, content = normal_address(tenant_id, channel, new.recipient), dict(new.content)
    status, due_at, expires_at = due_and_deadline(new.lane, new.scheduled_at, new.expires_at, now)
    record = NotificationRecord.of(
        id=new_id(),
        tenant_id=tenant_id,
        channel=new.channel,
        recipient=recipient,
        user_id=new.user_id or channel.user_id_of(recipient),
        content=content,
        template_version_id=version_id,
        locale=new.locale,
        context=dict(new.context),
        metadata=categorised(new.metadata, category),
        lane=new.lane,
        mode=caller.mode,
        status=status,
        max_retries=settings.RETRY_LIMIT,
        due_at=due_at,
        scheduled_at=new.scheduled_at,
        expires_at=expires_at,
        created_by=(caller.actor_label or caller.actor_id)[:255],
        created_at=now,
        updated_at=now,
    )
    prove(record)
    return record
