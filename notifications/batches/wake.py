"""Messages to our own workers. Each is a hint: what is lost is found by the sweep."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import structlog
from celery import current_app
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)

TURN_TASK: Final = "notifications.batches.tasks.turn"
SETTLE_TASK: Final = "notifications.batches.tasks.settle"
#: Where long work belongs, behind nothing that is urgent; and where somebody waits for what they have asked for, beside
#: the long work that it is to stop.
BULK: Final = "bulk"
CONTROL: Final = "control"


def enqueue_turn(tenant_id: UUID, job_id: UUID) -> None:
    """Have a worker take the next turn of a job. Never raises."""
    _send(TURN_TASK, BULK, [str(tenant_id), str(job_id)])


def enqueue_settling(tenant_id: UUID, batch_id: UUID, after: UUID) -> None:
    """Have a worker go on cancelling, holding or releasing a batch's records. Never raises."""
    _send(SETTLE_TASK, CONTROL, [str(tenant_id), str(batch_id), str(after)])


def _send(task: str, queue: str, arguments: list[Any]) -> None:
    try:
        current_app.send_task(task, args=arguments, queue=queue, ignore_result=True)
    except (OperationalError, OSError) as error:
        log.warning("wake_failed", task=task, error=type(error).__name__)
