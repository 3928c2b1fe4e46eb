"""Verbs of jobs: take a file, pause, resume, cancel, delete what is over its time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import IO, Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from notification_service.lib.errors import Conflict, NotFound
from notification_service.lib.ids import new_id
from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.batches import progress, staging, uploads
from notifications.batches.checking import columns_for
from notifications.batches.columns import columns_of, expected_names
from notifications.batches.models import Batch, BatchSource, BatchStatus, Job, JobStatus, Phase
from notifications.batches.services import cancel_batch, hold_batch
from notifications.batches.uploads import Upload
from notifications.batches.wake import enqueue_turn
from notifications.batches.words import words_of
from notifications.credentials.services import require_credential
from notifications.records.categories import categorised
from notifications.records.idempotency import Answer, answer_once, fingerprint_of
from notifications.records.intake import channel_of, check_times
from notifications.records.states import Lane
from notifications.templates import lookups
from tenants import audit
from tenants.callers import Caller

#: A job in one of these has an end.
OVER: Final = frozenset({JobStatus.COMPLETED, JobStatus.CANCELLED, JobStatus.FAILED})
#: Whose next turn may be taken.
ACTIVE: Final = (JobStatus.QUEUED, JobStatus.RUNNING)
_DELETE: Final = 10_000


@dataclass(frozen=True, slots=True)
class JobCall:
    """What is to be made of a file: either ``content`` or a ``template`` (its key), and what all rows share."""

    channel: str
    content: Mapping[str, Any] | None = None
    template: str = ""
    mapping: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    lane: str = Lane.BULK
    dry_run: bool = False
    scheduled_at: datetime | None = None
    expires_at: datetime | None = None


def create_job(
    caller: Caller, call: JobCall, *, file: IO[bytes], name: str, size: int, key: str | None = None
) -> tuple[UUID, bool]:
    """Store a file and have its rows sent; return the job's id, and whether ``key`` had been used for the same before.

    Opens scopes of its own: no transaction waits for the file. Raises ``InvalidInput`` and ``ContentInvalid`` naming
    the field, ``Conflict`` if there is nothing to send with.
    """
    tenant_id, job_id = caller.required_tenant_id(), new_id()
    with tenant_scope(tenant_id):
        channel_of(call.channel)
        check_times(call.scheduled_at, call.expires_at, timezone.now())
        words = words_of(call.channel, content=call.content, template=call.template)
        if call.lane != Lane.BULK:
            lookups.check("lane", call.lane)
        if not call.dry_run:
            require_credential(call.channel, caller.mode)
    upload = uploads.store(tenant_id, job_id, file, name, size, expected_names(call.channel, call.mapping))
    kept = False
    try:
        if upload.dialect:
            columns_for(columns_of(upload.dialect.header, call.channel, call.mapping), words, call.context)

        def act() -> Answer:
            return Answer(202, {"id": str(_insert(caller, call, upload, job_id).id)})

        asked = {name: str(getattr(call, name)) for name in call.__slots__}
        with tenant_scope(tenant_id):
            fingerprint = fingerprint_of("bulk", {**asked, "file": upload.digest.hex()})
            answer = answer_once(tenant_id, key, fingerprint, act)
        kept = not answer.replayed
        return UUID(answer.body["id"]), answer.replayed
    finally:
        if not kept:
            uploads.delete(upload.path)


def _insert(caller: Caller, call: JobCall, upload: Upload, job_id: UUID) -> Job:
    words = words_of(call.channel, content=call.content, template=call.template)
    tenant_id, by = caller.required_tenant_id(), (caller.actor_label or caller.actor_id)[:255]
    batch = Batch(id=new_id(), tenant_id=tenant_id, source=BatchSource.FILE, mode=caller.mode, created_by=by)
    batch.save(force_insert=True)
    dialect = upload.dialect
    job = Job(
        id=job_id,
        tenant_id=tenant_id,
        batch=batch,
        phase=Phase.STAGE if dialect else Phase.CONVERT,
        file_name=upload.name,
        file=upload.path,
        size=upload.size,
        encoding=upload.encoding,
        delimiter=dialect.delimiter if dialect else ",",
        header=dialect.header if dialect else [],
        offset=dialect.offset if dialect else 0,
        mapping=dict(call.mapping),
        channel=call.channel,
        content=dict(words.content),
        template_version_id=words.template_version_id,
        context=dict(call.context),
        metadata=categorised(call.metadata, words.category),
        lane=call.lane,
        dry_run=call.dry_run,
        scheduled_at=call.scheduled_at,
        expires_at=call.expires_at,
        lease_until=timezone.now(),
        created_by=by,
    )
    job.save(force_insert=True)
    audit.record(caller, "job.created", "job", job.id, file=upload.name, channel=call.channel, dry_run=call.dry_run)
    transaction.on_commit(partial(enqueue_turn, tenant_id, job.id))
    return job


def get_job(job_id: UUID, *, lock: bool = False) -> Job:
    """Return one of the tenant's jobs, with its batch. Needs the tenant's scope. Raises ``NotFound``."""
    rows = Job.objects.filter(id=job_id)
    job = (rows.select_for_update() if lock else rows.select_related("batch")).first()
    if job is None:
        raise NotFound
    return job


def pause_job(caller: Caller, job_id: UUID) -> Job:
    """Stop after the chunk at hand, and hold back what is recorded already. Raises ``NotFound``, ``Conflict``."""
    job = get_job(job_id, lock=True)
    if job.status in ACTIVE:
        _set(job, status=JobStatus.PAUSED, detail="")
    elif job.status != JobStatus.COMPLETED or job.dry_run or not job.batch.in_progress:
        raise _wrong(job)
    return _changed(hold_batch(caller, job.batch_id, held=True), job)


def resume_job(caller: Caller, job_id: UUID) -> Job:
    """Go on where a job stopped. Raises ``NotFound``, and ``Conflict`` if it is not paused."""
    job = get_job(job_id, lock=True)
    batch = job.batch
    if job.status != JobStatus.PAUSED and not batch.held:
        raise _wrong(job)
    if job.status == JobStatus.PAUSED:
        _set(job, status=JobStatus.QUEUED, detail="", stumbles=0, lease_token=None, lease_until=timezone.now())
        transaction.on_commit(partial(enqueue_turn, job.tenant_id, job.id))
    if batch.held:
        batch = hold_batch(caller, batch.id, held=False)
    return _changed(batch, job)


def cancel_job(caller: Caller, job_id: UUID) -> Job:
    """Send nothing more of a file. Raises ``NotFound``, and ``Conflict`` if everything has its end already."""
    job = get_job(job_id, lock=True)
    if job.status in OVER and not (job.status == JobStatus.COMPLETED and job.batch.in_progress):
        raise _wrong(job)
    _set(job, status=JobStatus.CANCELLED, finished_at=timezone.now())
    return _changed(cancel_batch(caller, job.batch_id), job)


def purge(job: Job) -> bool:
    """Delete the file, the staged and the broken rows of a job, in transactions of its own; False if time ran out."""
    for _ in range(50):
        with tenant_scope(job.tenant_id):
            if not staging.delete_rows(job.id, _DELETE):
                uploads.delete(job.file)
                Job.objects.filter(id=job.id).update(purged_at=timezone.now(), file="")
                return True
    return False


def purge_old(*, limit: int = 50) -> int:
    """Purge jobs that ended ``BULK_RETENTION_DAYS`` ago; return how many. Opens scopes of its own."""
    before = timezone.now() - timedelta(days=settings.BULK_RETENTION_DAYS)
    with platform_scope("jobs whose rows are over their time"):
        old = Job.objects.filter(purged_at=None, created_at__lt=before, finished_at__lt=before)
        found = list(old.order_by("created_at")[:limit])
    return sum(purge(job) for job in found)


def stalled() -> list[tuple[UUID, UUID]]:
    """Return the jobs (tenant, id) whose turn nobody takes. Needs ``platform_scope``."""
    rows = Job.objects.filter(status__in=ACTIVE, lease_until__lt=timezone.now())
    return list(rows.order_by("lease_until").values_list("tenant_id", "id")[:1000])


def _set(job: Job, **changes: Any) -> None:
    for name, value in changes.items():
        setattr(job, name, value)
    job.save(update_fields=list(changes))


def _changed(batch: Batch, job: Job) -> Job:
    job.batch = batch
    transaction.on_commit(partial(progress.announce, job))
    return job


def _wrong(job: Job) -> Conflict:
    state = "paused" if job.batch.held else str(job.status)
    return Conflict(f"The job is {state}.", code="wrong_status", errors={"status": [f"Is {state}."]})


def close_batch(job: Job) -> None:
    """Say that a job's batch has everything that it will have. Needs the tenant's scope."""
    Batch.objects.filter(id=job.batch_id, status=BatchStatus.OPEN).update(
        status=BatchStatus.CLOSED, closed_at=timezone.now(), rejected=job.broken + job.duplicates
    )
