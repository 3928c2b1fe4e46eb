"""How far files of recipients are, for the sockets of those who follow progress."""

from __future__ import annotations

from notifications.batches.progress import Progress
from notifications.inbox.live import publish_to_tenant_admins


def tell_of_job(progress: Progress) -> None:
    """Tell a tenant's people who follow progress how far a job is: rows dealt with, of how many, once that is known."""
    handled = progress.recorded + progress.suppressed
    is_recording = progress.phase in ("record", "done")
    publish_to_tenant_admins(
        progress.tenant_id,
        {
            "kind": "csv_job",
            "id": str(progress.job_id),
            "batch_id": str(progress.batch_id),
            "status": progress.status,
            "phase": progress.phase,
            "detail": progress.detail,
            "done": handled,
            "total": progress.staged if is_recording else None,
            "failed": progress.broken,
            "read": progress.rows_read,
            "percent": progress.percent,
            "rate": progress.rate,
        },
    )
