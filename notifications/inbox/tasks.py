"""Celery entry points of the inbox: what time alone changes, and what is kept long enough."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from uuid import UUID

import structlog
from celery import shared_task
from django.conf import settings
from django.db import connection
from django.utils import timezone

from notification_service.lib.ids import id_floor
from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.inbox import broadcasts, services

log = structlog.get_logger(__name__)

#: Inboxes that one sweep looks after; the others have their turn at the next.
_INBOXES = 2_000
_PEOPLE_TOGETHER = 500
#: Changes, and deleted messages, are kept for those who resume.
_RESUMABLE = timedelta(days=7)


@shared_task(name="notifications.inbox.tasks.wake_due", expires=settings.INBOX_SWEEP_SECONDS * 3)
def wake_due() -> None:
    """Let go what has expired, and bring back what was snoozed until now, in inboxes that nobody looks at."""
    with platform_scope("inboxes with something due"), connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT tenant_id, user_id FROM inbox_message WHERE wake_at <= now() AND wake_at IS NOT NULL"
            " LIMIT %s",
            [_INBOXES],
        )
        due: dict[UUID, list[str]] = defaultdict(list)
        for tenant_id, user_id in cursor.fetchall():
            due[tenant_id].append(user_id)
    for tenant_id, user_ids in due.items():
        for start in range(0, len(user_ids), _PEOPLE_TOGETHER):
            with tenant_scope(tenant_id):
                services.wake_due(user_ids[start : start + _PEOPLE_TOGETHER])


@shared_task(name="notifications.inbox.tasks.retract")
def retract(tenant_id: str, broadcast_id: str) -> None:
    """Take a broadcast out of all inboxes that hold it."""
    with tenant_scope(UUID(tenant_id)):
        people = broadcasts.holders(UUID(broadcast_id))
    for start in range(0, len(people), _PEOPLE_TOGETHER):
        with tenant_scope(UUID(tenant_id)):
            services.retract(people[start : start + _PEOPLE_TOGETHER], UUID(broadcast_id))


@shared_task(name="notifications.inbox.tasks.housekeep")
def housekeep() -> None:
    """Really delete what was deleted a week ago, and let the oldest messages go (``INBOX_RETENTION_DAYS``)."""
    now = timezone.now()
    expired = 0
    if settings.INBOX_RETENTION_DAYS:
        floor = id_floor(now - timedelta(days=settings.INBOX_RETENTION_DAYS))
        with platform_scope("inboxes with old messages"), connection.cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT tenant_id, user_id FROM inbox_message WHERE id < %s AND deleted_at IS NULL LIMIT %s",
                [floor, _INBOXES],
            )
            old = cursor.fetchall()
        for tenant_id, user_id in old:
            with tenant_scope(tenant_id):
                services.expire_before([user_id], floor, most=services.MOST_IDS)
        expired = len(old)
    with platform_scope("forget old changes of inboxes"):
        forgotten = services.forget_changes(id_floor(now - _RESUMABLE))
    if expired or forgotten:
        log.info("inbox_housekeeping", inboxes_with_old_messages=expired, rows_forgotten=forgotten)
