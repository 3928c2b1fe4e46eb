"""Own servers for a run of the tests: beside ``make up``, beside other runs and other checkouts.

``python -m notification_service.local.testing COMMAND …`` runs a command that needs a database on such servers.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from notification_service.local.runs import servers_of_a_run


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
    with ExitStack() as stack:
        directory, postgres, redis = stack.enter_context(
            servers_of_a_run(root.absolute() / ".local" / "test", durable=False)
        )
        return TestServers(postgres.url, redis.url, directory, stack.pop_all())


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
