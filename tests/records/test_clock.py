"""The clock of a worker jumps: nothing is lost, nobody's lease is stolen, and no message goes out twice.

Leases and what is due are the database's business and go by its clock; a worker's own clock only dates what it writes.
The jump is one of what the process reads as time, not of the machine's clock.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from notifications.records.ends import take_back_lost
from notifications.records.engine import Engine
from tests.conftest import Persona
from tests.records.conftest import attempts_of, load
from tests.sandbox.conftest import Sandbox, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

JUMPS = [timedelta(hours=6), timedelta(hours=-6)]
Jump = Callable[[timedelta], None]


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Jump:
    """Put the process's clock forward or back."""
    now, seconds = timezone.now, time.time

    def start(by: timedelta) -> None:
        monkeypatch.setattr(timezone, "now", lambda: now() + by)
        monkeypatch.setattr(time, "time", lambda: seconds() + by.total_seconds())

    return start


def ids(value: timedelta) -> str:
    return "forward" if value > timedelta(0) else "back"


@pytest.mark.parametrize("by", JUMPS, ids=ids)
def test_while_messages_are_under_way(
    admin: Persona,
    posted: Callable[..., UUID],
    engine: Engine,
    mail_server: Sandbox,
    settings: Settings,
    jump: Jump,
    by: timedelta,
) -> None:
    settings.LEASE_SECONDS = 2  # a busy machine may keep the heart from beating for more than half a second
    recipients = [f"slow+4@n{number}.example" for number in range(4)]
    records = [posted(recipient=recipient) for recipient in recipients]
    sending = threading.Thread(target=engine.drain, args=(admin.tenant_id, "normal"))
    sending.start()
    wait_until(lambda: all(load(admin.tenant, each).status == "sending" for each in records))
    jump(by)
    stolen = 0
    while sending.is_alive():
        stolen += take_back_lost()
        sending.join(timeout=0.1)
    assert stolen == 0
    assert [load(admin.tenant, each).status for each in records] == ["success"] * 4
    assert Counter(each["to"] for each in mail_server.messages()) == Counter(recipients), "each exactly once"


@pytest.mark.parametrize("by", JUMPS, ids=ids)
def test_between_a_try_and_its_retry(
    admin: Persona,
    posted: Callable[..., UUID],
    engine: Engine,
    mail_server: Sandbox,
    settings: Settings,
    jump: Jump,
    by: timedelta,
) -> None:
    record_id = posted(recipient=f"fail-temporary+1@{ids(by)}.example")
    settings.RETRY_BASE_SECONDS = 60
    began: datetime = timezone.now()
    jump(by)
    for _ in range(2):
        engine.drain(admin.tenant_id, "normal")
    record = load(admin.tenant, record_id)
    if by > timedelta(0):  # it waits for longer than it should, and has not been forgotten
        assert (record.status, len(attempts_of(admin.tenant, record_id))) == ("retrying", 1)
        assert record.due_at - began < by + timedelta(minutes=2)
        assert record.due_at < record.expires_at
    else:  # it is due at once
        assert (record.status, len(attempts_of(admin.tenant, record_id))) == ("success", 2)
        assert len(mail_server.messages()) == 1
