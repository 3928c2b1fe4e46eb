"""What a benchmark came to: one line beside what was committed last, and a JSON file to commit."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.stage import ROOT

DIRECTORY = ROOT / "benchmarks" / "results"


@dataclass(frozen=True, slots=True)
class Result:
    """One line. ``ratio`` is ours to the baseline, as the target counts it; None where there is nothing to compare.

    ``ours`` and ``baseline`` are figures with their unit, for people; ``details`` are the numbers behind them.
    """

    name: str
    ours: str
    baseline: str
    ratio: float | None
    target: str
    met: bool | None
    details: dict[str, Any] = field(default_factory=dict)


def skipped(name: str, why: str, target: str) -> Result:
    """A benchmark that could not run, and why."""
    return Result(name, f"skipped: {why}", "", None, target, None)


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def line(result: Result, *, scale: str) -> str:
    """Return the printed line: name, ours, baseline, ratio, target, whether it is met, the last committed ratio."""
    met = {True: "met", False: "NOT MET", None: "-"}[result.met]
    last = _last_committed(result.name, scale)
    was = f"{last['ratio']:.2f}x" if last and last.get("ratio") is not None else "-"
    ratio = "-" if result.ratio is None else f"{result.ratio:.2f}x"
    return f"{result.name:<5}{result.ours:<52} {result.baseline:<38}{ratio:>8}  {result.target:<27}{met:<9}last {was}"


def earlier(name: str, *, scale: str) -> str:
    """Return the line of a benchmark that is not run this time: what was committed last, and when that was measured."""
    last = _last_committed(name, scale)
    if last is None:
        return f"{name:<5}not run"
    known = {key: last[key] for key in ("name", "ours", "baseline", "ratio", "target", "met")}
    return f"{line(Result(**known), scale=scale)}  measured {last['date'][:10]}, not now"


def heading() -> str:
    """Return the line above the others."""
    return f"{'name':<5}{'ours':<52} {'baseline':<38}{'ratio':>8}  {'target':<27}{'met?':<9}last committed ratio"


def save(result: Result, *, scale: str, directory: Path = DIRECTORY) -> Path:
    """Write the result as JSON with the date, the commit, and the machine; return where."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / _file(result.name, scale)
    document = {
        **asdict(result),
        "scale": scale,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD").strip(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return path


def _file(name: str, scale: str) -> str:
    return f"{name}.json" if scale == "full" else f"{name}-{scale}.json"


def _last_committed(name: str, scale: str) -> dict[str, Any] | None:
    text = _git("show", f"HEAD:benchmarks/results/{_file(name, scale)}")
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return None
    return found


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    except OSError:  # no git here
        return ""
