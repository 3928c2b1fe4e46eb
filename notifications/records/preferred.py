"""Records of people who have chosen: what they do not want is written and never sent, what is too early waits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from notifications.providers.base import FailureReason
from notifications.recipients.preferences import ANY_TIME, Defer, Planned, Withhold, decide
from notifications.recipients.suppressions import category_of
from notifications.records.models import NotificationRecord
from notifications.records.states import Status

#: What a digest can not show, or must not keep from others.
UNGATHERED: Final = ("attachments", "cc", "bcc")
#: What the metadata of a digest has: of how many messages it is.
DIGEST_OF: Final = "digest_of"


def can_be_gathered(channel: str, content: Mapping[str, Any]) -> bool:
    """Return whether a message may become a part of a digest: an email without attachments and copies."""
    return channel == "email" and not any(content.get(name) for name in UNGATHERED)


def heed_preferences(
    records: Sequence[NotificationRecord], *, fixed_deadlines: Collection[UUID], now: datetime
) -> None:
    """Do to new records with a user id what their people's preferences say; one query for all. Needs tenant scope.

    A switch that is off ends a record as ``suppressed`` (``provider_response``: ``preference:<category>:<channel>``).
    Quiet hours move ``due_at`` to their end, and with it every deadline that is not one of ``fixed_deadlines``; so do
    digests, but for messages whose fixed deadline is earlier.
    """
    of_people = [record for record in records if record.user_id and record.status != Status.SUPPRESSED]
    decisions = decide(
        [
            Planned(
                record.user_id,
                record.channel,
                record.due_at,
                category_of(record.metadata),
                str(record.lane),
                _gather_before(record, fixed_deadlines),
            )
            for record in of_people
        ]
    )
    for record, decision in zip(of_people, decisions, strict=True):
        match decision:
            case Withhold(reason):
                record.status, record.failure_reason = Status.SUPPRESSED, str(FailureReason.SUPPRESSED)
                record.provider_response = reason
            case Defer() as wait:
                if record.id not in fixed_deadlines:
                    record.expires_at += wait.due_at - record.due_at
                record.due_at, record.provider_response = wait.due_at, wait.reason
                record.status = Status.SCHEDULED if wait.due_at > now else record.status


def _gather_before(record: NotificationRecord, fixed_deadlines: Collection[UUID]) -> datetime | None:
    if not can_be_gathered(record.channel, record.content) or DIGEST_OF in record.metadata:
        return None  # a digest that is sent once more is not told in another
    return record.expires_at if record.id in fixed_deadlines else ANY_TIME
