"""What was sent and not committed when a worker was killed is not sent again by the next one on the machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from django.utils import timezone
from pytest_django import Settings

from notification_service.lib.ids import new_id
from notification_service.lib.scope import tenant_scope
from notifications.providers.base import SendResult
from notifications.records import hooks, journal, queue
from notifications.records.engine import Engine
from notifications.records.journal import Journal
from notifications.records.outcomes import Outcome, decide
from notifications.records.queue import Claimed
from tests.conftest import Persona
from tests.records.conftest import attempts_of, change, load
from tests.records.test_hooks import listen  # noqa: F401 - a fixture
from tests.sandbox.conftest import Sandbox

pytestmark = pytest.mark.django_db(transaction=True)

Post = Callable[..., UUID]
Listen = Callable[[hooks.OnOutcomes], None]


@pytest.fixture(autouse=True)
def directory(settings: Settings, tmp_path: Path) -> Path:
    settings.JOURNAL_DIR = tmp_path / "journal"
    return tmp_path / "journal"


def claim(persona: Persona) -> Claimed:
    with tenant_scope(persona.tenant_id):
        (claimed,) = queue.claim(persona.tenant_id, "normal", token=new_id(), limit=10)
    return claimed


def taken(claimed: Claimed) -> Outcome:
    now, result = timezone.now(), SendResult.success(code="250", response="taken", provider_message_id="m-1")
    return decide(claimed, result, provider="smtp", credential_id=None, started_at=now, now=now)


def killed_after(outcome: Outcome) -> None:
    """Note an outcome and let go of the file as a process does that is killed: its descriptors are closed."""
    book = Journal(outcome.claimed.tenant_id, outcome.claimed.lease_token)
    book.note(outcome)
    os.close(book._file)


def test_what_a_killed_worker_sent_is_not_sent_again(
    admin: Persona,
    posted: Post,
    engine: Engine,
    mail_server: Sandbox,
    directory: Path,
    listen: Listen,  # noqa: F811
) -> None:
    record_id = posted()
    outcome = taken(claim(admin))
    killed_after(outcome)
    (path,) = directory.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("ab") as file:
        file.write(b'["cut o')
    heard: list[Outcome] = []
    listen(heard.extend)
    assert engine.drain(admin.tenant_id, "normal") == 0
    record = load(admin.tenant, record_id)
    assert (record.status, record.provider_message_id, record.provider_response) == ("success", "m-1", "taken")
    assert [(each.number, each.outcome, each.provider) for each in attempts_of(admin.tenant, record_id)] == [
        (1, "success", "smtp")
    ]
    assert [(each.claimed.id, each.claimed.lane, each.status) for each in heard] == [(record_id, "normal", "success")]
    assert mail_server.messages() == []
    assert list(directory.iterdir()) == []


def test_the_journal_of_a_living_worker_is_left_alone(admin: Persona, posted: Post, directory: Path) -> None:
    record_id = posted()
    outcome = taken(claim(admin))
    book = Journal(admin.tenant_id, outcome.claimed.lease_token)
    book.note(outcome)
    assert journal.recover() == 0
    assert load(admin.tenant, record_id).status == "sending"
    assert len(list(directory.iterdir())) == 1
    book.close(committed=True)
    assert list(directory.iterdir()) == []


def test_who_lost_the_lease_is_not_heard(admin: Persona, posted: Post, directory: Path) -> None:
    record_id = posted()
    killed_after(taken(claim(admin)))
    change(admin.tenant, record_id, lease_token=new_id())
    assert journal.recover() == 0
    assert load(admin.tenant, record_id).status == "sending"
    assert list(directory.iterdir()) == []


def test_without_a_directory_everything_is_sent_as_ever(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    settings.JOURNAL_DIR = tmp_path / "file" / "journal"
    record_id = posted()
    assert engine.drain(admin.tenant_id, "normal") == 1
    assert load(admin.tenant, record_id).status == "success"
    assert len(mail_server.messages()) == 1


def test_nothing_stays_behind_when_all_goes_well(admin: Persona, posted: Post, engine: Engine, directory: Path) -> None:
    posted()
    assert engine.drain(admin.tenant_id, "normal") == 1
    assert list(directory.iterdir()) == []


def test_what_goes_while_one_looks_is_passed_over(directory: Path) -> None:
    directory.mkdir()
    (directory / f"{new_id().hex}-{new_id().hex}").symlink_to(directory / "committed meanwhile")
    assert journal.recover() == 0
