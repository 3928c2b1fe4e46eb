"""Servers for one run of the tests or benchmarks, in a directory of its own that goes with it."""

from __future__ import annotations

import fcntl
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from notification_service.local.ports import free_ports
from notification_service.local.postgres import EmbeddedPostgres
from notification_service.local.processes import stop_leftovers
from notification_service.local.redis import EmbeddedRedis


@contextmanager
def servers_of_a_run(runs: Path, *, durable: bool) -> Iterator[tuple[Path, EmbeddedPostgres, EmbeddedRedis]]:
    """Start fresh servers in a new directory below ``runs`` on free ports; give it and them.

    They die with this process, and with the thread that entered this (enter it from the main thread). What killed runs
    left behind is removed first. Raises ``ServerFailed``.
    """
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
        postgres = EmbeddedPostgres(directory / "postgres", postgres_port, durable=durable)
        stack.callback(postgres.destroy)
        redis = EmbeddedRedis(directory / "redis", redis_port, durable=durable)
        stack.enter_context(redis.running(owner=directory))
        stack.enter_context(postgres.running(owner=directory))
        yield directory, postgres, redis


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
