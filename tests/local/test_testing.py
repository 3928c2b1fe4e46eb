"""The servers of a test run: beside each other, gone with their process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import redis

from notification_service.local.processes import leftovers
from notification_service.local.testing import start_test_servers

ROOT = Path(__file__).resolve().parents[2]


def test_two_runs_beside_each_other(tmp_path: Path) -> None:
    one, two = start_test_servers(tmp_path), start_test_servers(tmp_path)
    try:
        assert one.directory != two.directory
        with psycopg.connect(one.database_url) as first, psycopg.connect(two.database_url) as second:
            first.execute("CREATE TABLE mine (n int)")
            assert second.execute("SELECT to_regclass('mine')").fetchone() == (None,)
        with redis.Redis.from_url(one.redis_url) as client:
            assert client.ping()
        assert one.database_url not in repr(one)
    finally:
        one.stop()
        two.stop()
    assert not one.directory.exists()
    assert not leftovers(one.directory)


def test_servers_die_with_a_killed_run_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from notification_service.local.testing import start_test_servers
servers = start_test_servers(Path({str(tmp_path)!r}))
print(servers.directory, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )
    directory = Path(done.stdout.strip())
    assert directory.exists()
    if sys.platform == "linux":
        deadline = time.monotonic() + 10
        while leftovers(directory) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not leftovers(directory)
    servers = start_test_servers(tmp_path)
    try:
        assert not directory.exists()
        assert not leftovers(directory)
    finally:
        servers.stop()


def test_a_command_runs_on_servers_of_its_own(tmp_path: Path) -> None:
    code = "import os, psycopg; psycopg.connect(os.environ['DATABASE_URL']).execute('SELECT 1'); raise SystemExit(7)"
    command = [sys.executable, "-m", "notification_service.local.testing", sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, timeout=60, check=False)
    assert done.returncode == 7
    assert [path.name for path in (tmp_path / ".local" / "test").iterdir()] == ["lock"]
