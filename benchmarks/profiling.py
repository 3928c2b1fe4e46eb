"""Where the time goes: I1 or S1 in this process under ``cProfile``, every thread of it, as a table of functions.

Counted is processor time, so that waiting costs nothing. The profiler itself makes Python functions two to three times
as slow: trust the order more than the figures.
"""

from __future__ import annotations

import asyncio
import cProfile
import io
import pstats
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import uvloop

from benchmarks import campaign, intake, service
from benchmarks.scene import Scene
from benchmarks.stage import ROOT
from notification_service.local.ports import free_ports
from notifications.records.engine import Engine

_LINES = 25
#: Waits that are still under way when the figures are read: their time would be the reader's.
_UNFINISHED = ("<method 'get' of '_queue.SimpleQueue' objects>", "_worker", "run_forever")
_MESSAGES = {"tiny": 60, "quick": 6_000, "full": 30_000}


def report(name: str, scene: Scene) -> str:
    """Profile one benchmark and return the tables, by own and by cumulative time, in microseconds a message."""
    count = _MESSAGES[scene.scale.name]
    work = _intake if name == "I1" else _campaign
    with _profiled_threads() as profiles:
        done, seconds = work(scene, count)
    stats = _merged(profiles)
    head = f"{name}: {done} messages in {seconds:.2f} s under the profiler, {seconds / done * 1e6:.0f} us each\n"
    return head + "".join(_table(stats, order, done) for order in ("tottime", "cumtime"))


def _campaign(scene: Scene, count: int) -> tuple[int, float]:
    who = service.company("profiled", {"email": service.smtp_credential(scene.smtp.port)})
    campaign.fill(who, campaign.MAIL, count)
    engine = Engine()
    started = time.monotonic()
    while service.statuses(who).get("success", 0) < count:
        engine.drain(who.id, "bulk")
    seconds = time.monotonic() - started
    engine.close()
    return count, seconds


def _intake(scene: Scene, count: int) -> tuple[int, float]:
    """Drive the ASGI application by itself: 64 callers, no HTTP parsing, no load generator."""
    who = service.company("profiled", {"email": service.smtp_credential(scene.smtp.port)})
    application = import_module("notification_service.asgi").application
    headers = [
        (b"content-type", b"application/json"),
        (b"host", b"127.0.0.1"),
        (b"x-api-key", who.key.encode()),
        (b"x-api-secret", who.secret.encode()),
    ]
    numbers = iter(range(count))

    async def post(number: int) -> None:
        body = intake.BODY.replace("{n}", str(number)).encode()
        key = [(b"idempotency-key", b"%d-%s" % (number, secrets.token_bytes(4).hex().encode()))] if number % 2 else []
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": intake.PATH,
            "raw_path": intake.PATH.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [*headers, *key, (b"content-length", str(len(body)).encode())],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", free),
            "state": {},
        }
        events: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
        status = 0

        async def receive() -> dict[str, Any]:
            return events.pop() if events else await asyncio.Future()

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)

        await application(scope, receive, send)
        if not 200 <= status < 300:
            raise RuntimeError(f"the application answered {status}")

    async def caller() -> None:
        for number in numbers:
            await post(number)

    async def run() -> None:
        await asyncio.gather(*(caller() for _ in range(intake.CONNECTIONS)))

    (free,) = free_ports(1)
    started = time.monotonic()
    thread = threading.Thread(target=lambda: uvloop.run(run()))  # a thread, so that it is profiled like the others
    thread.start()
    thread.join()
    seconds = time.monotonic() - started
    return sum(service.statuses(who).values()), seconds


@contextmanager
def _profiled_threads() -> Iterator[list[cProfile.Profile]]:
    """Profile every thread that starts in the block."""
    profiles: list[cProfile.Profile] = []

    def begin(*_: object) -> None:
        profile = cProfile.Profile(time.thread_time_ns, 1e-9)
        profiles.append(profile)
        sys.setprofile(None)
        profile.enable()

    hook: Callable[..., object] = begin
    threading.setprofile(hook)  # called at the first event of each new thread, where it gives way to the profiler
    try:
        yield profiles
    finally:
        threading.setprofile(None)


def _merged(profiles: list[cProfile.Profile]) -> pstats.Stats:
    stats: pstats.Stats | None = None
    for profile in profiles:
        profile.create_stats()
        if profile.stats:
            stats = stats.add(profile) if stats else pstats.Stats(profile)
    if stats is None:
        raise RuntimeError("no thread was profiled")
    return stats


def _table(stats: pstats.Stats, order: str, count: int) -> str:
    out = io.StringIO()
    entries: dict[tuple[str, int, str], tuple[Any, ...]] = stats.stats  # type: ignore[attr-defined]
    column = 2 if order == "tottime" else 3
    out.write(f"\n{'own us' if column == 2 else 'cumul. us':>10} {'calls':>8}  by {order}, a message\n")
    finished = [item for item in entries.items() if item[0][2] not in _UNFINISHED]
    for (path, line, name), entry in sorted(finished, key=lambda item: item[1][column], reverse=True)[:_LINES]:
        short = path.rpartition("site-packages/")[2].removeprefix(f"{ROOT}/")
        out.write(f"{float(entry[column]) / count * 1e6:10.1f} {entry[1] / count:8.2f}  {short}:{line} {name}\n")
    return out.getvalue()
