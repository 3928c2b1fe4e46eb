"""A job that is killed anywhere goes on where it was: no row is left out, none comes twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.batches import jobs, staging, turns
from notifications.batches.models import Job, JobStatus, StagedRow
from notifications.batches.turns import STUMBLES, take_turn
from notifications.records.models import NotificationRecord
from tests.batches.conftest import BULK, job_of, table, upload, work
from tests.conftest import Persona
from tests.running_service import wait_until

ROWS = 60


class Killed(BaseException):
    """What no handler of ours catches, as a kill would be."""


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "STAGE_ROWS", 10)
    monkeypatch.setattr(turns, "RECORD_ROWS", 10)


@pytest.fixture
def job_id(sender: Persona) -> str:
    data = table(ROWS) + "person0@example.com,Twice,C\nnobody,Broken,C\n"
    return str(upload(sender.client, data).json()["id"])


def lease_runs_out(persona: Persona, job_id: str) -> None:
    with tenant_scope(persona.tenant_id):
        Job.objects.filter(id=job_id).update(lease_until=timezone.now() - timedelta(seconds=1))


def assert_complete(persona: Persona, job: dict[str, Any]) -> None:
    progress = job["progress"]
    assert job["status"] == "completed"
    assert (progress["staged"], progress["duplicates"], progress["broken"]) == (ROWS, 1, 1)
    assert (progress["rows_read"], progress["recorded"], progress["suppressed"]) == (ROWS + 2, ROWS, 0)
    with tenant_scope(persona.tenant_id):
        sent = list(NotificationRecord.objects.order_by("id").values_list("recipient", flat=True))
    assert sent == [f"person{n}@example.com" for n in range(ROWS)]
    batch = job_of(persona, job["id"]).batch
    assert (batch.total, batch.in_progress, batch.rejected, batch.status) == (ROWS, ROWS, 2, "closed")


#: Where a step is cut: before or after what it calls, the n-th time that it does.
PLACES = [(staging, "stage", when, time) for when in ("before", "after") for time in (1, 3, 7)] + [
    (turns, "add_to_batch", when, time) for when in ("before", "after") for time in (1, 4, 6)
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("module", "name", "when", "nth"), PLACES, ids=lambda value: getattr(value, "__name__", value))
def test_a_step_that_is_cut_is_done_again(
    sender: Persona, job_id: str, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, when: str, nth: int
) -> None:
    real, calls = getattr(module, name), 0

    def cut(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth and when == "before":
            raise Killed
        result = real(*args, **kwargs)
        if calls == nth:
            raise Killed
        return result

    with monkeypatch.context() as patch:
        patch.setattr(module, name, cut)
        with suppress(Killed):
            work(sender, job_id)
    assert calls == nth, "it was cut"
    assert not take_turn(sender.tenant_id, UUID(job_id)), "the lease still holds"
    lease_runs_out(sender, job_id)
    with platform_scope("test"):
        assert jobs.stalled() == [(sender.tenant_id, UUID(job_id))]
    assert_complete(sender, work(sender, job_id))


#: Says after each step that it is done, and waits to be told to go on: so it is killed in the next one, or before it.
_WORKER = """
import sys
import django
django.setup()
from uuid import UUID
from notifications.batches import turns
turns.STAGE_ROWS = turns.RECORD_ROWS = 10
begun = turns._Turn.step
def step(self):
    begun(self)
    print(self.job.phase, flush=True)
    sys.stdin.readline()
turns._Turn.step = step
while turns.take_turn(UUID(sys.argv[1]), UUID(sys.argv[2]), seconds=60):
    pass
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("steps", [2, 9])
def test_a_worker_that_is_killed_is_replaced(sender: Persona, job_id: str, uploads_directory: Path, steps: int) -> None:
    environment = {
        **os.environ,
        "DATABASE_URL": os.environ["DATABASE_URL"].rpartition("/")[0] + "/" + connection.settings_dict["NAME"],
        "MEDIA_ROOT": str(uploads_directory.parent),
        "DJANGO_SETTINGS_MODULE": "notification_service.settings",
    }
    command = [sys.executable, "-c", _WORKER, str(sender.tenant_id), job_id]
    began = timezone.now()
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdin
        assert worker.stdout
        for _ in range(steps):
            assert worker.stdout.readline(), "it works"
            worker.stdin.write(b"\n")
            worker.stdin.flush()
        worker.send_signal(signal.SIGKILL)
    wait_until(lambda: not sessions_at_work(began), 20)
    assert job_of(sender, job_id).status == JobStatus.RUNNING
    lease_runs_out(sender, job_id)
    assert_complete(sender, work(sender, job_id))


