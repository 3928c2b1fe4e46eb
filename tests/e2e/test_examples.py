"""The examples do what they say, run as a user would run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.running_service import ROOT, RunningService

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, str(ROOT / "examples/send_first_notification.py"), *arguments]
    return subprocess.run(program, cwd=directory, capture_output=True, text=True, timeout=30, check=False)


def test_the_first_notification_is_sent(service: RunningService) -> None:
    done = run(service.root, "example@example.com")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Hello Ada" in done.stdout
    assert [mail["subject"] for mail in service.caught(to="example@example.com")] == ["Hello Ada"]


def test_a_failure_is_told(service: RunningService) -> None:
    done = run(service.root, "fail-permanent+example@example.com")
    assert done.returncode == 1
    assert "mailbox does not exist" in done.stdout


def test_without_a_running_service_it_says_what_to_do(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 1
    assert "make up" in done.stderr
