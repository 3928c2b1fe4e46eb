"""scripts/setup.sh: says what is missing in one line, and is quick when there is nothing to do."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "dirname", "cksum", "tr", "grep", "cat")


def script(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script with a PATH on which there is no Python."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    return subprocess.run(
        ["sh", str(ROOT / "scripts" / "setup.sh")],
        env={"PATH": str(tools), "VENV": str(tmp_path / "venv"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_no_python_is_a_one_line_error(tmp_path: Path) -> None:
    done = script(tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("No Python 3.11 or newer")
    assert done.stderr.count("\n") == 1


def test_a_python_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    old = tmp_path / "python2"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = script(tmp_path, PYTHON=str(old))
    assert done.returncode == 1
    assert "No Python 3.11 or newer" in done.stderr


def test_nothing_to_do_is_silent(tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(sys.executable)
    text = (ROOT / "requirements.txt").read_bytes()
    summed = subprocess.run(["cksum"], input=text, capture_output=True, check=True).stdout.decode().strip()
    (environment / ".installed").write_text(f"requirements.txt {summed.replace(' ', '-')}\n")
    done = script(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
