"""``make soak``: the whole service under a mixed load while its parts are killed and its provider misbehaves.

It is run by its own supervisor in a directory of its own, as ``make up`` does. Load comes over HTTP, with an
``Idempotency-Key`` each and repeated until it is accepted; what was accepted is compared with what the mail sink got.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.sinks.client import SinkClient
from benchmarks.stage import ROOT, BenchmarkFailed
from notification_service.local.control import NotRunning, RequestRefused, ask, wait_for_state
from notification_service.local.environment import local_setup
from notification_service.local.ports import free_ports
from notification_service.local.up import UpFailed, reset

_UP = "import sys; from pathlib import Path; from notification_service.local.up import up; up(Path(sys.argv[1]))"
#: Short leases and quick retries, many of them: an outage of some seconds must not be anybody's end.
_SETTINGS = {
    "LEASE_SECONDS": "5",
    "SWEEP_SECONDS": "1",
    "RETRY_BASE_SECONDS": "0.5",
    "RETRY_LIMIT": "10",
    "LOG_LEVEL": "WARNING",
}
_LANES = ("critical", "normal", "normal", "bulk", "bulk")
_FINAL = {"success", "failed", "cancelled", "suppressed"}
#: Requests a second and sender threads.
_RATE, _SENDERS = 60.0, 6
#: Seconds from one fault to the next, and for what is left to come to its end.
_PAUSE, _GRACE = 3.0, 120.0


@dataclass(slots=True)
class Service:
    """The service in ``root``, as its supervisor runs it."""

    root: Path
    process: subprocess.Popen[bytes]
    environment: dict[str, str] = field(repr=False)

    @property
    def local(self) -> Path:
        return self.root / ".local"

    @property
    def demo(self) -> dict[str, Any]:
        return dict(json.loads((self.local / "demo.json").read_text(encoding="utf-8")))

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Make one request as the demo company's server; an error is an answer too. Raises ``OSError``."""
        demo = self.demo
        pair = demo["api_keys"]["live"]
        sent = {"Content-Type": "application/json", "X-API-Key": pair["key"], "X-API-Secret": pair["secret"]}
        request = urllib.request.Request(  # noqa: S310 - our own address
            demo["base_url"] + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={**sent, **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=15) as response:  # noqa: S310 - our own address
                return response.status, json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, None

    def kill(self, name: str) -> None:
        """Kill one part as a crash would; the supervisor starts it again."""
        for one in ask(self.local, "status")["services"]:
            if one["name"] == name and one["pid"]:
                with suppress(ProcessLookupError):
                    os.kill(int(one["pid"]), signal.SIGKILL)

    def restart(self, name: str, between: Callable[[], None] = lambda: None) -> None:
        """Stop one part in order, do something, and start it again."""
        ask(self.local, "stop", name)
        wait_for_state(self.local, name, "stopped")
        between()
        ask(self.local, "start", name)
        wait_for_state(self.local, name, "ready")

    def empty_redis(self) -> None:
        """Delete what Redis has on disk."""
        data = self.local / "redis" / "data"
        for path in data.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def rows(self) -> dict[str, str]:
        """Return the status of every record by id, read by the superuser: no tenant's walls."""
        setup = local_setup(self.root, self.environment)
        if setup.postgres is None:
            raise BenchmarkFailed("the soak needs a database of its own")
        with psycopg.connect(setup.postgres.superuser_url) as connection:
            return {
                str(name): status for name, status in connection.execute("SELECT id, status FROM notification_record")
            }


@dataclass(slots=True)
class Load:
    """Posts until it is stopped; ``accepted`` maps each idempotency key to the record's id."""

    service: Service
    accepted: dict[str, str] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, number: int) -> None:
        """Be one sender."""
        due, count = time.monotonic(), 0
        while not self.stopped.is_set():
            due += _SENDERS / _RATE
            time.sleep(max(0.0, due - time.monotonic()))
            count += 1
            self._post(f"soak-{number}-{count}")

    def _post(self, key: str) -> None:
        body = {
            "channel": "email",
            "recipient": f"{key}@example.com",
            "content": {"subject": "Hi {{name}}", "body": "<p>Welcome, {{name}}.</p>"},
            "context": {"name": key},
            "lane": random.choice(_LANES),  # noqa: S311 - no secret
        }
        ends = time.monotonic() + _GRACE
        while time.monotonic() < ends:  # the same key until there is an answer: accepted once
            try:
                status, answer = self.service.call(
                    "POST", "/api/notifications/records/", body, {"Idempotency-Key": key}
                )
            except OSError as error:
                self.answers[type(error).__name__] += 1
            else:
                self.answers[str(status)] += 1
                if status == 201:
                    self.accepted[key] = str(answer["id"])
                    return
            time.sleep(0.2)
        raise BenchmarkFailed(f"{key} was not accepted within {_GRACE:.0f} s")


