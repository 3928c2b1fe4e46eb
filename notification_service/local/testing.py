"""Own servers for a run of the tests: beside ``make up``, beside other runs and other checkouts.

``python -m notification_service.local.testing COMMAND …`` runs a command that needs a database on such servers.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from notification_service.local.ports import free_ports
from notification_service.local.postgres import EmbeddedPostgres
from notification_service.local.processes import stop_leftovers
from notification_service.local.redis import EmbeddedRedis


@dataclass(frozen=True, slots=True)
class TestServers:
    """Running servers of one test run; ``stop()`` ends them and deletes their data."""

    __test__ = False  # no test case, whatever its name

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    directory: Path
    _cleanup: ExitStack = field(repr=False)

    def stop(self) -> None:
        """Stop the servers and delete what they held. May be called twice."""
        self._cleanup.close()


def start_test_servers(root: Path) -> TestServers:
    """Start fresh servers under ``root/.local/test/`` on free ports, in a second or two.

    They die with this process, and with the thread that called this (call it from the main thread). What killed runs
    left behind is removed first. Raises ``ServerFailed``.
    """
    runs = root.absolute() / ".local" / "test"
    runs.mkdir(parents=True, exist_ok=True)
    directory = runs / secrets.token_hex(4)
    with ExitStack() as stack:
        with (runs / "lock").open("w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one at a time, so that nobody takes a run that begins for a dead one
            _remove_dead_runs(runs)
            directory.mkdir()
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            stack.enter_context(_claim(directory))
        postgres_port, redis_port = free_ports(2)
        postgres = EmbeddedPostgres(directory / "postgres", postgres_port, durable=False)
        stack.callback(postgres.destroy)
        redis = EmbeddedRedis(directory / "redis", redis_port, durable=False)
        stack.enter_context(redis.running(owner=directory))
        stack.enter_context(postgres.running(owner=directory))
        return TestServers(postgres.url, redis.url, directory, stack.pop_all())


def _claim(directory: Path) -> IO[str]:
    """Lock the directory for as long as this process lives and the file is open. Raises ``BlockingIOError``."""
    lock = (directory / "lock").open("w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise
    return lock


def _remove_dead_runs(runs: Path) -> None:
    for directory in filter(Path.is_dir, runs.iterdir()):
        with suppress(BlockingIOError), _claim(directory):
            stop_leftovers(directory)
            EmbeddedPostgres(directory / "postgres", 0).destroy()
            shutil.rmtree(directory, ignore_errors=True)


def main(command: list[str]) -> int:
    """Run ``command`` with ``DATABASE_URL`` and ``REDIS_URL`` of fresh servers; return its exit code."""
    servers = start_test_servers(Path.cwd())
    try:
        urls = {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url}
        return subprocess.call(command, env={**os.environ, **urls})
    finally:
        servers.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
