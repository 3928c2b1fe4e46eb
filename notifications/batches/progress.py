"""How far a job is, for whoever wants to know at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog

from notifications.batches.models import Job

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """A job as of the turn that was just committed. ``rate`` is rows a second of work, over the job's whole life."""

    tenant_id: UUID
    job_id: UUID
    batch_id: UUID
    status: str
    phase: str
    detail: str
    rows_read: int
    staged: int
    broken: int
    duplicates: int
    recorded: int
    suppressed: int
    percent: float
    rate: float
    finished_at: datetime | None


OnProgress = Callable[[Progress], None]

_callbacks: list[OnProgress] = []


def on_progress(callback: OnProgress) -> OnProgress:
    """Call ``callback`` after each committed step of a job, and when it is paused, resumed, cancelled or finished.

    It runs after the commit and outside every scope. What it raises is logged and changes nothing.
    """
    _callbacks.append(callback)
    return callback


def announce(job: Job) -> None:
    """Tell everybody who asked."""
    if not _callbacks:
        return
    progress = progress_of(job)
    for callback in _callbacks:
        try:
            callback(progress)
        except Exception:
            log.exception("progress_callback_failed", job_id=str(job.id))


def progress_of(job: Job) -> Progress:
    """Return how far a job is."""
    return Progress(
        tenant_id=job.tenant_id,
        job_id=job.id,
        batch_id=job.batch_id,
        status=status_of(job),
        phase=str(job.phase),
        detail=job.detail,
        rows_read=job.rows_read,
        staged=job.staged,
        broken=job.broken,
        duplicates=job.duplicates,
        recorded=job.recorded,
        suppressed=job.suppressed,
        percent=percent_of(job),
        rate=round(job.rows_read / job.worked_seconds, 1) if job.worked_seconds else 0.0,
        finished_at=job.finished_at,
    )


def status_of(job: Job) -> str:
    """Return where a job stands; ``paused`` also while what it has recorded is held back."""
    return "paused" if job.batch.held else str(job.status)


def percent_of(job: Job) -> float:
    """Return how much is done, 0 to 100: reading is one half, writing records the other; a dry run only reads."""
    if job.status == "completed":
        return 100.0
    read = job.offset / job.size if job.size else 0.0
    written = (job.recorded + job.suppressed) / job.staged if job.phase == "record" and job.staged else 0.0
    share = read if job.dry_run else (read + written) / 2
    return round(min(share, 1.0) * 100, 1)
