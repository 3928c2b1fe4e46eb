"""The whole service as ``make up`` runs it, in a directory of its own, driven over HTTP as a new user would."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from notification_service.local.control import ask, wait_for_state
from notification_service.local.ports import free_ports
from notification_service.local.up import reset

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = "import sys; from pathlib import Path; from notification_service.local.up import up; up(Path(sys.argv[1]))"
READY_SECONDS = 90
#: How long what is quick may take before a test fails, in seconds: the machine may be busy with something else.
PATIENCE = 30.0


class Answer(NamedTuple):
    status: int
    body: Any


class RunningService:
    """A running ``make up`` and what a user has: ``demo.json``. ``settings`` are variables of its environment."""

    def __init__(self, root: Path, **settings: str) -> None:
        self.root = root
        self.local = root / ".local"
        for entry in ROOT.iterdir():
            if not entry.name.startswith(".") and entry.name not in ("notifications_logs", "media"):
                (root / entry.name).symlink_to(entry)
        (port,) = free_ports(1)
        given = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV")}
        self.log = (root / "up.log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(root)],
            cwd=root,
            env={**given, "PORT": str(port), "LOG_DIR": str(root / "logs"), "RETRY_BASE_SECONDS": "0.2", **settings},
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def wait_until_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, (self.root / "up.log").read_text()[-3000:]
            try:
                return self.call("GET", "/api/notifications/health/", token=None).status == 200
            except (OSError, KeyError, FileNotFoundError):
                return False

        wait_until(ready, READY_SECONDS)

    def answers(self) -> bool:
        """Whether the web server is there."""
        try:
            return self.call("GET", "/health", token=None).status == 200
        except OSError:
            return False

    @property
    def demo(self) -> dict[str, Any]:
        return dict(json.loads((self.local / "demo.json").read_text()))

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "admin",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Call the service as the demo tenant's admin, with another token, or (None) as nobody."""
        demo = self.demo
        sent = {"Content-Type": "application/json", **(headers or {})}
        if token is not None:
            sent["Authorization"] = f"Bearer {demo['token'] if token == 'admin' else token}"
        return fetch(method, demo["base_url"] + path, body, sent)

    def send(self, recipient: str, **fields: Any) -> Answer:
        """Post one email."""
        content = {"subject": "Hi {{name}}", "body": "<p>Welcome, {{name}}.</p>"}
        record = {"channel": "email", "recipient": recipient, "content": content, "context": {"name": "Ada"}}
        return self.call("POST", "/api/notifications/records/", {**record, **fields})

    def send_many(self, recipients: list[str]) -> list[Answer]:
        """Post emails, eight at a time."""
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(self.send, recipients))

    def record(self, record_id: str) -> dict[str, Any]:
        answer = self.call("GET", f"/api/notifications/records/{record_id}/")
        assert answer.status == 200
        return dict(answer.body)

    def wait_for_ends(self, ids: list[str], seconds: float = PATIENCE) -> list[str]:
        """Wait until every record has its end; return their statuses."""
        ends: dict[str, str] = {}

        def all_ended() -> bool:
            for record_id in ids:
                if record_id not in ends:
                    status = self.record(record_id)["status"]
                    if status not in ("success", "failed", "cancelled"):
                        return False
                    ends[record_id] = status
            return True

        wait_until(all_ended, seconds, every=0.2)
        return [ends[record_id] for record_id in ids]

    def caught(self, to: str = "", q: str = "") -> list[dict[str, Any]]:
        """Return what the sandbox caught."""
        query = f"to={to}" if to else f"q={q}"
        answer = fetch("GET", f"{self.demo['sandbox_url']}/api/messages?limit=1000&{query}", None, {})
        return list(answer.body["messages"])

    def stop(self, service: str) -> None:
        ask(self.local, "stop", service)
        wait_for_state(self.local, service, "stopped")

    def start(self, service: str) -> None:
        ask(self.local, "start", service)
        wait_for_state(self.local, service, "ready")

    def pid(self, service: str) -> int:
        return next(int(one["pid"]) for one in ask(self.local, "status")["services"] if one["name"] == service)


def fetch(method: str, url: str, body: Any, headers: dict[str, str]) -> Answer:
    """Make one HTTP request; errors are answers too."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, method=method, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            status, raw = response.status, response.read()
    except urllib.error.HTTPError as error:
        status, raw = error.code, error.read()
    return Answer(status, json.loads(raw) if raw else None)


def wait_until(condition: Callable[[], bool], seconds: float, every: float = 0.05) -> None:
    """Wait for a condition. Fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(every)


@contextlib.contextmanager
def running_service(root: Path, **settings: str) -> Iterator[RunningService]:
    """Run the whole service in a directory of its own; delete all its data afterwards."""
    running = RunningService(root, **settings)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.process.terminate()
        try:
            running.process.wait(timeout=40)
        finally:
            running.log.close()
            reset(root)
