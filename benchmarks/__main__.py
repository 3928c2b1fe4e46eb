"""``python -m benchmarks [--quick] [I1 S1 …]``; also ``… profile I1|S1`` and ``… soak``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from math import inf
from pathlib import Path

from benchmarks import results
from benchmarks.scene import FULL, QUICK, SCALES, Scale, Scene, scene
from benchmarks.stage import BenchmarkFailed

#: Benchmarks by name: module and function. Modules are loaded when Django is: they need the service's models.
BENCHMARKS = {
    "I1": ("intake", "run"),
    "S1": ("campaign", "run_mail"),
    "S2": ("campaign", "run_text"),
    "S3": ("kills", "run"),
    "S4": ("fairness", "run"),
    "R1": ("rules", "run"),
    "H1": ("webhooks", "run"),
    "I2": ("bulk_csv", "run"),
    "K1": ("kafka", "run"),
    "W2": ("sockets", "run_idle"),  # before W1, which goes on with its processes: it measures fresh ones
    "W1": ("sockets", "run_messages"),
    "B1": ("mailing", "run"),
    "M1": ("memory", "run"),
}
#: A quick run of everything ends within so many seconds. What is not expected to fit in any more is shown as it was
#: measured last. Expected are the seconds that each takes on an idle machine with two cores.
_QUICK_SECONDS = 48.0
_EXPECTED = {
    "I1": 9,
    "S1": 7,
    "S2": 4,
    "S3": 9,
    "S4": 10,
    "R1": 1,
    "H1": 9,
    "I2": 9,
    "K1": 8,
    "W2": 6,
    "W1": 4,
    "B1": 12,
    "M1": 99,
}
#: What a benchmark needs that the service may not have yet: a channel.
_NEEDS_CHANNEL = {"S2": "sms"}


def main(arguments: list[str]) -> int:
    """Run what was asked for; return 0 if every benchmark could be carried out."""
    options = _parse(arguments)
    if options.names[:1] == ["profile"]:
        return _profile(options.names[1:], options.scale)
    if options.names == ["soak"]:
        soak: Callable[[float], int] = import_module("benchmarks.soak").run
        return soak(float(os.environ.get("SECONDS", "600")))
    names = options.names or [name for name in BENCHMARKS if name != "M1" or options.scale.memory]
    limit = _QUICK_SECONDS if options.scale is QUICK and not options.names else inf
    return _run(names, options.scale, options.results, limit)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}, profile NAME, or soak")
    parser.add_argument("--quick", action="store_true", default=os.environ.get("QUICK", "") not in ("", "0"))
    parser.add_argument("--scale", choices=SCALES, help="tiny is for tests")
    parser.add_argument("--results", type=Path, default=results.DIRECTORY, help="where the JSON files go")
    options = parser.parse_args(arguments)
    options.scale = SCALES[options.scale] if options.scale else QUICK if options.quick else FULL
    if options.names[:1] not in (["profile"], ["soak"]) and (unknown := set(options.names) - set(BENCHMARKS)):
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; known: {', '.join(BENCHMARKS)}")
    return options


def _run(names: list[str], scale: Scale, directory: Path, limit: float) -> int:
    started, failed, left = time.monotonic(), 0, []
    with scene(scale) as running:
        _say(results.heading())
        for name in names:
            begun = time.monotonic()
            if begun - started + _EXPECTED[name] > limit:
                left.append(name)
                _say(results.earlier(name, scale=scale.name))
                continue
            try:
                result = _one(name, running)
            except BenchmarkFailed as error:
                failed += 1
                result = results.Result(name, f"FAILED: {error}", "", None, "", False)
            _say(f"{results.line(result, scale=scale.name)}  {time.monotonic() - begun:.0f} s")
            if result.ratio is not None or result.details:
                results.save(result, scale=scale.name, directory=directory)
    _say(f"{time.monotonic() - started:.0f} s, {scale.name} scale, results in {directory}")
    if left:
        _say(f'The others: make bench QUICK=1 ARGS="{" ".join(left)}"')
    return 1 if failed else 0


def _one(name: str, running: Scene) -> results.Result:
    module, function = BENCHMARKS[name]
    loaded = import_module(f"benchmarks.{module}")
    needed = _NEEDS_CHANNEL.get(name)
    if needed and needed not in import_module("notifications.channels.registry").channels:
        return results.skipped(name, f"the service has no channel {needed!r} yet", loaded.TEXT.target)
    run: Callable[[Scene], results.Result] = getattr(loaded, function)
    return run(running)


def _profile(names: list[str], scale: Scale) -> int:
    known = ("I1", "S1")
    if len(names) != 1 or names[0] not in known:
        _say(f"profile what? one of: {', '.join(known)}")
        return 2
    with scene(scale) as running:
        _say(import_module("benchmarks.profiling").report(names[0], running))
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
