"""A provider over HTTP that refuses for now, hangs, or hangs up half-way: nothing is lost, and every record ends."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from urllib.parse import quote

import pytest

from tests.running_service import RunningService

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("faults"), pytest.mark.timeout(90)]


def send(service: RunningService, numbers: Sequence[str]) -> list[str]:
    """Post text messages; return the records' ids."""
    words = {"channel": "sms", "content": {"body": "Hello"}, "context": {}}
    answers = [service.send(number, **words) for number in numbers]
    assert {answer.status for answer in answers} == {201}, answers[0].body
    return [answer.body["id"] for answer in answers]


def others() -> list[str]:
    """Numbers that nothing happens to, and that no other test uses."""
    return [f"+35386{random.randrange(10**7):07}" for _ in range(6)]


def kept(service: RunningService, number: str, text: str) -> int:
    return sum(message["text"] == text for message in service.caught(to=quote(number)))


@pytest.mark.parametrize(
    ("number", "status", "attempts", "copies"),
    [
        pytest.param("+15005550030", "success", 3, 1, id="429 with Retry-After twice"),
        pytest.param("+15005550029", "failed", 4, 0, id="429 with Retry-After for ever"),
        pytest.param("+15005550054", "success", 3, 1, id="503 twice"),
        pytest.param("+15005550050", "failed", 4, 0, id="500 for ever"),
        pytest.param("+15005550066", "success", 3, 1, id="dropped connection twice"),
        pytest.param("+15005550067", "success", 3, 1, id="half-closed connection twice"),
        pytest.param("+15005550068", "success", 2, 1, id="hang once"),
        # It took each and told nobody: the one window in which there are copies.
        pytest.param("+15005550063", "failed", 4, 4, id="lost answer for ever"),
    ],
)
def test_it_misbehaves_towards_one_number(
    service: RunningService, number: str, status: str, attempts: int, copies: int
) -> None:
    fine, before = others(), kept(service, number, "Hello")
    # Good answers in between keep the circuit closed: its rest would make this test wait.
    bad, *good = send(service, [number, *fine])
    assert service.wait_for_ends([bad, *good], 60) == [status, *["success"] * len(good)]
    assert [kept(service, each, "Hello") for each in fine] == [1] * len(fine), "each exactly once"
    assert kept(service, number, "Hello") - before == copies
    assert service.record(bad)["attempt_count"] == attempts


def test_retry_after_is_waited_for(service: RunningService) -> None:
    (record_id,) = send(service, ["+15005550030"])
    assert service.wait_for_ends([record_id], 30) == ["success"]
    story = service.call("GET", f"/api/notifications/records/{record_id}/timeline/").body["timeline"]
    tries = [datetime.fromisoformat(step["at"]) for step in story if step["event"] == "sending"]
    assert all((later - earlier).total_seconds() >= 1 for earlier, later in pairwise(tries))
    assert len(tries) == 3
