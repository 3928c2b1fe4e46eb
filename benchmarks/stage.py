"""Where a benchmark plays: durable servers, sinks and processes of its own on loopback, all gone afterwards."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import psycopg

from benchmarks.sinks.client import SinkClient
from notification_service.local.ports import free_ports
from notification_service.local.postgres import EmbeddedPostgres
from notification_service.local.processes import kill_process, start_process
from notification_service.local.redis import EmbeddedRedis
from notification_service.local.runs import servers_of_a_run

ROOT = Path(__file__).resolve().parents[1]
BASELINE_DATABASE = "baseline"


class BenchmarkFailed(RuntimeError):
    """A benchmark could not be carried out, or what arrived is not what was sent."""


@dataclass(slots=True)
class Stage:
    """Running servers. ``environment`` is that of the service, ``baseline_environment`` that of the baselines."""

    directory: Path
    postgres: EmbeddedPostgres
    redis: EmbeddedRedis
    environment: dict[str, str] = field(repr=False)
    baseline_environment: dict[str, str] = field(repr=False)
    _stack: ExitStack = field(repr=False)

    def start(
        self,
        name: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        ready: Callable[[], bool] = lambda: True,
        seconds: float = 40.0,
    ) -> Program:
        """Start ``python ARGUMENTS…`` and return it at once; ``Program.wait`` waits until ``ready``."""
        log = self._stack.enter_context((self.directory / f"{name}.log").open("ab"))
        process = start_process(
            [sys.executable, *arguments],
            owner=self.directory,
            environment=environment or self.environment,
            directory=ROOT,
            output=log,
        )
        program = Program(name, process, ready, seconds, self.directory / f"{name}.log")
        self._stack.callback(program.stop)
        return program

    def server_pids(self) -> list[int]:
        """Return the process ids of PostgreSQL (its postmaster) and Redis."""
        children = psutil.Process().children()
        ports = (f"port={self.postgres.port}", str(self.redis.directory))
        return [child.pid for child in children if any(port in " ".join(child.cmdline()) for port in ports)]

    def sink(self, kind: str) -> SinkClient:
        """Start a sink (``smtp`` or ``http``) and return its client when it answers."""
        port, control_port = free_ports(2)
        client = SinkClient(port, control_port)
        arguments = ("-m", f"benchmarks.sinks.{kind}_sink", f"--port={port}", f"--control-port={control_port}")
        self.start(f"{kind}-sink", *arguments, ready=client.ready).wait()
        self._stack.callback(client.close)
        return client

    def baseline(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Run one statement in the baselines' database and return its rows, if it has any."""
        with psycopg.connect(self.baseline_environment["DATABASE_URL"], autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []


@dataclass(slots=True)
class Program:
    """A running child process."""

    name: str
    process: subprocess.Popen[bytes]
    ready: Callable[[], bool]
    seconds: float
    log: Path

    def wait(self) -> Program:
        """Wait until it answers. Raises ``BenchmarkFailed`` with its last words."""
        deadline = time.monotonic() + self.seconds
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                words = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise BenchmarkFailed(f"{self.name} does not answer; it said last:\n{words}")
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """Kill it and what it started: nothing of it is needed any more. May be called twice."""
        kill_process(self.process)


@contextmanager
def stage(**settings: str) -> Any:
    """Start PostgreSQL (fsync and synchronous commit on) and Redis in ``.local/bench/``, and stop them at the end.

    ``settings`` are added to the environment of the service. What killed runs left behind is removed first.
    """
    with servers_of_a_run(ROOT / ".local" / "bench", durable=True) as (directory, postgres, redis):
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {BASELINE_DATABASE}".encode())
        ours = _environment(directory, postgres.url, redis.url) | settings
        theirs = {
            **ours,
            "DATABASE_URL": postgres.url.rpartition("/")[0] + f"/{BASELINE_DATABASE}",
            "REDIS_URL": redis.url.rpartition("/")[0] + "/1",
            "DJANGO_SETTINGS_MODULE": "benchmarks.baselines.settings",
        }
        with ExitStack() as stack:
            yield Stage(directory, postgres, redis, ours, theirs, stack)


def _environment(directory: Path, database_url: str, redis_url: str) -> dict[str, str]:
    """A production's environment: no debugging, logs as JSON."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if name in os.environ}
    return {
        **inherited,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "DJANGO_SETTINGS_MODULE": "notification_service.settings",
        "DJANGO_SECRET_KEY": secrets.token_urlsafe(50),
        "ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "DEBUG": "false",
        "HTTPS": "false",
        "ALLOWED_HOSTS": "127.0.0.1",
        "OUTBOUND_ALLOWED_NETWORKS": "127.0.0.0/8",
        "LOG_DIR": str(directory / "logs"),
        "PYTHONUNBUFFERED": "1",
    }
