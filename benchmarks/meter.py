"""Processor time: what a side used for its messages, and what the rest of the machine was busy with meanwhile.

On a machine that others use too, rates drift with what is left for us; processor time a message hardly does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import psutil  # type: ignore[import-untyped]

from benchmarks.stage import Program, Stage


@dataclass(slots=True)
class Usage:
    """``used`` is processor time in seconds; ``others`` the share of the machine (0 to 1) that was not ours."""

    used: float
    others: float

    def per_message(self, count: int) -> float:
        """Return microseconds a message."""
        return self.used / count * 1e6


@dataclass(slots=True)
class Meter:
    """Counts the processor time of programs, with all their children, and of PostgreSQL and Redis."""

    stage: Stage
    programs: Iterable[Program]
    _before: dict[int, float] = field(default_factory=dict)
    _busy: float = 0.0
    _own: dict[int, float] = field(default_factory=dict)
    _started: float = 0.0

    def start(self) -> Meter:
        """Begin."""
        self._before, self._own = self._side(), _times(_tree(psutil.Process()))
        self._busy, self._started = _busy(), time.monotonic()
        return self

    def stop(self) -> Usage:
        """Return what was used since ``start``. Processes that ended meanwhile are not counted."""
        used = _grown(self._before, self._side())
        own = _grown(self._own, _times(_tree(psutil.Process())))
        capacity = (time.monotonic() - self._started) * (os.cpu_count() or 1)
        return Usage(used, max(0.0, min(1.0, (_busy() - self._busy - own) / capacity)))

    def _side(self) -> dict[int, float]:
        roots = [program.process.pid for program in self.programs] + self.stage.server_pids()
        found: dict[int, float] = {}
        for pid in roots:
            found |= _times(_tree(psutil.Process(pid)))
        return found


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _times(processes: Iterable[psutil.Process]) -> dict[int, float]:
    found = {}
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        found[process.pid] = float(times.user + times.system)
    return found


def _grown(before: dict[int, float], after: dict[int, float]) -> float:
    return sum(used - before.get(pid, 0.0) for pid, used in after.items())


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))
