"""A load generator: posts over keep-alive connections and reads every answer, in a process of its own.

Its order comes as JSON on standard input (``Load``), its report goes to standard output. A request costs it some
fifteen microseconds.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import cast

import uvloop

from benchmarks.stage import ROOT, BenchmarkFailed

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_ID = re.compile(rb'"id": ?"([^"]+)"')
#: Seconds that an answer may be late at the end.
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """What to post. ``{n}`` in ``body`` is replaced by a number that counts up from ``first``.

    It goes on for ``seconds`` or, with ``every``, posts one each so many seconds. Each second request carries an
    ``Idempotency-Key`` if ``keys``. ``trace`` reports the id and the start of every request that was accepted.
    """

    port: int
    path: str
    body: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    connections: int = 64
    seconds: float = 2.0
    every: float = 0.0
    first: int = 0
    keys: bool = False
    trace: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """``accepted`` counts 2xx answers; times are in seconds, ``started`` those of the trace (monotonic)."""

    accepted: int
    statuses: dict[str, int]
    seconds: float
    p50: float
    p99: float
    sample: str
    started: dict[str, float]

    @property
    def rate(self) -> float:
        """Accepted requests a second."""
        return self.accepted / self.seconds


def generate(load: Load) -> Report:
    """Post as ordered and return the report. Raises ``BenchmarkFailed`` if nothing was accepted."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.http_load"],
        input=json.dumps(asdict(load)),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=load.seconds + 60,
    )
    if done.returncode:
        raise BenchmarkFailed(f"the load generator failed: {done.stderr[-1500:]}")
    report = Report(**json.loads(done.stdout))
    if not report.accepted or set(report.statuses) - {"200", "201", "202"}:
        raise BenchmarkFailed(f"not everything was accepted: {report.statuses}; {report.sample}")
    return report


class _Run:
    def __init__(self, load: Load) -> None:
        self.load = load
        self.numbers: Iterator[int] = count(load.first)
        self.ends = 0.0
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.started: dict[str, float] = {}
        self.sample = ""
        self._before, self._after = load.body.encode().split(b"{n}")
        lines = [f"POST {load.path} HTTP/1.1", f"Host: 127.0.0.1:{load.port}", "Content-Type: application/json"]
        self._head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in load.headers.items())]).encode()

    def request(self) -> bytes:
        number = next(self.numbers)
        body = b"%s%d%s" % (self._before, number, self._after)
        key = b"\r\nIdempotency-Key: order-%d" % number if self.load.keys and number % 2 else b""
        return b"%s%s\r\nContent-Length: %d\r\n\r\n%s" % (self._head, key, len(body), body)

    def answered(self, status: int, body: bytes, started: float) -> None:
        self.latencies.append(time.monotonic() - started)
        self.statuses[status] += 1
        if not 200 <= status < 300:
            self.sample = self.sample or body[:500].decode(errors="replace")
        elif self.load.trace and (found := _ID.search(body)):
            self.started[found.group(1).decode()] = started


class _Connection(asyncio.Protocol):
    """Posts one request after the other; reconnects when the server closes, as some do after every answer."""

    def __init__(self, run: _Run, done: asyncio.Future[None]) -> None:
        self._run = run
        self._done = done
        self._buffer = b""
        self._waits = False
        self._started = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._post()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        length = _LENGTH.search(self._buffer, 0, head + 2)
        if length is None:
            raise ValueError("an answer without Content-Length")
        end = head + 4 + int(length.group(1))
        if len(self._buffer) < end:
            return
        status, body = int(self._buffer[9:12]), self._buffer[head + 4 : end]
        closes = _CLOSE.search(self._buffer, 0, head + 2) is not None
        self._buffer, self._waits = b"", False
        self._run.answered(status, body, self._started)
        if closes:
            self._transport.close()
        else:
            self._post()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waits:
            self._run.statuses[0] += 1
            self._run.sample = self._run.sample or "the connection was lost before the answer"
        if not self._done.done():
            self._done.set_result(None)

    def _post(self) -> None:
        if time.monotonic() >= self._run.ends:
            self._transport.close()
            return
        self._waits, self._started = True, time.monotonic()
        self._transport.write(self._run.request())


async def _lane(run: _Run) -> None:
    loop = asyncio.get_running_loop()
    while time.monotonic() < run.ends:
        done = loop.create_future()
        await loop.create_connection(lambda done=done: _Connection(run, done), "127.0.0.1", run.load.port)  # type: ignore[misc]
        await done


async def _paced(run: _Run) -> None:
    """One request each ``every`` seconds on a schedule of its own: a slow answer delays no later request."""
    begin, under_way = time.monotonic(), []
    for number in range(int(run.load.seconds / run.load.every)):
        await asyncio.sleep(max(0.0, begin + number * run.load.every - time.monotonic()))
        under_way.append(asyncio.ensure_future(_single(run)))
    await asyncio.gather(*under_way)


async def _single(run: _Run) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", run.load.port)
    started = time.monotonic()
    writer.write(run.request())
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    body = await reader.readexactly(int(length.group(1)) if length else 0)
    writer.close()
    run.answered(int(head[9:12]), body, started)


async def _main(load: Load) -> Report:
    run = _Run(load)
    started = time.monotonic()
    run.ends = started + load.seconds
    if load.every:
        await _paced(run)
    else:
        async with asyncio.timeout(load.seconds + _PATIENCE):
            await asyncio.gather(*(_lane(run) for _ in range(load.connections)))
    took = time.monotonic() - started
    ordered = sorted(run.latencies) or [0.0]
    return Report(
        accepted=sum(number for status, number in run.statuses.items() if 200 <= status < 300),
        statuses={str(status): number for status, number in run.statuses.items()},
        seconds=took,
        p50=ordered[len(ordered) // 2],
        p99=ordered[int(len(ordered) * 0.99)],
        sample=run.sample,
        started=run.started,
    )


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(uvloop.run(_main(Load(**json.load(sys.stdin)))))))
