"""Celery entry points: turns of jobs, batches that are cancelled or held, and what beat ticks."""

from __future__ import annotations

from uuid import UUID

import structlog
from celery import shared_task
from django.conf import settings

from notification_service.lib.scope import platform_scope
from notifications.batches import jobs, services
from notifications.batches.staging import START
from notifications.batches.turns import take_turn
from notifications.batches.wake import SETTLE_TASK, TURN_TASK, enqueue_settling, enqueue_turn

log = structlog.get_logger(__name__)

#: Chunks of records that one task cancels, holds or lets go: a second's work, as others wait in the same queue.
_CHUNKS = 2


@shared_task(name=TURN_TASK)
def turn(tenant_id: str, job_id: str) -> None:
    """Work on a job for a moment, and go to the queue's tail if there is more to do."""
    if take_turn(UUID(tenant_id), UUID(job_id)):
        enqueue_turn(UUID(tenant_id), UUID(job_id))


@shared_task(name=SETTLE_TASK)
def settle(tenant_id: str, batch_id: str, after: str) -> None:
    """Cancel, hold or let go some of a batch's records, and go to the queue's tail if there are more."""
    last = services.settle_batch(UUID(tenant_id), UUID(batch_id), after=UUID(after), chunks=_CHUNKS)
    if last is not None:
        enqueue_settling(UUID(tenant_id), UUID(batch_id), last)


@shared_task(name="notifications.batches.tasks.sweep", expires=settings.SWEEP_SECONDS * 3)
def sweep() -> None:
    """Find jobs whose turn was lost, and records that came back after their batch was cancelled or held."""
    with platform_scope("sweep batches"):
        waiting, unsettled = jobs.stalled(), services.unsettled()
    for tenant_id, job_id in waiting:
        enqueue_turn(tenant_id, job_id)
    for tenant_id, batch_id in unsettled:
        enqueue_settling(tenant_id, batch_id, START)


@shared_task(name="notifications.batches.tasks.housekeep", expires=600)
def housekeep() -> None:
    """Compare counters that have stopped with their records; delete files and rows that are over their time."""
    recounted, purged = services.recount_idle(), jobs.purge_old()
    if recounted or purged:
        log.info("batches_housekeeping", recounted=recounted, jobs_purged=purged)
