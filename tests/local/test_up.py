"""``manage.py up`` as a process: taken ports, a second one, single services, kills, the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from notification_service.local.control import NotRunning, RequestRefused, ask, wait_for_state
from notification_service.local.environment import local_setup
from notification_service.local.ports import free_ports, is_free
from notification_service.local.processes import leftovers
from notification_service.local.up import down, reset

ROOT = Path(__file__).resolve().parents[2]
# The real servers, and a small web server in the place of the application, which has tests of its own.
PROGRAM = """
import sys
from pathlib import Path
from notification_service.local import up
from notification_service.local.services import answers, local_services
from notification_service.local.supervisor import Service

def servers_and_a_page(setup):
    web = Service(
        name="web",
        command=lambda: [sys.executable, "-m", "http.server", str(setup.port), "--bind", "127.0.0.1"],
        environment=setup.environment(),
        needs=("postgres", "redis"),
        ready=lambda: answers(setup.base_url),
    )
    return [*(one for one in local_services(setup) if one.name in ("postgres", "redis")), web]

up.local_services = servers_and_a_page
try:
    up.up(Path(sys.argv[1]))
except up.UpFailed as error:
    sys.exit(str(error))
"""
DEMO = {
    "base_url": "http://127.0.0.1:1",
    "sandbox_url": "http://127.0.0.1:2",
    "demo_url": "http://127.0.0.1:1/demo/",
    "admin": {"email": "ada@acme.example", "password": "analytical"},
    "member": {"email": "grace@acme.example", "password": "compiler"},
    "token": "secret-token",
}


class Checkout:
    """A directory in which ``up`` runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.local = root / ".local"
        (self.port,) = free_ports(1)
        self.local.mkdir()
        (self.local / "demo.json").write_text(json.dumps(DEMO))

    def start(self) -> subprocess.Popen[str]:
        free = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.root)],
            cwd=ROOT,
            env={**free, "PORT": str(self.port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_until_ready(self) -> None:
        self.wait_for(lambda: all(state == "ready" for state in self.states().values()))

    def states(self) -> dict[str, str]:
        try:
            return {one["name"]: one["state"] for one in ask(self.local, "status")["services"]}
        except NotRunning:
            return {"supervisor": "not running"}

    def pid(self, name: str) -> int:
        pids: dict[str, Any] = {one["name"]: one["pid"] for one in ask(self.local, "status")["services"]}
        return int(pids[name] or 0)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, self.states()
            time.sleep(0.1)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    checkout = Checkout(tmp_path)
    yield checkout
    reset(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_from_the_panel_to_the_end(checkout: Checkout, number: signal.Signals) -> None:
    process = checkout.start()
    checkout.wait_until_ready()
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert not leftovers(checkout.local)
    for expected in (
        "http://127.0.0.1:1/api/docs/",
        "/admin/",
        "analytical",
        "curl -sS",
        "{{name}}",
        "ada@example.com",
    ):
        assert expected in said
    assert "secret-token" not in said
    assert (
        said.index("database system is ready") < said.index("/api/docs/") < said.index("database system is shut down")
    )
    assert "\x1b[" not in said


def test_the_token_of_the_panel_can_be_pasted(checkout: Checkout) -> None:
    process = checkout.start()
    checkout.wait_until_ready()
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    header = next(line for line in said.splitlines() if "Authorization" in line).strip().removesuffix("\\")
    shown = subprocess.run(
        ["sh", "-c", f"printf '%s' {header.removeprefix('-H')}"], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "Authorization: Bearer secret-token"


def test_a_second_one_says_so_and_shows_the_panel(checkout: Checkout) -> None:
    first = checkout.start()
    checkout.wait_until_ready()
    second = checkout.start()
    said, _ = second.communicate(timeout=30)
    assert second.returncode == 0
    assert said.startswith("It is already running here")
    assert "/api/docs/" in said
    assert first.poll() is None
    assert down(checkout.root) == "stopped"
    assert first.wait(30) == 0
    assert down(checkout.root) == "nothing was running"


def test_a_taken_port_is_one_line_before_anything_starts(checkout: Checkout) -> None:
    taken = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(checkout.port), "--bind", "127.0.0.1"], stderr=subprocess.DEVNULL
    )
    try:
        checkout.wait_for(lambda: not is_free(checkout.port))
        process = checkout.start()
        said, _ = process.communicate(timeout=30)
    finally:
        taken.kill()
        taken.wait()
    assert process.returncode == 1
    assert said == f"Port {checkout.port} is taken; free it or run: PORT={checkout.port + 1} make up\n"
    assert not (checkout.local / "postgres").exists()


def test_single_services_stop_and_start_and_come_back_from_a_kill(checkout: Checkout) -> None:
    process = checkout.start()
    checkout.wait_until_ready()
    setup = local_setup(checkout.root, {})
    assert setup.postgres
    assert setup.redis
    with psycopg.connect(setup.postgres.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")

    ask(checkout.local, "stop", "redis")
    wait_for_state(checkout.local, "redis", "stopped")
    with redis.Redis.from_url(setup.redis.url) as client, pytest.raises(redis.ConnectionError):
        client.ping()
    ask(checkout.local, "start", "redis")
    wait_for_state(checkout.local, "redis", "ready")
    with pytest.raises(RequestRefused, match="postgres, redis, web"):
        ask(checkout.local, "stop", "rabbit")

    for name in ("redis", "postgres", "web"):
        before = checkout.pid(name)
        os.kill(before, signal.SIGKILL)
        checkout.wait_for(lambda name=name, before=before: checkout.pid(name) not in (0, before))
        wait_for_state(checkout.local, name, "ready")
    with psycopg.connect(setup.postgres.url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)


def test_after_a_kill_of_everything_it_comes_up_with_its_data_and_urls(checkout: Checkout) -> None:
    process = checkout.start()
    checkout.wait_until_ready()
    setup = local_setup(checkout.root, {})
    assert setup.postgres
    with psycopg.connect(setup.postgres.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    process.kill()
    process.wait()
    if sys.platform == "linux":
        checkout.wait_for(lambda: not leftovers(checkout.local))

    again = checkout.start()
    checkout.wait_until_ready()
    assert local_setup(checkout.root, {}).ports == setup.ports
    with psycopg.connect(setup.postgres.url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=30)


def test_reset_forgets_everything(checkout: Checkout) -> None:
    process = checkout.start()
    checkout.wait_until_ready()
    data = (checkout.local / "postgres" / "data").resolve()
    assert data.exists()
    assert reset(checkout.root).startswith("stopped; deleted")
    assert process.wait(30) == 0
    assert not data.exists()
    assert {path.name for path in checkout.local.iterdir()} == {"up.lock"}
