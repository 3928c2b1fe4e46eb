"""Processor time: what a side used for its messages, and what the rest of the machine was busy with meanwhile.

On a machine that others use too, rates drift with what is left for us; processor time a message hardly does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

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
    _side_before: float = 0.0
    _all_before: float = 0.0
    _busy_before: float = 0.0
    _started: float = 0.0

    def start(self) -> Meter:
        """Begin."""
        self._side_before, self._all_before = self._side(), _used_by(psutil.Process())
        self._busy_before, self._started = _busy(), time.monotonic()
        return self

    def stop(self) -> Usage:
        """Return what was used since ``start``."""
        own = _used_by(psutil.Process()) - self._all_before
        capacity = (time.monotonic() - self._started) * (os.cpu_count() or 1)
        others = (_busy() - self._busy_before - own) / capacity
        return Usage(self._side() - self._side_before, max(0.0, min(1.0, others)))

    def _side(self) -> float:
        roots = [program.process.pid for program in self.programs] + self.stage.server_pids()
        return sum(_used_by(psutil.Process(pid)) for pid in roots)


def _used_by(root: psutil.Process) -> float:
    """Seconds that a process and its children used, those that have ended included (a database's sessions do)."""
    total = 0.0
    try:
        processes = [root, *root.children(recursive=True)]
    except psutil.Error:
        return total
    for process in processes:
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))
