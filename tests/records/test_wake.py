"""Wake-ups: one token per tenant and lane; what has none is found by the sweeper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from notification_service.lib import heartbeat
from notification_service.lib import redis as lib_redis
from notification_service.lib.ids import new_id
from notification_service.lib.redis import attempt
from notifications.credentials.models import Credential
from notifications.records import engine as engine_module
from notifications.records import wake
from notifications.records.engine import Engine, close_engine
from notifications.records.tasks import drain, sweep
from tests.conftest import Persona
from tests.records.conftest import EXAMPLE, RECORDS, change, example, load, tokens
from tests.sandbox.conftest import Sandbox

pytestmark = pytest.mark.django_db(transaction=True)

Post = Callable[..., UUID]


def queued(lane: str = "normal") -> list[list[Any]]:
    """Return the arguments of the drain tasks in a lane's queue, oldest first."""
    messages = attempt(lambda client: client.lrange(lane, 0, -1))
    found = []
    for message in reversed(messages):  # type: ignore[arg-type]
        task = orjson.loads(message)
        assert task["headers"]["task"] == wake.DRAIN_TASK
        *what, token = orjson.loads(task["headers"]["argsrepr"].replace("'", '"'))
        assert token.split(" ")[1].isdecimal(), "since when it is there"
        found.append(what)
    return found


def state(tenant_id: UUID, lane: str = "normal") -> tuple[str | None, int]:
    """Return what is known of a lane's token, and for how many milliseconds that is believed."""
    key = f"tenant:{tenant_id}:drain:{lane}"
    said, milliseconds = attempt(lambda client: (client.get(key), client.pttl(key)))
    return said and str(said).split()[0], int(milliseconds)  # type: ignore[arg-type]


def test_many_records_one_token(sender: Persona) -> None:
    for _ in range(5):
        assert sender.client.post(RECORDS, EXAMPLE).status_code == 201
    assert queued() == [[str(sender.tenant_id), "normal", 0]]
    assert state(sender.tenant_id)[0] == "queued"


def test_each_tenant_and_lane_has_its_own(
    sender: Persona, stranger: Persona, make_credential: Callable[..., Credential]
) -> None:
    make_credential(stranger.tenant)
    for _ in range(2):
        sender.client.post(RECORDS, EXAMPLE)
        sender.client.post(RECORDS, example(lane="critical"))
        stranger.client.post(RECORDS, EXAMPLE)
    assert queued() == [[str(sender.tenant_id), "normal", 0], [str(stranger.tenant_id), "normal", 0]]
    assert queued("critical") == [[str(sender.tenant_id), "critical", 0]]
    assert tokens("bulk") == 0


def test_what_is_not_due_wakes_nobody(sender: Persona) -> None:
    sender.client.post(RECORDS, example(scheduled_at=(timezone.now() + timedelta(hours=1)).isoformat()))
    assert tokens() == 0


def test_what_is_refused_wakes_nobody(sender: Persona) -> None:
    assert sender.client.post(RECORDS, example(recipient="nobody")).status_code == 400
    assert tokens() == 0


def test_after_a_drain_the_next_record_wakes_again(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox
) -> None:
    posted()
    engine.drain(admin.tenant_id, "normal")
    assert state(admin.tenant_id)[0] is None
    posted()
    assert tokens() == 2  # nobody took the first from the queue in this test


