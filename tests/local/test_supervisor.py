"""The supervisor with real child processes: order, restarts, stops."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from notification_service.local.logs import LogSink
from notification_service.local.processes import leftovers
from notification_service.local.server import ServerFailed
from notification_service.local.supervisor import Request, Service, StartFailed, Supervisor
from tests.running_service import PATIENCE

SLEEP = "import time, sys; print('up', flush=True); time.sleep(600)"
# Notes the order in which the services end, and ends as it should.
NOTE_THE_END = """
import pathlib, signal, sys, time
def end(*_):
    with open({path!r}, "a") as file:
        file.write({name!r} + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
pathlib.Path({path!r} + ".{name}").touch()
time.sleep(600)
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


class Harness:
    """A supervisor, what it prints, and a second thread that plays the user."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.terminal = io.StringIO()
        self.ready = threading.Event()
        self.ended = threading.Event()
        self.failure: BaseException | None = None

    def service(self, name: str, program: str, **fields: Any) -> Service:
        return Service(name=name, command=lambda: [sys.executable, "-c", program], environment=os.environ, **fields)

    def run(self, services: list[Service], user: Callable[[], None]) -> None:
        """Run until ``user`` (in its own thread) returns; then ask the supervisor to end."""
        log = LogSink(self.directory / "logs", [service.name for service in services], self.terminal)
        self.supervisor = Supervisor(services, owner=self.directory, log=log, on_ready=self.ready.set)

        def play() -> None:
            try:
                user()
            except BaseException as error:  # shown by the main thread
                self.failure = error
            finally:
                self.supervisor.requests.put(Request("down"))

        thread = threading.Thread(target=play)
        thread.start()
        try:
            self.supervisor.run()
        finally:
            self.ended.set()
            thread.join(30)
        if self.failure:
            raise self.failure

    def ask(self, verb: str, name: str = "") -> dict[str, Any]:
        request = Request(verb, name)
        self.supervisor.requests.put(request)
        return request.answer.get(timeout=PATIENCE)

    def state(self, name: str) -> dict[str, Any]:
        return next(one for one in self.ask("status")["services"] if one["name"] == name)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"did not come true; the terminal: {self.terminal.getvalue()}"
            time.sleep(0.05)


def assert_ends(harness: Harness) -> None:
    assert harness.ended.wait(PATIENCE)


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def test_what_is_killed_comes_back(harness: Harness) -> None:
    def user() -> None:
        log = harness.directory / "logs" / "web.log"
        harness.wait_for(lambda: "up" in log.read_text().splitlines())
        pid = harness.state("web")["pid"]
        os.kill(pid, signal.SIGKILL)
        harness.wait_for(lambda: harness.state("web")["state"] == "ready" and harness.state("web")["pid"] != pid)
        harness.wait_for(lambda: log.read_text().splitlines().count("up") == 2)

    harness.run([harness.service("web", SLEEP)], user)
    assert "web │ [supervisor] was ended by SIGKILL; starts again in 0.5 s" in harness.terminal.getvalue()
    assert not leftovers(harness.directory)


def test_delays_double_while_it_keeps_dying(harness: Harness) -> None:
    def user() -> None:
        harness.wait_for(lambda: "in 2 s" in harness.terminal.getvalue())

    harness.run([harness.service("web", "raise SystemExit(3)")], user)
    said = [line for line in harness.terminal.getvalue().splitlines() if "exit code 3" in line]
    assert [line.rsplit(" in ", 1)[1] for line in said[:3]] == ["0.5 s", "1 s", "2 s"]


def test_children_of_a_killed_service_go_too(harness: Harness) -> None:
    fork = "import os, time; child = os.fork(); print('pair', flush=True); time.sleep(600)"

    def user() -> None:
        assert harness.ready.wait(PATIENCE)
        parent = psutil.Process(harness.state("worker")["pid"])
        harness.wait_for(lambda: bool(parent.children()))
        child = parent.children()[0]
        parent.kill()
        harness.wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)

    harness.run([harness.service("worker", fork)], user)


def test_what_a_killed_service_leaves_has_its_time(harness: Harness) -> None:
    fork = "import os, time; child = os.fork() and os.fork(); print('three', flush=True); time.sleep(600)"

    def user() -> None:
        assert harness.ready.wait(PATIENCE)
        parent = psutil.Process(harness.state("worker")["pid"])
        harness.wait_for(lambda: len(parent.children()) == 2)
        children = parent.children()
        parent.kill()
        harness.wait_for(lambda: harness.state("worker")["pid"] not in (None, parent.pid))
        assert all(child.is_running() for child in children), "a new one works beside them"
        harness.wait_for(lambda: not any(child.is_running() and child.status() != "zombie" for child in children))

    harness.run([harness.service("worker", fork, linger=5.0)], user)
    assert not leftovers(harness.directory)


def test_it_starts_after_and_stops_before_what_it_needs(harness: Harness) -> None:
    path = str(harness.directory / "ends")

    def noting(name: str, *needs: str) -> Service:
        program = NOTE_THE_END.format(path=path, name=name)
        return harness.service(name, program, needs=needs, ready=Path(f"{path}.{name}").exists)

    services = [
        noting("database"),
        harness.service("migrate", "print('migrated')", needs=("database",), once=True),
        noting("web", "migrate"),
    ]
    harness.run(services, lambda: harness.wait_for(harness.ready.is_set))
    assert Path(path).read_text().split() == ["web", "database"]
    said = harness.terminal.getvalue()
    assert said.index("database │ [supervisor] ready") < said.index("migrate  │ migrated") < said.index("web      │")


def test_a_step_that_fails_ends_everything_and_names_its_log(harness: Harness) -> None:
    services = [
        harness.service("database", SLEEP),
        harness.service("migrate", "raise SystemExit('no such column')", needs=("database",), once=True),
        harness.service("web", SLEEP, needs=("migrate",)),
    ]
    with pytest.raises(StartFailed, match=r"migrate failed \(ended with exit code 1\); its log: .*migrate\.log"):
        harness.run(services, lambda: assert_ends(harness))
    assert "no such column" in (harness.directory / "logs" / "migrate.log").read_text()
    assert not leftovers(harness.directory)


def test_a_server_that_can_not_be_prepared_ends_everything(harness: Harness) -> None:
    def refuse() -> None:
        raise ServerFailed("no binary for this platform")

    with pytest.raises(StartFailed, match="redis: no binary for this platform"):
        harness.run([harness.service("redis", SLEEP, prepare=refuse)], lambda: assert_ends(harness))


def test_one_service_is_stopped_and_started_by_request(harness: Harness) -> None:
    def user() -> None:
        assert harness.ready.wait(PATIENCE)
        assert harness.ask("stop", "redis") == {}
        harness.wait_for(lambda: harness.state("redis")["state"] == "stopped")
        time.sleep(1)
        assert harness.state("redis")["pid"] is None
        assert harness.state("web")["state"] == "ready"
        assert harness.ask("start", "redis") == {}
        harness.wait_for(lambda: harness.state("redis")["state"] == "ready")
        assert "there are: redis, web" in str(harness.ask("stop", "rabbit")["error"])

    harness.run([harness.service("redis", SLEEP), harness.service("web", SLEEP, needs=("redis",))], user)


def test_what_does_not_stop_is_killed_in_time(harness: Harness) -> None:
    log = harness.directory / "logs" / "web.log"

    def user() -> None:
        harness.wait_for(lambda: "deaf" in log.read_text())
        began = time.monotonic()
        assert harness.ask("stop", "web") == {}
        harness.wait_for(lambda: harness.state("web")["state"] == "stopped")
        assert time.monotonic() - began < 12, "it usually has fifteen seconds"

    harness.run([harness.service("web", DEAF, stop_timeout=1)], user)


def test_the_second_signal_kills(harness: Harness) -> None:
    log = harness.directory / "logs" / "web.log"
    began = time.monotonic()

    def user() -> None:
        harness.wait_for(lambda: "deaf" in log.read_text())
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)

    harness.run([harness.service("web", DEAF, stop_timeout=60)], user)
    assert time.monotonic() - began < 30
    assert not leftovers(harness.directory)


def test_a_terminal_that_is_gone_stops_no_service(harness: Harness) -> None:
    def user() -> None:
        harness.terminal.close()
        assert harness.ready.wait(PATIENCE)
        harness.wait_for(lambda: "up" in (harness.directory / "logs" / "web.log").read_text())

    harness.run([harness.service("web", SLEEP)], user)
