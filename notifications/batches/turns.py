"""A job's turns: bounded pieces of work, each step committed with where it stands.

A turn may be killed anywhere. What it had not committed is done again by the next one, and nothing twice: rows of the
file are taken by their offset, staged rows become records under ids that they have already.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from django.utils import timezone

from notification_service.lib.errors import ServiceError, TooManyRequests
from notification_service.lib.ids import new_id
from notification_service.lib.scope import tenant_scope
from notifications.batches import progress, staging, uploads
from notifications.batches.checking import Broken, Candidate, RowChecker, columns_for
from notifications.batches.columns import Columns, columns_of, expected_names, fitted
from notifications.batches.dialects import detect_dialect
from notifications.batches.jobs import ACTIVE, close_batch
from notifications.batches.models import BatchStatus, Job, JobStatus, Phase
from notifications.batches.people import addresses_by_user
from notifications.batches.reading import Malformed, RowReader
from notifications.batches.services import add_to_batch, deadline_of
from notifications.batches.spreadsheets import write_csv
from notifications.batches.words import Words, words_again
from notifications.channels.registry import channels
from notifications.records.bulk import Shared
from notifications.records.states import Status
from notifications.templates import lookups
from tenants import limits
from tenants.limits import default_region

log = structlog.get_logger(__name__)

#: Rows of a file that are staged, and staged rows that are recorded, in one transaction.
STAGE_ROWS: Final = 5_000
RECORD_ROWS: Final = 5_000
#: Seconds of a turn: after them others come first.
TURN_SECONDS: Final = 2.0
#: A turn that is not heard of for this long is taken for lost.
LEASE: Final = timedelta(seconds=settings.LEASE_SECONDS)
#: So often a turn is begun in vain before the job stops and waits for somebody to look at it.
STUMBLES: Final = 8
_IN_MEMORY: Final = 4 * 1024 * 1024


class _Lost(Exception):
    """The job is no longer ours: it was paused or cancelled, or another worker has it."""


def take_turn(tenant_id: UUID, job_id: UUID, *, seconds: float = TURN_SECONDS) -> bool:
    """Work on a job for some seconds; return whether there is more to do now. Opens scopes of its own.

    Does nothing if the job does not want a turn or if somebody is at it.
    """
    job = _begin(tenant_id, job_id)
    if job is None:
        return False
    with ExitStack() as stack:
        turn = _Turn(job, stack, time.monotonic())
        try:
            ends = time.monotonic() + seconds
            while True:  # one step at least, however slow the machine is: a turn that does nothing is no turn
                turn.step()
                if job.status != JobStatus.RUNNING or time.monotonic() >= ends:
                    return turn.end(delay=0.0)
        except _Lost:
            return False
        except TooManyRequests as error:
            if error.error_code == "quota_exceeded":
                turn.stop(JobStatus.PAUSED, error.message)
                return False
            return turn.end(delay=error.retry_after or 1.0)
        except ServiceError as error:
            turn.stop(JobStatus.FAILED, error.message)
            return False
        except Exception:
            # Whatever it was may be over soon: the sweep tries again, later each time.
            log.exception("turn_failed", job_id=str(job_id), phase=str(job.phase))
            turn.end(delay=min(2.0**job.stumbles, 300.0))
            return False


def _begin(tenant_id: UUID, job_id: UUID) -> Job | None:
    now = timezone.now()
    with tenant_scope(tenant_id):
        free = Job.objects.select_for_update(of=("self",), skip_locked=True).select_related("batch")
        job = free.filter(id=job_id, status__in=ACTIVE).first()
        if job is None or (job.lease_token and job.lease_until and job.lease_until > now):
            return None
        job.stumbles += 1
        if job.stumbles > STUMBLES:
            job.status, job.detail = JobStatus.PAUSED, "Stopped after several failures; resume to try again."
        else:
            job.status, job.started_at = JobStatus.RUNNING, job.started_at or now
        job.lease_token, job.lease_until = new_id(), now + LEASE
        job.save(update_fields=["status", "detail", "started_at", "stumbles", "lease_token", "lease_until"])
    if job.status == JobStatus.RUNNING:
        return job
    progress.announce(job)
    return None


@dataclass
class _Turn:
    """What a turn keeps open between its steps."""

    job: Job
    stack: ExitStack
    since: float
    reader: RowReader | None = None
    rows: Iterator[list[str] | Malformed] = field(default_factory=lambda: iter(()))
    checker: RowChecker | None = None

    def step(self) -> None:
        """Do the next piece. Raises ``_Lost`` if the job is no longer ours."""
        {Phase.CONVERT: self._convert, Phase.STAGE: self._stage, Phase.RECORD: self._record}[Phase(self.job.phase)]()
        progress.announce(self.job)

    def end(self, *, delay: float) -> bool:
        """Give the job back; return whether it wants another turn at once. The sweep finds it after ``delay``."""
        more = self.job.status == JobStatus.RUNNING
        if more:
            changes = {"lease_token": None, "lease_until": timezone.now() + timedelta(seconds=delay)}
            with tenant_scope(self.job.tenant_id):
                Job.objects.filter(id=self.job.id, lease_token=self.job.lease_token).update(**changes)
        return more and not delay

    def stop(self, status: JobStatus, detail: str) -> None:
        """Stop the job for a reason that is told, unless it is no longer ours."""
        with suppress(_Lost):
            with self._commit() as changes:
                changes |= {"status": status, "detail": detail[:500]}
                if status == JobStatus.FAILED:
                    changes |= {"phase": Phase.DONE, "finished_at": timezone.now()}
                    close_batch(self.job)
            progress.announce(self.job)

    @contextmanager
    def _commit(self) -> Iterator[dict[str, Any]]:
        """A transaction that ends with the changes to the job that are put into the yielded dictionary.

        Raises ``_Lost``, and then nothing is written but that the job is cancelled if its batch is.
        """
        with tenant_scope(self.job.tenant_id):
            held = Job.objects.select_for_update(of=("self",)).select_related("batch").get(id=self.job.id)
            if held.lease_token != self.job.lease_token or held.status != JobStatus.RUNNING:
                raise _Lost
            if held.batch.status != BatchStatus.CANCELLED:
                changes: dict[str, Any] = {}
                yield changes
                now = time.monotonic()
                worked = held.worked_seconds + now - self.since
                changes |= {"lease_until": timezone.now() + LEASE, "stumbles": 0, "worked_seconds": worked}
                Job.objects.filter(id=held.id).update(**changes)
                self.since = now
                for name, value in changes.items():
                    setattr(self.job, name, value)
                return
            Job.objects.filter(id=held.id).update(status=JobStatus.CANCELLED, finished_at=timezone.now())
        raise _Lost

    def _alive(self) -> None:
        with self._commit():
            pass

    def _convert(self) -> None:
        """Make a table of a workbook. Begins again from the start if it is interrupted: nothing has come of it yet."""
        job = self.job
        workbook = self.stack.enter_context(uploads.open_stored(job.file))
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as table:
            write_csv(workbook, table, _every(1.0, self._alive))
            size = table.tell()
            dialect = detect_dialect(table, expected_names(job.channel, job.mapping))
            with tenant_scope(job.tenant_id):
                words = _words(job)
            columns_for(columns_of(dialect.header, job.channel, job.mapping), words, job.context)
            table.seek(0)
            path = uploads.save(job.tenant_id, job.id, table, "csv")
        before = job.file
        with self._commit() as changes:
            changes |= {"phase": Phase.STAGE, "file": path, "size": size, "delimiter": dialect.delimiter}
            changes |= {"header": dialect.header, "offset": dialect.offset, "row_number": 1}
        uploads.delete(before)

    def _stage(self) -> None:
        """Read, check and stage the next rows."""
        job, reader, checker = self.job, *self._open()
        candidates: list[Candidate] = []
        broken: list[Broken] = []
        read = 0
        for row in islice(self.rows, STAGE_ROWS):
            read += 1
            if isinstance(row, Malformed):
                broken.append(Broken(reader.number, "", "malformed", row.reason, row.original))
                continue
            checked = checker.check(reader.number, row)
            (candidates if isinstance(checked, Candidate) else broken).append(checked)  # type: ignore[arg-type]
        if reader.number > settings.BULK_MAX_ROWS + 1:
            self.stop(JobStatus.FAILED, f"The file has more than {settings.BULK_MAX_ROWS:,} rows: nothing was sent.")
            return
        with self._commit() as changes:
            candidates = _with_addresses(job, _columns(job), candidates, broken)
            staged = staging.stage(job, candidates, broken)
            changes |= {
                "offset": reader.offset,
                "row_number": reader.number,
                "rows_read": job.rows_read + read,
                "staged": job.staged + staged,
                "broken": job.broken + len(broken),
                "duplicates": job.duplicates + len(candidates) - staged,
            }
            if read < STAGE_ROWS:
                job.broken, job.duplicates = changes["broken"], changes["duplicates"]
                changes |= self._after_staging(changes["staged"])

    def _after_staging(self, staged: int) -> Mapping[str, Any]:
        if not self.job.dry_run and staged:
            return {"phase": Phase.RECORD}
        close_batch(self.job)
        found = staging.count_suppressed(self.job) if self.job.dry_run else 0
        return {**_completed(), "suppressed": found}

    def _open(self) -> tuple[RowReader, RowChecker]:
        """Open the file where the last step stopped, once a turn."""
        if self.reader is None or self.checker is None:
            job = self.job
            file = self.stack.enter_context(uploads.open_at(job.file))
            self.reader = RowReader(file, delimiter=job.delimiter, offset=job.offset, number=job.row_number)
            self.rows = iter(self.reader)
            with tenant_scope(job.tenant_id):
                words = _words(job)
                locales = lookups.known("locale")
            self.checker = RowChecker(
                channel=channels.get(job.channel),
                words=words,
                columns=fitted(_columns(job), words.placeholders),
                region=default_region(job.tenant_id),
                shared=job.context,
                locales=locales,
            )
        return self.reader, self.checker

    def _record(self) -> None:
        """Make records of the next staged rows; when none is left, prove that none was left out."""
        job = self.job
        if not job.admitted:
            limits.admit(job.tenant_id, job.batch.mode, notifications=job.staged)
            with self._commit() as changes:
                changes["admitted"] = True
            return
        with self._commit() as changes:
            after = job.recorded_until or staging.START
            personal = job.channel == "inapp" or _columns(job).user_id is not None
            written, last = staging.record_rows(job.id, _shared(job), after, RECORD_ROWS, personal=personal)
            if last is None:
                changes |= self._prove()
                return
            total = written.recorded + written.suppressed
            if total and not add_to_batch(job.batch_id, total=total, suppressed=written.suppressed):
                raise _Lost  # cancelled in this moment: the next turn sees it
            changes |= {
                "recorded_until": last,
                "recorded": job.recorded + written.recorded,
                "suppressed": job.suppressed + written.suppressed,
            }

    def _prove(self) -> Mapping[str, Any]:
        staged, recorded = staging.count_recorded(self.job.id)
        if staged == recorded == self.job.staged:
            close_batch(self.job)
            return _completed()
        log.error("rows_missing", job_id=str(self.job.id), staged=staged, recorded=recorded)
        if recorded < staged:
            return {"recorded_until": None}  # once more from the start: what is there is left alone
        return {"status": JobStatus.PAUSED, "detail": f"{self.job.staged} rows were staged, and {staged} are there."}


def _completed() -> dict[str, Any]:
    return {"status": JobStatus.COMPLETED, "phase": Phase.DONE, "finished_at": timezone.now()}


def _columns(job: Job) -> Columns:
    """Return what the columns of a job's file mean."""
    return columns_of(job.header, job.channel, job.mapping)


