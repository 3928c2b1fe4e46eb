"""I2: a file of recipients to committed records, one row in twenty a duplicate, through the upload's own door.

Ours runs from the first octet of the upload to the job's completion, which proves that every staged row is a record.
The baseline's task gets the path of a file that is there already. Both sides have one worker process; nobody sends
meanwhile (our file is scheduled for later). Counted are the rows in the tables: exactly the distinct addresses.
"""

from __future__ import annotations

import http.client
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from celery import Celery
from django.utils import timezone

from benchmarks import service
from benchmarks.meter import Meter
from benchmarks.results import Result, median
from benchmarks.scene import Scene
from benchmarks.service import Company
from benchmarks.stage import BenchmarkFailed, Program
from notification_service.lib.scope import tenant_scope
from notification_service.local.services import worker_answers
from notifications.batches.models import Job, JobStatus

TARGET = ">= 3x (moonshot 6x)"
_FIRST_TARGET: Final = 3.0
#: One row in so many has the address of the row before it.
_DUPLICATES: Final = 20
_ROWS: Final = {"tiny": 60, "quick": 15_000, "full": 100_000}
_CONTENT: Final = {
    "subject": "{{name}}, your autumn news",
    "html": "<p>Dear {{name}},</p><p>see us in {{city}}: {{voucher}} is worth {{number}} euros.</p>",
}
_HOSTNAME: Final = "baseline@csv"
#: Where files are uploaded.
UPLOAD: Final = "/api/v1/services/notifications/bulk/csv"


@dataclass(frozen=True, slots=True)
class Table:
    """A file, its rows, and how many different addresses they have."""

    path: Path
    rows: int
    distinct: int


@dataclass(frozen=True, slots=True)
class Read:
    """One round: rows a second, microseconds of processor time each, and how busy others kept the machine."""

    rate: float
    cpu: float
    others: float


def run(scene: Scene) -> Result:
    """Measure both sides in turn."""
    table = write_table(scene.stage.directory / "recipients.csv", _ROWS[scene.scale.name])
    media = {"MEDIA_ROOT": str(scene.stage.directory / "media")}
    who = service.company(f"csv-{secrets.token_hex(3)}", {"email": service.smtp_credential(scene.smtp.port)})
    service.release_workers(scene)  # they would take our turns
    scene.stage.environment.update(media)
    web, port = service.start_web(scene.stage)
    programs = [web, service.start_worker(scene.stage, concurrency=1, name="csv-worker"), _baseline_worker(scene)]
    try:
        for program in programs:
            program.wait()
        meters = Meter(scene.stage, programs[:2]), Meter(scene.stage, programs[2:])
        small = write_table(scene.stage.directory / "few.csv", min(table.rows, 500))
        read_ours(meters[0], who, port, small)
        read_baseline(meters[1], scene, small)
        theirs, ours = [], []
        for _ in range(scene.scale.rounds):
            theirs.append(read_baseline(meters[1], scene, table))
            ours.append(read_ours(meters[0], who, port, table))
    finally:
        for program in programs:
            program.stop()
    service.clear()
    return _result(table, scene.scale.rounds, ours, theirs)


def write_table(path: Path, rows: int) -> Table:
    """Write a file of people with four values each."""
    distinct = 0
    with path.open("w", encoding="utf-8") as file:
        file.write("recipient,name,city,voucher,number\n")
        for number in range(rows):
            repeats = number % _DUPLICATES == _DUPLICATES - 1
            distinct += not repeats
            person = number - 1 if repeats else number
            file.write(f"reader{person}@example.com,Reader {number},London,AUTUMN-{number},{number % 100}\n")
    return Table(path, rows, distinct)


def read_ours(meter: Meter, who: Company, port: int, table: Table) -> Read:
    """Upload the file and wait until its job is complete. Raises ``BenchmarkFailed`` if the records are not exact."""
    service.clear()
    service.settle()
    meter.start()
    started = time.monotonic()
    later = (timezone.now() + timedelta(days=1)).isoformat()
    fields = {"channel": "email", "content": json.dumps(_CONTENT), "scheduled_at": later}
    job_id = upload(port, UPLOAD, table.path, fields, {"X-API-Key": who.key, "X-API-Secret": who.secret})
    job = wait_for_job(who, job_id)
    seconds = time.monotonic() - started
    usage = meter.stop()
    found = sum(service.statuses(who).values())
    if (found, job.duplicates, job.broken) != (table.distinct, table.rows - table.distinct, 0):
        raise BenchmarkFailed(f"I2: {table.distinct} records should be there, not {found} ({job.detail})")
    return Read(table.rows / seconds, usage.per_message(table.rows), usage.others)


