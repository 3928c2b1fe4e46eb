"""Records whose recipients must get nothing: written like any other, and never sent."""

from __future__ import annotations

from collections.abc import Sequence

from notifications.providers.base import FailureReason
from notifications.recipients.suppressions import Addressee, category_of, find_suppressed
from notifications.records.models import NotificationRecord
from notifications.records.states import Status


def hold_suppressed(records: Sequence[NotificationRecord]) -> None:
    """End new records of suppressed recipients as ``suppressed`` before they are written; one query for all.

    ``provider_response`` is the reason. Needs the tenant's scope.
    """
    addressees = [
        Addressee(record.channel, record.recipient, str(record.lane), category_of(record.metadata))
        for record in records
    ]
    held = find_suppressed(addressees)
    for record, addressee in zip(records, addressees, strict=True):
        if reason := held.get(addressee):
            record.status, record.failure_reason = Status.SUPPRESSED, str(FailureReason.SUPPRESSED)
            record.provider_response = str(reason)