def run(seconds: float) -> int:
    """Run the soak for so many seconds and print its table; return 0 if nothing was lost and everything has its end."""
    root = Path(tempfile.mkdtemp(prefix="soak-", dir=_workplace()))
    try:
        with _running(root) as service, _sink(root) as sink:
            table, ok = _soak(service, sink, seconds)
    finally:
        with suppress(UpFailed):
            reset(root)
        shutil.rmtree(root, ignore_errors=True)
    sys.stdout.write(table)
    return 0 if ok else 1


def _workplace() -> Path:
    place = ROOT / ".local" / "bench"
    place.mkdir(parents=True, exist_ok=True)
    return place


def _soak(service: Service, sink: SinkClient, seconds: float) -> tuple[str, bool]:
    _use_sink(service, sink)
    load, faults = Load(service), Counter[str]()
    senders = [threading.Thread(target=load.run, args=(number,), daemon=True) for number in range(_SENDERS)]
    ends = time.monotonic() + seconds
    for sender in senders:
        sender.start()
    deck: list[str] = []
    possible = _faults(service, sink)
    while time.monotonic() < ends - _PAUSE:
        deck = deck or random.sample(sorted(possible), len(possible))  # every fault before any comes again
        name = deck.pop()
        _say(f"{max(0, ends - time.monotonic()):4.0f} s left  {len(load.accepted):6} accepted  {name}")
        with suppress(NotRunning, RequestRefused):
            possible[name]()
            faults[name] += 1
        time.sleep(_PAUSE)
    sink.fault()
    load.stopped.set()
    for sender in senders:
        sender.join(timeout=_GRACE)
    rows = _wait_for_ends(service, load)
    return _table(load, sink, rows, faults)


def _faults(service: Service, sink: SinkClient) -> dict[str, Callable[[], None]]:
    def misbehave(kind: str, share: float) -> Callable[[], None]:
        def act() -> None:
            sink.fault(kind, share=share)
            time.sleep(_PAUSE)
            sink.fault(drop=kind == "hang")

        return act

    return {
        "kill worker": lambda: service.kill("worker"),
        "kill beat": lambda: service.kill("beat"),
        "kill web": lambda: service.kill("web"),
        "restart redis": lambda: service.restart("redis"),
        "restart redis, data lost": lambda: service.restart("redis", service.empty_redis),
        "restart postgres": lambda: service.restart("postgres"),
        "provider: 4xx for all": misbehave("4xx", 1.0),
        "provider: 5xx for a tenth": misbehave("5xx", 0.1),
        "provider: hangs": misbehave("hang", 0.5),
        "provider: breaks connections": lambda: sink.fault(drop=True),
    }


def _use_sink(service: Service, sink: SinkClient) -> None:
    """Point the demo company's mail credential at the sink, with a time-out of two seconds."""
    token = {"Authorization": f"Bearer {service.demo['token']}"}
    credential = {
        "host": "127.0.0.1",
        "port": sink.port,
        "security": "none",
        "from_email": "soak@acme.example",
        "password": "soak",
        "timeout": 2,
    }
    demo = service.demo["base_url"]
    listed = _json("GET", f"{demo}/api/notifications/credentials/", None, token)
    (mail,) = [one for one in listed.get("results", listed) if one["channel"] == "email"]
    _json("PATCH", f"{demo}/api/notifications/credentials/{mail['id']}/", {"credentials": credential}, token)
    sink.reset()