def read_baseline(meter: Meter, scene: Scene, table: Table) -> Read:
    """Have the baseline's task read the file. Raises ``BenchmarkFailed`` like ``read_ours``."""
    scene.stage.baseline("TRUNCATE baselines_campaignrecipient, baselines_campaign")
    campaign = "INSERT INTO baselines_campaign (subject, template) VALUES ('Autumn', 'mail') RETURNING id"
    (made,) = scene.stage.baseline(campaign)
    with Celery(broker=scene.baseline_environment["REDIS_URL"], set_as_current=False) as app:
        app.conf.task_ignore_result = True
        meter.start()
        started = time.monotonic()
        app.send_task("benchmarks.baselines.imports.import_csv", args=[made[0], str(table.path)])
        # The task marks the campaign when it has committed the last row.
        while not scene.stage.baseline("SELECT 1 FROM baselines_campaign WHERE subject = 'imported'"):
            if time.monotonic() - started > 300:
                raise BenchmarkFailed("I2: the baseline did not finish")
            time.sleep(0.02)
        seconds = time.monotonic() - started
    usage = meter.stop()
    found = scene.stage.baseline("SELECT count(*) FROM baselines_campaignrecipient")[0][0]
    if found != table.distinct:
        raise BenchmarkFailed(f"I2 baseline: {table.distinct} rows should be there, not {found}")
    return Read(table.rows / seconds, usage.per_message(table.rows), usage.others)


def _baseline_worker(scene: Scene) -> Program:
    arguments = ("-m", "celery", "-A", "benchmarks.baselines", "worker", "--concurrency=1")
    return scene.stage.start(
        "baseline-csv",
        *(*arguments, f"--hostname={_HOSTNAME}", "--loglevel=WARNING"),
        environment=scene.baseline_environment,
        ready=lambda: worker_answers(scene.baseline_environment["REDIS_URL"], _HOSTNAME),
    )


def upload(port: int, address: str, path: Path, fields: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """Upload a file as a browser does; return the ``id`` of the answer. Raises ``BenchmarkFailed``."""
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n\r\n'
    body = "".join([*parts, file]).encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    sent = {**headers, "Content-Type": f"multipart/form-data; boundary={boundary}"}
    connection.request("POST", address, body, sent)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    if answer.status != 202:
        raise BenchmarkFailed(f"the upload was answered {answer.status}: {said[:500]!r}")
    return str(json.loads(said)["id"])


def wait_for_job(who: Company, job_id: str) -> Job:
    """Wait until a job is complete. Raises ``BenchmarkFailed`` if it will not be."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        with tenant_scope(who.id):
            job = Job.objects.get(id=job_id)
        if job.status == JobStatus.COMPLETED:
            return job
        if job.status not in (JobStatus.QUEUED, JobStatus.RUNNING):
            raise BenchmarkFailed(f"the job is {job.status}: {job.detail}")
        time.sleep(0.02)
    raise BenchmarkFailed("the job did not finish")


def _result(table: Table, rounds: int, ours: list[Read], theirs: list[Read]) -> Result:
    our, their = _figures(ours), _figures(theirs)
    ratio = our["rate"] / their["rate"]
    return Result(
        "I2",
        f"{our['rate']:,.0f} rows/s, {our['cpu_us']:,.0f} us CPU ({table.rows:,} x {rounds})",
        f"{their['rate']:,.0f} rows/s, {their['cpu_us']:,.0f} us CPU",
        ratio,
        TARGET,
        ratio >= _FIRST_TARGET,
        {
            "ours": our,
            "baseline": their,
            "cpu_ratio": round(their["cpu_us"] / our["cpu_us"], 2),
            "rows": table.rows,
            "records": table.distinct,
        },
    )


def _figures(reads: list[Read]) -> Mapping[str, Any]:
    return {
        "rate": round(median([one.rate for one in reads]), 1),
        "rates": [round(one.rate, 1) for one in reads],
        "cpu_us": round(median([one.cpu for one in reads]), 1),
        "machine_busy_with_others": [round(one.others, 2) for one in reads],
    }
