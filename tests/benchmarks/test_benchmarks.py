"""Every benchmark runs, at a tiny scale, and what it counted at the far end is exact. No figure is judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.results import Result, line, percentile
from benchmarks.scene import TINY
from notifications.channels.registry import channels

pytestmark = pytest.mark.xdist_group("benchmarks")  # one run serves several tests

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = sorted(name for name in BENCHMARKS if name != "S2" or "sms" in channels)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    directory = tmp_path_factory.mktemp("results")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--scale=tiny", f"--results={directory}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, {path.name.partition("-")[0]: json.loads(path.read_text()) for path in directory.iterdir()}


@pytest.mark.timeout(300)
def test_each_prints_a_line_and_leaves_a_file(run: tuple[str, dict[str, Any]]) -> None:
    printed, documents = run
    first_words = [text.split()[0] for text in printed.splitlines() if text]
    assert [word for word in first_words if word in BENCHMARKS] == list(BENCHMARKS)
    assert sorted(documents) == EXPECTED
    for document in documents.values():
        assert {"name", "ratio", "target", "met", "date", "commit", "cores", "python", "scale"} <= document.keys()
        assert document["scale"] == "tiny"


@pytest.mark.timeout(300)
def test_counts_at_the_far_end_are_exact(run: tuple[str, dict[str, Any]]) -> None:
    _, documents = run
    sides = documents["I1"]["details"]
    assert all(min(side["accepted"]) > 0 for side in sides.values())  # each round compared rows with answers
    assert documents["I2"]["details"]["rows"] == TINY.mails  # and its records were exactly the different addresses
    assert documents["S1"]["details"]["messages"] == TINY.mails
    kills = documents["S3"]["details"]
    assert (kills["lost"], kills["statuses"]) == (0, {"success": TINY.killed_mails})
    assert len(kills["kills"]) == TINY.kills
    assert documents["S4"]["details"]["idle"]["messages"] == documents["S4"]["details"]["busy"]["messages"]
    assert documents["M1"]["details"]["sends"] == [TINY.memory, TINY.memory * 10]


def test_an_unknown_name_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "I9"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "unknown benchmark I9; known: I1" in done.stderr


def test_a_line_says_whether_the_target_is_met() -> None:
    result = Result("S9", "10/s", "5/s", 2.0, ">= 3x", met=False)
    assert "2.00x" in line(result, scale="full")
    assert "NOT MET" in line(result, scale="full")


def test_percentiles() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([3.0], 0.99)) == (51.0, 100.0, 3.0)
