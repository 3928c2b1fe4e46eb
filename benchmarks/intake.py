"""I1: accept one notification, durable before the 2xx, 64 connections, authenticated.

Both sides get the same body from the same load generator, on two processes each; half of our requests carry an
``Idempotency-Key``. Nobody sends meanwhile. Counted is what stands in the table: exactly the 2xx answers.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from benchmarks import service
from benchmarks.http_load import Load, Report, generate
from benchmarks.meter import Meter, Usage
from benchmarks.results import Result, median
from benchmarks.scene import Scene
from benchmarks.stage import BenchmarkFailed, Program
from notification_service.local.ports import free_ports

TARGET = ">= 6x (moonshot 12x)"
_FIRST_TARGET = 6.0
CONNECTIONS = 64
BODY = json.dumps(
    {
        "channel": "email",
        "recipient": "ada{n}@example.com",
        "content": {"subject": "Hi {{name}}", "body": "<p>Welcome, {{name}}. Your order has been sent.</p>"},
        "context": {"name": "Ada"},
    }
)
PATH = "/api/notifications/records/"
_BASELINE_KINDS = {"sync": ("--worker-class=sync",), "gthread": ("--worker-class=gthread", "--threads=8")}


@dataclass(slots=True)
class Side:
    """One way to accept: its server, its load, its table, and the reports of its rounds."""

    name: str
    load: Load
    meter: Meter
    reports: list[Report] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return median([report.rate for report in self.reports])

    @property
    def cpu(self) -> float:
        """Microseconds of processor time a request."""
        pairs = zip(self.usages, self.reports, strict=True)
        return median([usage.per_message(report.accepted) for usage, report in pairs])

    @property
    def p99(self) -> float:
        return median([report.p99 for report in self.reports])

    @property
    def p50(self) -> float:
        return median([report.p50 for report in self.reports])


def run(scene: Scene) -> Result:
    """Measure both sides in turn."""
    process_counts = (1, 2) if scene.scale.is_full else (2,)
    kinds = ("sync", "gthread") if scene.scale.is_full else ("gthread",)  # the better one of earlier full runs
    with _servers(scene, process_counts, kinds) as (ours, theirs):
        for side in (*ours, *theirs):
            generate(_timed(side.load, 0.3))  # warm
        for _ in range(scene.scale.rounds):
            for baseline in theirs:
                _clear_baseline(scene)
                _measure(scene, baseline, _rows_of_baseline)
            for side in ours:
                service.clear()
                _measure(scene, side, _rows)
    service.clear()
    best, usual = max(ours, key=lambda side: side.rate), max(theirs, key=lambda side: side.rate)
    ratio = best.rate / usual.rate
    return Result(
        "I1",
        f"{best.rate:,.0f}/s, p99 {best.p99 * 1000:.0f} ms, {best.cpu:,.0f} us CPU ({best.name})",
        f"{usual.rate:,.0f}/s, {usual.cpu:,.0f} us CPU ({usual.name})",
        ratio,
        TARGET,
        ratio >= _FIRST_TARGET,
        {
            side.name: {
                "rate": round(side.rate, 1),
                "p50_ms": round(side.p50 * 1000, 2),
                "p99_ms": round(side.p99 * 1000, 2),
                "cpu_us": round(side.cpu, 1),
                "machine_busy_with_others": [round(usage.others, 2) for usage in side.usages],
                "rates": [round(report.rate, 1) for report in side.reports],
                "accepted": [report.accepted for report in side.reports],
            }
            for side in (*ours, *theirs)
        },
    )


@contextmanager
def _servers(
    scene: Scene, process_counts: tuple[int, ...], kinds: tuple[str, ...]
) -> Iterator[tuple[list[Side], list[Side]]]:
    programs: list[Program] = []
    ours, theirs = [], []
    who = service.company(f"intake-{secrets.token_hex(3)}", {"email": service.smtp_credential(scene.smtp.port)})
    headers = {"X-API-Key": who.key, "X-API-Secret": who.secret}
    try:
        for count in process_counts:
            program, port = service.start_web(scene.stage, processes=count)
            programs.append(program)
            load = Load(port, PATH, BODY, headers, CONNECTIONS, scene.scale.seconds, keys=True)
            ours.append(Side(f"{count} process{'es' if count > 1 else ''}", load, Meter(scene.stage, [program])))
        token = baseline_token(scene)
        for kind in kinds:
            program, port = start_gunicorn(scene, kind, _BASELINE_KINDS[kind])
            programs.append(program)
            sent = {"Authorization": f"Token {token}"}
            load = Load(port, "/api/notifications/", BODY, sent, CONNECTIONS, scene.scale.seconds)
            theirs.append(Side(f"gunicorn {kind}", load, Meter(scene.stage, [program])))
        for program in programs:
            program.wait()
        yield ours, theirs
    finally:
        for program in programs:
            program.stop()


def start_gunicorn(scene: Scene, kind: str, options: tuple[str, ...] = ()) -> tuple[Program, int]:
    """Start the baselines' web server with two workers of a kind; return it and its port."""
    (port,) = free_ports(1)
    program = scene.stage.start(
        f"gunicorn-{kind}",
        *("-m", "gunicorn", "benchmarks.baselines.wsgi:application", "--workers=2", f"--bind=127.0.0.1:{port}"),
        *options,
        environment=scene.baseline_environment,
        ready=lambda: service.answers(f"http://127.0.0.1:{port}/api/notifications/"),
    )
    return program, port


def _measure(scene: Scene, side: Side, rows: Callable[[Scene], int]) -> None:
    """One round. Raises ``BenchmarkFailed`` unless the table holds as many rows as answers were 2xx."""
    # Numbers go on from round to round, so that no idempotency key comes twice.
    first = 1_000_000 * (len(side.reports) + 1)
    side.meter.start()
    report = generate(_timed(side.load, scene.scale.seconds, first))
    side.usages.append(side.meter.stop())
    if (found := rows(scene)) != report.accepted:
        raise BenchmarkFailed(f"I1 {side.name}: {report.accepted} answers were 2xx, but {found} rows are in the table")
    side.reports.append(report)


def _timed(load: Load, seconds: float, first: int = 0) -> Load:
    return replace(load, seconds=seconds, first=first)


def _rows(_: Scene) -> int:
    return sum(service.statuses().values())


def _rows_of_baseline(scene: Scene) -> int:
    return int(scene.stage.baseline("SELECT count(*) FROM baselines_notification")[0][0])


def _clear_baseline(scene: Scene) -> None:
    scene.stage.baseline("TRUNCATE baselines_notification")


def baseline_token(scene: Scene) -> str:
    """Make a person in the baselines' database; return the token."""
    token = secrets.token_hex(20)
    scene.stage.baseline(
        "WITH person AS (INSERT INTO auth_user (username, password, is_superuser, first_name, last_name, email,"
        " is_staff, is_active, date_joined) VALUES (%s, '', false, '', '', '', false, true, now()) RETURNING id)"
        " INSERT INTO authtoken_token (key, user_id, created) SELECT %s, id, now() FROM person",
        (f"api-{token[:8]}", token),
    )
    return token