def _json(method: str, url: str, body: Any, headers: dict[str, str]) -> Any:
    data = None if body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url, method=method, data=data, headers=sent)  # noqa: S310 - our own address
    with urllib.request.urlopen(request, timeout=15) as response:  # noqa: S310 - our own address
        return json.loads(response.read())


def _wait_for_ends(service: Service, load: Load) -> dict[str, str]:
    ids, deadline = set(load.accepted.values()), time.monotonic() + _GRACE
    while True:
        rows = service.rows()
        if all(rows.get(name) in _FINAL for name in ids) or time.monotonic() > deadline:
            return rows
        time.sleep(0.5)


def _table(load: Load, sink: SinkClient, rows: dict[str, str], faults: Counter[str]) -> tuple[str, bool]:
    stats, arrived, ids = sink.stats(), sink.ids(), set(load.accepted.values())
    ended = Counter(rows.get(name, "missing") for name in ids)
    unfinished = len(ids) - sum(ended[status] for status in _FINAL)
    lost = sum(rows.get(name) in (None, "success") and name not in arrived for name in ids)
    extra = len(rows.keys() - ids)
    lines = [
        ("accepted (2xx, by key)", len(load.accepted)),
        ("rows without a 2xx", extra),
        ("different ones at the sink", len(arrived)),
        ("lost", lost),
        ("duplicates at the sink", stats.duplicates),
        ("refused for good (5xx)", ended["failed"]),
        ("success", ended["success"]),
        ("without an end", unfinished),
    ]
    happened = ", ".join(f"{count} x {name}" for name, count in sorted(faults.items()))
    answers = ", ".join(f"{status}: {count}" for status, count in sorted(load.answers.items()))
    text = "\n".join(f"  {name:<28}{value:>8}" for name, value in lines)
    ok = lost == 0 and unfinished == 0 and extra == 0 and len(ids) == len(load.accepted) > 0
    verdict = "nothing lost, every record has its end" if ok else "NOT AS PROMISED"
    return f"\n{text}\n\nfaults: {happened}\nanswers: {answers}\n{verdict}\n", ok


@contextmanager
def _sink(root: Path) -> Iterator[SinkClient]:
    port, control_port = free_ports(2)
    client = SinkClient(port, control_port)
    arguments = ["-m", "benchmarks.sinks.smtp_sink", f"--port={port}", f"--control-port={control_port}"]
    with (root / "sink.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=log, stderr=log)
    try:
        _wait(client.ready, 20, "the sink does not answer")
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(10)


@contextmanager
def _running(root: Path) -> Iterator[Service]:
    """Run the service from a directory of its own that holds links to the checkout."""
    for entry in ROOT.iterdir():
        if not entry.name.startswith(".") and entry.name not in ("notifications_logs", "media"):
            (root / entry.name).symlink_to(entry)
    (port,) = free_ports(1)
    given = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV")}
    environment = {**given, **_SETTINGS, "PORT": str(port), "LOG_DIR": str(root / "logs")}
    with (root / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _UP, str(root)], cwd=root, env=environment, stdout=log, stderr=log
        )
    service = Service(root, process, environment)

    def ready() -> bool:
        if process.poll() is not None:
            raise BenchmarkFailed((root / "up.log").read_text(errors="replace")[-2000:])
        try:
            return service.call("GET", "/api/notifications/health/")[0] == 200
        except (OSError, KeyError, ValueError):
            return False

    try:
        _wait(ready, 120, "the service does not start")
        yield service
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(40)


def _wait(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise BenchmarkFailed(otherwise)
        time.sleep(0.1)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