def sessions_at_work(began: datetime) -> int:
    """How many sessions of this database that are younger are at something: that of a killed worker for a moment."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_start >= %s AND state <> 'idle'",
            [began],
        )
        return int(cursor.fetchone()[0])


def test_two_workers_do_not_share_a_turn(sender: Persona, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = staging.stage, []

    def stage(*args: Any) -> int:
        seen.append(take_turn(sender.tenant_id, UUID(job_id)))
        return real(*args)

    monkeypatch.setattr(staging, "stage", stage)
    assert_complete(sender, work(sender, job_id))
    assert seen
    assert not any(seen)


def test_a_worker_that_was_taken_for_lost_writes_nothing(
    sender: Persona, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = False

    def lose(reader: Any) -> Any:
        """Another worker takes the job while this one reads."""
        nonlocal taken
        if not taken:
            taken = True
            lease_runs_out(sender, job_id)
            take_turn(sender.tenant_id, UUID(job_id), seconds=0.0)
        return real_rows(reader)

    real_rows = turns.RowReader.__iter__
    monkeypatch.setattr(turns.RowReader, "__iter__", lose)
    take_turn(sender.tenant_id, UUID(job_id))
    assert_complete(sender, work(sender, job_id))


def test_pause_and_resume_midway(sender: Persona, job_id: str) -> None:
    assert take_turn(sender.tenant_id, UUID(job_id), seconds=0.0)
    paused = sender.client.post(f"{BULK}/{job_id}/pause").json()
    assert paused["status"] == "paused"
    assert work(sender, job_id)["status"] == "paused"
    assert sender.client.post(f"{BULK}/{job_id}/pause").status_code == 409
    resumed = sender.client.post(f"{BULK}/{job_id}/resume").json()
    assert resumed["status"] == "queued"
    assert sender.client.post(f"{BULK}/{job_id}/resume").status_code == 409
    assert_complete(sender, work(sender, job_id))


@pytest.fixture
def half_recorded(sender: Persona, job_id: str) -> Callable[[], int]:
    """The job when 20 of its rows are records."""
    while job_of(sender, job_id).recorded < 20:
        take_turn(sender.tenant_id, UUID(job_id), seconds=0.0)

    def waiting() -> int:
        with tenant_scope(sender.tenant_id):
            due = NotificationRecord.objects.filter(status="pending", due_at__lte=timezone.now())
            return due.count()

    return waiting


def test_a_pause_holds_what_waits(sender: Persona, job_id: str, half_recorded: Callable[[], int]) -> None:
    assert half_recorded() == 20
    with tenant_scope(sender.tenant_id):
        before = dict(NotificationRecord.objects.values_list("id", "due_at"))
    sender.client.post(f"{BULK}/{job_id}/pause")
    assert half_recorded() == 0
    sender.client.post(f"{BULK}/{job_id}/resume")
    assert half_recorded() == 20
    with tenant_scope(sender.tenant_id):
        assert dict(NotificationRecord.objects.values_list("id", "due_at")) == before
    assert_complete(sender, work(sender, job_id))


def test_a_file_that_is_all_read_can_still_be_paused(sender: Persona, job_id: str) -> None:
    work(sender, job_id)
    assert sender.client.post(f"{BULK}/{job_id}/pause").json()["status"] == "paused"
    assert sender.client.post(f"{BULK}/{job_id}/resume").json()["status"] == "completed"
    assert_complete(sender, sender.client.get(f"{BULK}/{job_id}").json())


def test_cancel_midway(sender: Persona, job_id: str, half_recorded: Callable[[], int]) -> None:
    assert sender.client.post(f"{BULK}/{job_id}/cancel").json()["status"] == "cancelled"
    assert half_recorded() == 0
    assert work(sender, job_id)["progress"]["recorded"] == 20
    batch = job_of(sender, job_id).batch
    assert (batch.status, batch.total, batch.cancelled, batch.in_progress) == ("cancelled", 20, 20, 0)
    assert sender.client.post(f"{BULK}/{job_id}/cancel").status_code == 409
    assert sender.client.post(f"{BULK}/{job_id}/resume").status_code == 409


def test_a_batch_that_is_cancelled_stops_its_file(
    sender: Persona, job_id: str, half_recorded: Callable[[], int]
) -> None:
    batch_id = job_of(sender, job_id).batch_id
    assert sender.client.post(f"/api/v1/services/notifications/batches/{batch_id}/cancel").status_code == 200
    assert work(sender, job_id)["status"] == "cancelled"
    assert half_recorded() == 0


def test_a_row_that_is_missing_is_found_by_the_proof(sender: Persona, job_id: str) -> None:
    while job_of(sender, job_id).recorded < ROWS:
        take_turn(sender.tenant_id, UUID(job_id), seconds=0.0)
    with tenant_scope(sender.tenant_id):
        lost = StagedRow.objects.order_by("id")[30].id
        NotificationRecord.objects.filter(id=lost).delete()
    job = work(sender, job_id)
    assert job["status"] == "completed"
    with tenant_scope(sender.tenant_id):
        assert NotificationRecord.objects.filter(id=lost).exists()
        assert NotificationRecord.objects.count() == ROWS


def test_a_file_that_always_fails_stops_and_says_so(
    sender: Persona, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> int:
        raise OSError("the disk is on fire")

    with monkeypatch.context() as patch:
        patch.setattr(staging, "stage", broken)
        for _ in range(STUMBLES + 1):
            take_turn(sender.tenant_id, UUID(job_id))
            lease_runs_out(sender, job_id)
    job = sender.client.get(f"{BULK}/{job_id}").json()
    assert (job["status"], job["detail"]) == ("paused", "Stopped after several failures; resume to try again.")
    assert sender.client.post(f"{BULK}/{job_id}/resume").status_code == 200
    assert_complete(sender, work(sender, job_id))
