"""What the benchmarks of one run share: the stage, the sinks, the workers of both sides, the scale."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import django
from django.core.management import call_command

from benchmarks.sinks.client import SinkClient
from benchmarks.stage import ROOT, BenchmarkFailed, Program, Stage, stage
from notification_service.local.services import worker_answers

_BASELINE_WORKER = "baseline@worker"
_NO_SETTINGS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is sent. ``rounds`` of baseline and ours in turn; the median counts.

    The quick scale sends what a side can in ``seconds``, and no more than the given number.
    """

    name: str
    rounds: int
    seconds: float  # of a round
    mails: int
    baseline_mails: int
    kills: int
    killed_mails: int
    critical_seconds: float
    bulk: int
    memory: int  # sends before the first look at a worker's memory; the second look is after ten times as many

    @property
    def is_full(self) -> bool:
        """Whether nothing is cut short."""
        return self.name == "full"

    def count(self, most: int, rate: float) -> int:
        """Return how many messages a side sends a round, given how many a second it managed when it was tried."""
        return min(most, max(50, int(rate * self.seconds))) if self.name == "quick" else most


TINY = Scale("tiny", 1, 0.4, 60, 8, 1, 300, 0.5, 300, 50)
QUICK = Scale("quick", 1, 1.2, 6_000, 300, 1, 2_000, 1.5, 15_000, 0)
FULL = Scale("full", 3, 10.0, 100_000, 2_000, 10, 100_000, 20.0, 300_000, 100_000)
SCALES = {scale.name: scale for scale in (TINY, QUICK, FULL)}


@dataclass(slots=True)
class Scene:
    """The running stage of one invocation."""

    stage: Stage
    scale: Scale
    smtp: SinkClient
    http: SinkClient
    baseline_environment: dict[str, str] = field(repr=False)

    kept: dict[str, Program] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def keep(self, name: str, start: Callable[[], Program]) -> Program:
        """Return the program of that name, started if it does not run; it stays for other benchmarks."""
        if name not in self.kept or self.kept[name].process.poll() is not None:
            self.kept[name] = start()
        return self.kept[name]

    def keep_server(self, name: str, start: Callable[[], tuple[Program, int]]) -> tuple[Program, int]:
        """Like ``keep``, for a program that listens: return its port, too."""

        def started() -> Program:
            program, self.ports[name] = start()
            return program

        return self.keep(name, started), self.ports[name]

    def release(self, *names: str) -> None:
        """Stop what was kept: all of it, or what has one of these names."""
        for name in names or tuple(self.kept):
            if program := self.kept.pop(name, None):
                program.stop()

    def start_baseline_worker(self, settings: Mapping[str, str] = _NO_SETTINGS) -> Program:
        """Start the baselines' Celery worker with two processes; it may still be starting."""
        return self.stage.start(
            "baseline-worker",
            *("-m", "celery", "-A", "benchmarks.baselines", "worker", "--concurrency=2"),
            *(f"--hostname={_BASELINE_WORKER}", "--loglevel=WARNING"),
            environment={**self.baseline_environment, **settings},
            ready=lambda: worker_answers(self.baseline_environment["REDIS_URL"], _BASELINE_WORKER),
        )


@contextmanager
def scene(scale: Scale, **settings: str) -> Iterator[Scene]:
    """Start what all benchmarks need, migrate both databases, and load Django with the service's settings."""
    with stage(**settings) as running:
        smtp, http = running.sink("smtp"), running.sink("http")
        ports = {"SINK_SMTP_PORT": str(smtp.port), "SINK_HTTP_PORT": str(http.port)}
        theirs = {**running.baseline_environment, **ports}
        command = [sys.executable, "-m", "django", "migrate", "--verbosity=0"]
        with subprocess.Popen(command, env=theirs, cwd=ROOT, stderr=subprocess.PIPE, text=True) as migration:
            os.environ.update(running.environment)
            django.setup()
            call_command("migrate", verbosity=0)
            _, errors = migration.communicate(timeout=60)
        if migration.returncode:
            raise BenchmarkFailed(f"the baselines' tables could not be made: {errors[-1000:]}")
        yield Scene(running, scale, smtp, http, theirs)
