"""Celery entry points of the engine: the drain token, and the sweepers that beat ticks."""

from __future__ import annotations

from uuid import UUID

import structlog
from celery import shared_task
from celery.signals import worker_process_shutdown
from django.conf import settings
from django.utils import timezone

from notification_service.lib.heartbeat import beat
from notification_service.lib.partitions import ensure_partitions
from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.records import digests, journal, queue, receipts, retention
from notifications.records.ends import take_back_lost
from notifications.records.engine import close_engine, engine
from notifications.records.idempotency import delete_expired
from notifications.records.mail_task import send_notification_email
from notifications.records.wake import take, wake

__all__ = ["drain", "gather_digests", "housekeep", "send_notification_email", "sweep"]

log = structlog.get_logger(__name__)

#: Tables with a partition a month.
PARTITIONED = ["notification_record", "attempt", "record_event"]


@shared_task(name="notifications.records.tasks.drain")
def drain(tenant_id: str, lane: str, slot: int = 0, text: str = "") -> None:
    """Send what is due in one tenant's lane; the engine goes on sending when the task has ended."""
    if taken := take(UUID(tenant_id), lane, slot, text):
        engine().drain(UUID(tenant_id), lane, slot=slot, taken=taken, patience=0)


@shared_task(name="notifications.records.tasks.sweep", expires=settings.SWEEP_SECONDS * 3)
def sweep() -> None:
    """Find what has no token: rows whose time came, rows whose worker was lost, rows from while Redis was down."""
    beat("worker")
    journal.recover()
    lost = take_back_lost()
    with platform_scope("sweep"):
        due = queue.due_lanes()
        overdue = receipts.overdue()
    if lost:
        log.warning("leases_ran_out", count=lost)
    for tenant_id, lane in due:
        wake(tenant_id, lane)
    for tenant_id, message_ids in overdue.items():
        with tenant_scope(tenant_id):
            receipts.apply_waiting(message_ids)


@shared_task(name="notifications.records.tasks.gather_digests", expires=digests.RUN_SECONDS)
def gather_digests() -> None:
    """Make digests of what has waited for one."""
    if made := digests.gather():
        log.info("digests_gathered", digests=made)


@shared_task(name="notifications.records.tasks.housekeep")
def housekeep() -> None:
    """Make partitions ahead; forget idempotency keys, receipts and records that are past their time."""
    now = timezone.now()
    made = ensure_partitions(PARTITIONED, now=now)
    with platform_scope("forget expired idempotency keys and old receipts"):
        forgotten, old = delete_expired(), receipts.forget_old()
    log.info("housekeeping", partitions_made=made, idempotency_keys_forgotten=forgotten, receipts_forgotten=old)
    dropped, deleted = retention.drop_old_partitions(now=now), retention.delete_old(now=now)
    if dropped or deleted:
        log.info("retention", partitions_dropped=dropped, records_deleted=deleted)


@worker_process_shutdown.connect
def _close(**_: object) -> None:
    close_engine()
