"""Processes die: what was accepted is sent, ends, and goes out twice only within the window that is documented."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from notification_service.local.control import wait_for_state
from tests.faults.conftest import LEASE_SECONDS
from tests.running_service import RunningService, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("faults")]

#: Two worker processes with at most eight connections each: so many mails may be at the server when a worker dies.
UNDER_WAY = 2 * 8


def caught(service: RunningService, domain: str) -> Counter[str]:
    """Return how often each recipient's mail was caught. Copies of one mail must have one ``Message-ID``."""
    mails = service.caught(q=domain)
    assert len(mails) < 1000, "the sandbox shows no more at once"
    ids = {(mail["to"], str(dict(mail["headers"]).get("Message-ID"))) for mail in mails}
    assert len(ids) == len({to for to, _ in ids}), "a duplicate can be recognised"
    return Counter(mail["to"] for mail in mails)


def more_than(service: RunningService, domain: str, count: int) -> bool:
    return caught(service, domain).total() > count


def pool_process(service: RunningService) -> int:
    """Return one of the processes in which the worker sends. The worker must be ready."""
    parent = service.pid("worker")
    children = Path(f"/proc/{parent}/task/{parent}/children")
    wait_until(lambda: bool(children.read_text().split()), 20)
    return int(random.choice(children.read_text().split()))


@pytest.mark.timeout(100)
def test_workers_are_killed_at_random_points(service: RunningService, domain: str) -> None:
    recipients = [f"slow+0.2@n{number}.{domain}" for number in range(300)]
    answers = []
    sending = threading.Thread(target=lambda: answers.extend(service.send_many(recipients)))
    sending.start()
    kills = 3
    for kill in range(kills):
        wait_for_state(service.local, "worker", "ready")
        already = caught(service, domain).total()
        wait_until(partial(more_than, service, domain, already), 60)
        time.sleep(random.uniform(0, 0.8))
        os.kill(service.pid("worker") if kill != 1 else pool_process(service), signal.SIGKILL)
    sending.join(60)
    assert Counter(answer.status for answer in answers) == {201: 300}
    assert service.wait_for_ends([answer.body["id"] for answer in answers], 60) == ["success"] * 300
    counts = caught(service, domain)
    assert set(counts) == set(recipients), "nothing is lost"
    # At the server when the worker died, or answered in the last 50 ms before (as many again, at five a second each).
    assert counts.total() - 300 <= kills * 2 * UNDER_WAY


@pytest.mark.timeout(60)
def test_a_worker_that_freezes_for_longer_than_its_lease_does_no_harm(service: RunningService, domain: str) -> None:
    recipients = [f"slow+0.2@n{number}.{domain}" for number in range(60)]
    answers = service.send_many(recipients)
    wait_until(lambda: bool(caught(service, domain)), 30)
    frozen = pool_process(service)
    os.kill(frozen, signal.SIGSTOP)
    try:
        ids = [answer.body["id"] for answer in answers]
        assert service.wait_for_ends(ids, 3 * LEASE_SECONDS + 20) == ["success"] * 60
        before = {each: service.record(each)["attempt_count"] for each in ids}
    finally:
        os.kill(frozen, signal.SIGCONT)
    time.sleep(2)  # what it writes now is refused: it has lost its leases
    assert {each: service.record(each)["attempt_count"] for each in ids} == before
    counts = caught(service, domain)
    assert set(counts) == set(recipients)
    assert max(counts.values()) <= 2


@pytest.mark.timeout(60)
def test_beat_is_killed(service: RunningService, domain: str) -> None:
    """Retries need beat; beat comes back."""
    os.kill(service.pid("beat"), signal.SIGKILL)
    recipients = [f"fail-temporary+1@n{number}.{domain}" for number in range(10)]
    recipients += [f"plain{number}@{domain}" for number in range(10)]
    answers = service.send_many(recipients)
    assert {answer.status for answer in answers} == {201}
    assert service.wait_for_ends([answer.body["id"] for answer in answers], 40) == ["success"] * 20
    assert caught(service, domain) == Counter(recipients), "each exactly once"


@pytest.mark.timeout(60)
def test_redis_forgets_everything_while_messages_are_queued(service: RunningService, domain: str) -> None:
    service.stop("worker")
    recipients = [f"queued{number}@{domain}" for number in range(100)]
    answers = service.send_many(recipients)
    assert {answer.status for answer in answers} == {201}
    service.stop("redis")
    data = service.local / "redis" / "data"
    assert any(data.iterdir()), "there was something to forget"
    shutil.rmtree(data)
    service.start("redis")
    service.start("worker")
    assert service.wait_for_ends([answer.body["id"] for answer in answers], 40) == ["success"] * 100
    assert caught(service, domain) == Counter(recipients), "each exactly once"


@pytest.mark.timeout(60)
def test_postgresql_is_killed_during_sends(service: RunningService, domain: str) -> None:
    recipients = [f"slow+0.2@n{number}.{domain}" for number in range(80)]
    answers = service.send_many(recipients)
    assert {answer.status for answer in answers} == {201}
    wait_until(lambda: bool(caught(service, domain)), 30)
    os.kill(service.pid("postgres"), signal.SIGKILL)

    def answers_again() -> bool:
        return service.call("GET", f"/api/notifications/records/{answers[0].body['id']}/").status == 200

    wait_until(answers_again, 40, every=0.3)
    assert service.wait_for_ends([answer.body["id"] for answer in answers], 40) == ["success"] * 80
    counts = caught(service, domain)
    assert set(counts) == set(recipients), "nothing is lost"
    # Workers write down what they hold for as long as their leases last; only what they can not write goes out again.
    assert max(counts.values()) <= 2
