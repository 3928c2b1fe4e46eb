"""A record as the API shows it: one function for every door."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Func, JSONField, QuerySet

from notifications.channels.email_parts import without_contents
from notifications.records.models import NotificationRecord
from notifications.records.states import Status
from notifications.templates.rendering import label_of


class _ShownContent(Func):
    """A record's content with the sizes of attachments in place of their contents."""

    # The arithmetic is that of ``email_parts.decoded_size``.
    template = """CASE WHEN channel = 'email' AND jsonb_typeof(content -> 'attachments') = 'array' THEN
        jsonb_set(content, '{attachments}', coalesce((
            SELECT jsonb_agg((a - 'content') || jsonb_build_object('size', length(a ->> 'content') / 4 * 3 - (
                2 - length(replace(right(a ->> 'content', 2), '=', '')))))
            FROM jsonb_array_elements(content -> 'attachments') AS a), '[]'))
        ELSE content END"""
    output_field = JSONField()


def for_lists(rows: QuerySet[NotificationRecord]) -> QuerySet[NotificationRecord]:
    """Return rows for ``represent`` that leave the contents of attachments, megabytes each, in the database."""
    return rows.defer("content").annotate(shown_content=_ShownContent())


def represent(record: NotificationRecord) -> dict[str, Any]:
    """Return a record as JSON values: ids and times as text (RFC 3339, UTC)."""
    return {
        "id": str(record.id),
        "tenant_id": str(record.tenant_id),
        "channel": record.channel,
        "recipient": record.recipient,
        "user_id": record.user_id,
        "content": _content(record),
        "context": record.context,
        **_words(record),
        "metadata": record.metadata,
        "lane": str(record.lane),
        "mode": record.mode,
        "status": str(record.status),
        "delivery_state": str(record.delivery_state),
        "failure_reason": record.failure_reason or None,
        "provider": record.provider,
        "provider_response": record.provider_response,
        "provider_message_id": record.provider_message_id,
        "credential_id": str(record.credential_id) if record.credential_id else None,
        "segments": record.segments,
        "encoding": record.encoding or None,
        "price": None if record.price is None else f"{record.price.normalize():f}",
        "price_currency": record.price_currency or None,
        "attempt_count": record.attempt_count,
        "retry_count": record.retry_count,
        "max_retries": record.max_retries,
        "next_attempt_at": None if record.is_final or record.status == Status.SENDING else _time(record.due_at),
        "scheduled_at": _time(record.scheduled_at),
        "expires_at": _time(record.expires_at),
        "sent_at": _time(record.sent_at),
        "resend_of": str(record.resend_of) if record.resend_of else None,
        "created_by": record.created_by,
        "created_at": _time(record.created_at),
        "updated_at": _time(record.updated_at),
    }


def _content(record: NotificationRecord) -> dict[str, Any]:
    if (shown := record.__dict__.get("shown_content")) is not None:
        return shown  # type: ignore[no-any-return]
    content: dict[str, Any] = record.content
    if record.channel != "email" or not content.get("attachments"):
        return content
    return {**content, "attachments": without_contents(content["attachments"])}


def _words(record: NotificationRecord) -> dict[str, Any]:
    if record.template_version_id is None:
        return {"template": None, "template_version": None, "locale": record.locale}
    label = label_of(record.template_version_id)
    version = {"id": str(record.template_version_id), "slug": label.slug, "number": label.number} if label else None
    return {"template": label.slug if label else None, "template_version": version, "locale": record.locale}


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
