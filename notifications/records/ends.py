"""Ends of records that no attempt came to: suppressed at intake, cancelled, given up after too many lost workers.

They are announced like all other outcomes, with no tries, so that whoever listens hears of every end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast
from uuid import UUID

import structlog
from django.db import DatabaseError, InterfaceError

from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.providers.base import FailureReason, SendResult
from notifications.recipients.suppressions import category_of
from notifications.records import hooks, queue
from notifications.records.grace import workers_need_time
from notifications.records.models import NotificationRecord
from notifications.records.outcomes import Outcome
from notifications.records.queue import Claimed
from notifications.records.states import Status
from tenants.callers import Mode

log = structlog.get_logger(__name__)

#: Nobody held it.
_NO_LEASE = UUID(int=0)


def announce_ends(records: Sequence[NotificationRecord]) -> None:
    """Tell everybody who asked of records that have just come to their end. Needs the tenant's scope."""
    if records:
        hooks.announce([_outcome(record) for record in records])


def take_back_lost() -> int:
    """Give up leases that ran out, so that another worker tries; return how many. Opens its own scopes.

    What has lost too many workers, or must not go out twice, fails.
    """
    with platform_scope("whose workers were lost"):
        tenants = queue.tenants_with_lost()
    if workers_need_time():
        return 0
    count = 0
    for tenant_id in tenants:
        try:
            with tenant_scope(tenant_id):
                lost = queue.take_back(tenant_id)
                failed = [record_id for record_id, status in lost if status == Status.FAILED]
                announce_ends(list(NotificationRecord.objects.filter(id__in=failed)) if failed else [])
        except (DatabaseError, InterfaceError):
            raise
        except Exception:  # a bug of a listener must not keep other tenants from being swept
            log.exception("lost_not_taken_back", tenant_id=str(tenant_id))
            continue
        count += len(lost)
    return count


def _outcome(record: NotificationRecord) -> Outcome:
    reason = FailureReason(record.failure_reason) if record.failure_reason else None
    result = SendResult(False, response=record.provider_response, reason=reason)
    return Outcome(_claimed(record), Status(record.status), result)


def _claimed(record: NotificationRecord) -> Claimed:
    return Claimed(
        id=record.id,
        tenant_id=record.tenant_id,
        channel=record.channel,
        recipient=record.recipient,
        content=record.content,
        context=record.context,
        lane=str(record.lane),
        mode=cast("Mode", record.mode),
        retry_count=record.retry_count,
        max_retries=record.max_retries,
        attempt_count=record.attempt_count,
        created_at=record.created_at,
        expires_at=record.expires_at,
        lease_token=_NO_LEASE,
        category=category_of(record.metadata),
        user_id=record.user_id,
        template_version_id=record.template_version_id,
        locale=record.locale,
        campaign_id=record.campaign_id,
        batch_id=record.batch_id,
        event_id=record.event_id,
    )
