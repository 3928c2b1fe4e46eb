"""The examples do what they say, run as a user would run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.running_service import ROOT, RunningService

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]


def run(directory: Path, *arguments: str, example: str = "send_first_notification") -> subprocess.CompletedProcess[str]:
    program = [sys.executable, str(ROOT / f"examples/{example}.py"), *arguments]
    return subprocess.run(program, cwd=directory, capture_output=True, text=True, timeout=60, check=False)


def test_the_first_notification_is_sent(service: RunningService) -> None:
    done = run(service.root, "example@example.com")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Hello Ada" in done.stdout
    assert [mail["subject"] for mail in service.caught(to="example@example.com")] == ["Hello Ada"]


def test_a_failure_is_told(service: RunningService) -> None:
    done = run(service.root, "fail-permanent+example@example.com")
    assert done.returncode == 1
    assert "mailbox does not exist" in done.stdout


def test_events_come_in_and_messages_go_out(service: RunningService) -> None:
    done = run(service.root, example="events_tour")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "3 new comments" in done.stdout
    assert "Still unread: alarm in B3" in done.stdout


@pytest.mark.parametrize("example", ["send_first_notification", "events_tour"])
def test_without_a_running_service_it_says_what_to_do(tmp_path: Path, example: str) -> None:
    done = run(tmp_path, example=example)
    assert done.returncode == 1
    assert "make up" in done.stderr