def _words(job: Job) -> Words:
    """Return what a job says. Needs its scope."""
    return words_again(job.channel, content=job.content, template_version_id=job.template_version_id)


def _with_addresses(job: Job, columns: Columns, candidates: list[Candidate], broken: list[Broken]) -> list[Candidate]:
    """Replace people by where they are reached (on each of their devices); who is not is broken."""
    people = {each.user_id for each in candidates if not each.address}
    if not people:
        return candidates
    addresses = addresses_by_user(people, job.channel)
    found: list[Candidate] = []
    for each in candidates:
        if each.address:
            found.append(each)
        elif each.user_id in addresses:
            found += [
                Candidate(each.row_number, address, each.context, each.user_id, each.locale)
                for address in addresses[each.user_id]
            ]
        else:
            reason = f"No address of {each.user_id!r} is known for this channel."
            column = columns.title(columns.user_id)
            broken.append(Broken(each.row_number, column, "no_address", reason, each.user_id))
    return found


def _shared(job: Job) -> Shared:
    now = timezone.now()
    later = job.scheduled_at is not None and job.scheduled_at > now
    due_at = job.scheduled_at if job.scheduled_at is not None and later else now
    return Shared(
        channel=job.channel,
        due_at=due_at,
        expires_at=deadline_of(job.lane, due_at, job.expires_at),
        content=job.content,
        template_version_id=job.template_version_id,
        metadata=job.metadata,
        lane=job.lane,
        mode=job.batch.mode,
        status=Status.SCHEDULED if later else Status.PENDING,
        batch_id=job.batch_id,
        created_by=job.created_by,
    )


def _every(seconds: float, act: Callable[[], None]) -> Callable[[], None]:
    """Return a function that acts at most once in so many seconds."""
    last = time.monotonic()

    def maybe() -> None:
        nonlocal last
        if time.monotonic() - last > seconds:
            act()
            last = time.monotonic()

    return maybe
