"""Celery entry points of chat: what beat ticks."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.utils import timezone

from messaging.services import files, notices, presence, retention
from notification_service.lib.scope import platform_scope

log = structlog.get_logger(__name__)


@shared_task(name="messaging.tasks.send_notices", expires=60)
def send_notices() -> None:
    """Tell those who have not read for a while."""
    accepted = notices.send_due(timezone.now())
    if accepted:
        log.info("chat_notices_accepted", count=accepted)


@shared_task(name="messaging.tasks.expire_presence", expires=15)
def expire_presence() -> None:
    """Tell of those who are not heard of any more."""
    presence.expire()


@shared_task(name="messaging.tasks.housekeep")
def housekeep() -> None:
    """Delete messages past their tenant's time, and files that were never sent."""
    now = timezone.now()
    with platform_scope("files that were never sent"):
        unsent = files.discard_unsent(now)
    deleted = retention.delete_old(now=now)
    if unsent or deleted:
        log.info("chat_housekeeping", messages_deleted=deleted, files_deleted=unsent)
