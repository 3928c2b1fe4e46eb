"""B1: a file of recipients from its upload to the last mail: what a tenant's marketer waits for.

Both sides get the same kind of file over HTTP (one row in twenty a duplicate), check and store its rows, and send each
person one mail of the template of S1, with a worker of two processes. The clock runs from the upload's first octet to
the last row that is ``success`` (baseline: ``sent``). What the sink got must be exact. The baseline sends fewer rows:
its pace does not depend on how many there are.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Final

from benchmarks import service
from benchmarks.bulk_csv import UPLOAD, Table, upload, wait_for_job, write_table
from benchmarks.campaign import MAIL, Sent, figures, template_of
from benchmarks.intake import baseline_token, start_gunicorn
from benchmarks.meter import Meter
from benchmarks.results import Result
from benchmarks.scene import Scene
from benchmarks.service import Company
from benchmarks.sinks.client import SinkClient
from benchmarks.stage import BenchmarkFailed, Program

TARGET = ">= 10x"
_FIRST_TARGET: Final = 10.0
_ROWS: Final = {"tiny": 60, "quick": 10_000, "full": 100_000}
_LIMIT: Final = 300.0


@dataclass(frozen=True, slots=True)
class Side:
    """A web server and a worker, and how to ask them."""

    meter: Meter
    port: int
    sink: SinkClient


@dataclass(frozen=True, slots=True)
class Mailed(Sent):
    """A round of ours. ``recorded`` is how many seconds after the upload began the last row was a record."""

    recorded: float


def run(scene: Scene) -> Result:
    """Measure both sides in turn."""
    rows, fewer = _ROWS[scene.scale.name], scene.scale.baseline_mails
    many = write_table(scene.stage.directory / "many.csv", rows)
    few = write_table(scene.stage.directory / "few.csv", fewer)
    who = service.company(f"mailing-{secrets.token_hex(3)}", {"email": service.smtp_credential(scene.smtp.port)})
    template_of(who, MAIL)
    token = baseline_token(scene)
    service.release_workers(scene)
    scene.release("baseline-worker")
    media = {"MEDIA_ROOT": str(scene.stage.directory / "media")}
    scene.stage.environment.update(media)
    scene.baseline_environment.update(media)
    programs: list[Program] = []
    try:
        ours, theirs = _start(scene, programs)
        mail_baseline(theirs, scene, token, write_table(scene.stage.directory / "first.csv", min(fewer, 40)))
        mail_ours(ours, who, few)
        baseline, own = [], []
        for _ in range(scene.scale.rounds):
            baseline.append(mail_baseline(theirs, scene, token, few))
            own.append(mail_ours(ours, who, many))
    finally:
        for program in programs:
            program.stop()
    service.clear()
    return _result(many, few, own, baseline)


def mail_ours(side: Side, who: Company, table: Table) -> Mailed:
    """Upload a file and wait for the last mail. Raises ``BenchmarkFailed`` if what arrived is not exact."""
    service.clear()
    service.settle()
    side.sink.reset()
    side.meter.start()
    began, started = time.time(), time.monotonic()
    fields = {"channel": "email", "template": MAIL.template}
    job_id = upload(side.port, UPLOAD, table.path, fields, {"X-API-Key": who.key, "X-API-Secret": who.secret})
    side.sink.wait(table.distinct, seconds=_LIMIT)
    ended = service.wait_for_success(table.distinct, seconds=30, who=who)
    usage = side.meter.stop()
    _check("B1", side.sink, table)
    job = wait_for_job(who, job_id)
    if job.finished_at is None or (job.recorded, job.duplicates) != (table.distinct, table.rows - table.distinct):
        raise BenchmarkFailed(f"B1: the job has {job.recorded} records and {job.duplicates} duplicates ({job.status})")
    return Mailed(
        table.rows / (ended - started),
        usage.per_message(table.rows),
        usage.others,
        job.finished_at.timestamp() - began,
    )


def mail_baseline(side: Side, scene: Scene, token: str, table: Table) -> Sent:
    """Upload a file to the baseline. Raises ``BenchmarkFailed`` like ``mail_ours``."""
    scene.stage.baseline("TRUNCATE baselines_campaignrecipient, baselines_campaign")
    side.sink.reset()
    side.meter.start()
    started = time.monotonic()
    fields = {"subject": str(MAIL.content["subject"]), "template": MAIL.template}
    upload(side.port, "/api/uploads/", table.path, fields, {"Authorization": f"Token {token}"})
    side.sink.wait(table.distinct, seconds=_LIMIT)
    while scene.stage.baseline("SELECT 1 FROM baselines_campaignrecipient WHERE status <> 'sent' LIMIT 1"):
        if time.monotonic() - started > _LIMIT + 30:
            raise BenchmarkFailed("B1: the baseline did not finish")
        time.sleep(0.01)
    seconds = time.monotonic() - started
    usage = side.meter.stop()
    _check("B1 baseline", side.sink, table)
    return Sent(table.rows / seconds, usage.per_message(table.rows), usage.others)


def _start(scene: Scene, programs: list[Program]) -> tuple[Side, Side]:
    """Start both sides' servers and workers; whatever was started is in ``programs``, even if something fails."""
    web, port = service.start_web(scene.stage)
    programs.append(web)
    programs.append(service.start_worker(scene.stage, name="mailing-worker"))
    gunicorn, their_port = start_gunicorn(scene, "sync")
    programs.append(gunicorn)
    programs.append(scene.start_baseline_worker())
    for program in programs:
        program.wait()
    ours = Side(Meter(scene.stage, programs[:2]), port, scene.smtp)
    return ours, Side(Meter(scene.stage, programs[2:]), their_port, scene.smtp)


def _check(name: str, sink: SinkClient, table: Table) -> None:
    stats = sink.stats()
    if (stats.messages, stats.distinct) != (table.distinct, table.distinct):
        raise BenchmarkFailed(f"{name}: {table.distinct} mails should be there, not {stats.messages}")


def _result(many: Table, few: Table, ours: list[Mailed], theirs: list[Sent]) -> Result:
    our, their = figures(ours), figures(theirs)
    ratio = our["rate"] / their["rate"]
    return Result(
        "B1",
        f"{our['rate']:,.0f} rows/s, {our['cpu_us']:,.0f} us CPU ({many.rows:,} x {len(ours)})",
        f"{their['rate']:,.0f} rows/s, {their['cpu_us']:,.0f} us CPU",
        ratio,
        TARGET,
        ratio >= _FIRST_TARGET,
        {
            "ours": {**our, "recorded_after_seconds": [round(one.recorded, 2) for one in ours]},
            "baseline": their,
            "cpu_ratio": round(their["cpu_us"] / our["cpu_us"], 2),
            "rows": many.rows,
            "mails": many.distinct,
            "baseline_rows": few.rows,
        },
    )
