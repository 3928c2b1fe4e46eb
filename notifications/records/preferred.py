"""Records of people who have chosen: what they do not want is written and never sent, what is too early waits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from notifications.providers.base import FailureReason
from notifications.recipients.preferences import QUIET, Defer, Planned, Withhold, decide
from notifications.recipients.suppressions import category_of
from notifications.records.models import NotificationRecord
from notifications.records.states import Status


def heed_preferences(
    records: Sequence[NotificationRecord], *, fixed_deadlines: Collection[UUID], now: datetime
) -> None:
    """Do to new records with a user id what their people's preferences say; one query for all. Needs tenant scope.

    A switch that is off ends a record as ``suppressed`` (``provider_response``: ``preference:<category>:<channel>``).
    Quiet hours move ``due_at`` to their end, and with it every deadline that is not one of ``fixed_deadlines``.
    """
    of_people = [record for record in records if record.user_id and record.status != Status.SUPPRESSED]
    decisions = decide(
        [
            Planned(record.user_id, record.channel, record.due_at, category_of(record.metadata), str(record.lane))
            for record in of_people
        ]
    )
    for record, decision in zip(of_people, decisions, strict=True):
        match decision:
            case Withhold(reason):
                record.status, record.failure_reason = Status.SUPPRESSED, str(FailureReason.SUPPRESSED)
                record.provider_response = reason
            case Defer(until):
                if record.id not in fixed_deadlines:
                    record.expires_at += until - record.due_at
                record.due_at, record.provider_response = until, QUIET
                record.status = Status.SCHEDULED if until > now else record.status