def test_a_drain_leaves_no_token_behind_however_long_its_last_look_takes(
    admin: Persona,
    posted: Post,
    engine: Engine,
    mail_server: Sandbox,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A token that is believed to run when none does would keep the next record waiting for the sweeper."""
    settings.LEASE_SECONDS = 1  # the heart beats each tenth of a second
    drop_token = wake.finished
    late: list[UUID] = []

    def just_before_the_token_goes(token: wake.Token) -> None:
        """Commit a row at the worst moment: after the claim that found nothing."""
        late.append(posted(recipient="slow+0.5@example.com"))
        drop_token(token)

    posted()
    monkeypatch.setattr(wake, "finished", just_before_the_token_goes)
    assert engine.drain(admin.tenant_id, "normal") == 2
    assert [load(admin.tenant, each).status for each in late] == ["success"]
    assert state(admin.tenant_id)[0] is None


def test_a_running_drain_says_so(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str | None, int, bool]] = []
    drop_token = wake.finished

    def just_before_the_token_goes(token: wake.Token) -> None:
        seen.append((*state(token.tenant_id), wake.wake(token.tenant_id, token.lane)))
        drop_token(token)

    posted()
    monkeypatch.setattr(wake, "finished", just_before_the_token_goes)
    engine.drain(admin.tenant_id, "normal")
    ((said, milliseconds, woke_another),) = seen
    assert (said, woke_another) == ("running", False)
    assert 0 < milliseconds <= 10_000  # a drain that died is believed in for ten seconds at most


def test_a_drain_whose_turn_is_over_puts_its_token_back(
    admin: Persona,
    posted: Post,
    engine: Engine,
    mail_server: Sandbox,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.DRAIN_CHUNK = 2
    monkeypatch.setattr(engine_module, "TURN", 0.0)
    for _ in range(5):
        posted()
    attempt(lambda client: client.flushdb())
    assert engine.drain(admin.tenant_id, "normal") == 2
    # A full chunk asked for a second worker, and then the turn was over.
    assert sorted(queued()) == [[str(admin.tenant_id), "normal", 0], [str(admin.tenant_id), "normal", 1]]
    assert state(admin.tenant_id)[0] == "queued"
    assert engine.drain(admin.tenant_id, "normal") == 2
    assert engine.drain(admin.tenant_id, "normal") == 1
    assert len(mail_server.messages()) == 5


def test_the_sweeper_finds_what_has_no_token(
    sender: Persona, stranger: Persona, make_credential: Callable[..., Credential]
) -> None:
    make_credential(stranger.tenant)
    when = (timezone.now() + timedelta(hours=1)).isoformat()
    scheduled = UUID(sender.client.post(RECORDS, example(scheduled_at=when)).json()["id"])
    sender.client.post(RECORDS, example(lane="bulk"))
    stranger.client.post(RECORDS, example(scheduled_at=when))
    attempt(lambda client: client.flushdb())
    sweep()
    assert (tokens("bulk"), tokens("normal")) == (1, 0)
    assert heartbeat.silence("worker") is not None
    change(sender.tenant, scheduled, due_at=timezone.now())
    sweep()
    sweep()
    assert (queued("bulk"), queued("normal")) == (
        [[str(sender.tenant_id), "bulk", 0]],
        [[str(sender.tenant_id), "normal", 0]],
    )


def test_the_sweeper_takes_back_what_a_lost_worker_had(sender: Persona) -> None:
    record_id = UUID(sender.client.post(RECORDS, EXAMPLE).json()["id"])
    attempt(lambda client: client.flushdb())
    change(
        sender.tenant,
        record_id,
        status="sending",
        lease_token=new_id(),
        lease_until=timezone.now() - timedelta(seconds=1),
    )
    sweep()
    assert load(sender.tenant, record_id).status == "retrying"
    assert tokens() == 1


def test_a_task_drains_with_the_processs_engine(
    admin: Persona, posted: Post, mail_server: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notifications.records.engine._engine", None)
    record_id = posted()
    try:
        drain(str(admin.tenant_id), "normal")
    finally:
        close_engine()
    assert load(admin.tenant, record_id).status == "success"


@pytest.fixture
def no_redis(settings: Settings) -> Iterator[None]:
    """Nothing listens where Redis should be."""
    there = settings.REDIS_URL
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    lib_redis.connection.cache_clear()
    yield
    settings.REDIS_URL = there
    lib_redis.connection.cache_clear()
    lib_redis._breaker.succeeded()


def test_without_redis_records_are_accepted_and_sent(
    no_redis: None, admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox
) -> None:
    ids = [posted() for _ in range(10)]
    sweep()  # finds them, and can tell nobody
    assert {load(admin.tenant, each).status for each in ids} == {"pending"}
    assert engine.drain(admin.tenant_id, "normal") == 10
    assert {load(admin.tenant, each).status for each in ids} == {"success"}


def test_what_was_accepted_without_redis_is_found_when_it_is_back(
    sender: Persona, request: pytest.FixtureRequest, settings: Settings
) -> None:
    there = settings.REDIS_URL
    request.getfixturevalue("no_redis")
    assert sender.client.post(RECORDS, EXAMPLE).status_code == 201
    settings.REDIS_URL = there
    lib_redis.connection.cache_clear()
    lib_redis._breaker.succeeded()
    assert tokens() == 0
    sweep()
    assert queued() == [[str(sender.tenant_id), "normal", 0]]
