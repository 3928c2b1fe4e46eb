"""A short soak: the table is made of what the sink caught and of what stands in the database."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_a_short_soak_loses_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "soak"],
        cwd=ROOT,
        env={**os.environ, "SECONDS": "8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    figures = {name.strip(): int(number) for name, number in re.findall(r"^  (\S.*?) {2,}(\d+)$", done.stdout, re.M)}
    assert done.returncode == 0, done.stdout + done.stderr
    assert figures["accepted (2xx, by key)"] > 0
    assert figures["success"] + figures["refused for good (5xx)"] == figures["accepted (2xx, by key)"]
    assert (figures["lost"], figures["without an end"], figures["rows without a 2xx"]) == (0, 0, 0)
    assert "faults: 1 x" in done.stdout
