"""Several credentials for one channel: who sends when another can not, who is left alone, and who waits for a turn."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from notification_service.lib.ids import new_id
from notification_service.lib.redis import attempt
from notification_service.lib.scope import tenant_scope
from notifications.credentials import circuit
from notifications.credentials.models import Credential
from notifications.credentials.services import create_credential
from notifications.records import engine as engine_module
from notifications.records import queue
from notifications.records.ends import take_back_lost
from notifications.records.engine import Engine
from notifications.records.models import NotificationRecord
from tenants.callers import system_caller
from tests.conftest import Persona
from tests.providers.smtp_servers import OddServer, free_port
from tests.records.conftest import RECORDS, attempts_of, change, example, load
from tests.sandbox.conftest import Sandbox, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

CREDENTIALS = "/api/notifications/credentials/"
Use = Callable[..., Credential]
Post = Callable[..., UUID]


@pytest.fixture
def use(admin: Persona) -> Use:
    """Give ``acme`` a credential at a port of this machine."""

    def make(
        port: int, *, persona: Persona = admin, payload: dict[str, Any] | None = None, **fields: Any
    ) -> Credential:
        given = {"host": "127.0.0.1", "port": port, "security": "none", "from_email": "app@acme.example", "timeout": 1}
        with tenant_scope(persona.tenant_id):
            return create_credential(
                system_caller(persona.tenant_id, "test"),
                channel="email",
                provider="smtp",
                payload={**given, **(payload or {})},
                **fields,
            )

    return make


@pytest.fixture
def post(admin: Persona) -> Post:
    """Post the example with changes for ``acme``; returns the record's id."""

    def make(*, persona: Persona = admin, **changes: Any) -> UUID:
        answer = persona.client.post(RECORDS, example(**changes))
        assert answer.status_code == 201, answer.json()
        return UUID(answer.json()["id"])

    return make


@pytest.fixture
def odd() -> Iterator[Callable[..., OddServer]]:
    """Run scripted mail servers in a thread of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers: list[tuple[OddServer, asyncio.Server]] = []

    def start(**script: Any) -> OddServer:
        server = OddServer(script)

        async def listen() -> asyncio.Server:
            return await asyncio.start_server(server.serve, "127.0.0.1", 0)

        listener = asyncio.run_coroutine_threadsafe(listen(), loop).result(5)
        server.port = listener.sockets[0].getsockname()[1]
        servers.append((server, listener))
        return server

    yield start

    async def stop() -> None:
        for server, listener in servers:
            listener.close()
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(stop(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


def tries(persona: Persona, record_id: UUID) -> list[tuple[int, UUID | None, str, str]]:
    """Return (number, credential, outcome, reason) of each attempt."""
    found = attempts_of(persona.tenant, record_id)
    return [(each.number, each.credential_id, each.outcome, each.failure_reason) for each in found]


def health(persona: Persona, credential: Credential) -> dict[str, Any]:
    return dict(persona.client.get(f"{CREDENTIALS}{credential.id}/").json()["health"])


def rest(credential: Credential) -> None:
    """Let the time pass for which a circuit is open."""
    key = f"tenant:{credential.tenant_id}:circuit:{credential.id}"
    assert attempt(lambda client: client.hset(key, "open_until", str(time.time() - 1))) == 0, "it was open"


def at_most_once(persona: Persona) -> None:
    persona.tenant.settings = {**persona.tenant.settings, "delivery_guarantee": "at_most_once"}
    persona.tenant.save()


# --- From one to the next -----------------------------------------------------------------------------------------


def test_the_second_sends_in_the_same_claim_when_the_first_is_not_there(
    admin: Persona, use: Use, post: Post, engine: Engine, mail_server: Sandbox
) -> None:
    away, there = use(free_port(), position=0), use(mail_server.smtp_port, position=1)
    record_id = post()
    assert engine.drain(admin.tenant_id, "normal") == 1
    record = load(admin.tenant, record_id)
    assert (record.status, record.failure_reason, record.credential_id) == ("success", "", there.id)
    assert (record.attempt_count, record.retry_count) == (2, 0)
    assert tries(admin, record_id) == [
        (1, away.id, "retrying", "network_error"),
        (2, there.id, "success", ""),
    ]
    story = admin.client.get(f"{RECORDS}{record_id}/timeline/").json()["timeline"]
    told = [(step["attempt"], step["status"]) for step in story if step["event"] == "attempt"]
    assert told == [(1, "retrying"), (2, "success")]
    assert len(mail_server.messages()) == 1


def test_the_second_sends_when_the_first_is_refused_and_paused(
    admin: Persona, use: Use, post: Post, engine: Engine, mail_server: Sandbox
) -> None:
    login = {"username": "acme", "password": "wrong password"}
    refused, good = use(mail_server.smtp_port, position=0, payload=login), use(mail_server.smtp_port, position=1)
    ids = [post(recipient=f"r{number}@example.com") for number in range(3)]
    engine.drain(admin.tenant_id, "normal")
    assert {load(admin.tenant, each).status for each in ids} == {"success"}
    assert tries(admin, ids[0])[-1][1:] == (good.id, "success", "")
    assert admin.client.get(f"{CREDENTIALS}{refused.id}/").json()["status"] == "paused"
    assert sorted(mail["to"] for mail in mail_server.messages()) == [f"r{number}@example.com" for number in range(3)]
    later = post()
    engine.drain(admin.tenant_id, "normal")
    assert tries(admin, later) == [(1, good.id, "success", "")], "a paused one is not asked again"


def test_the_second_sends_when_the_firsts_server_answers_every_message_with_a_temporary_error(
    admin: Persona, use: Use, post: Post, engine: Engine, mail_server: Sandbox, odd: Callable[..., OddServer]
) -> None:
    full = odd(MAIL=b"452 4.3.1 Insufficient system storage\r\n")
    first, second = use(full.port, position=0), use(mail_server.smtp_port, position=1)
    record_id = post()
    engine.drain(admin.tenant_id, "normal")
    assert tries(admin, record_id) == [
        (1, first.id, "retrying", "provider_error"),
        (2, second.id, "success", ""),
    ]


def test_what_is_refused_for_good_is_offered_to_nobody_else(
    admin: Persona, use: Use, post: Post, engine: Engine, mail_server: Sandbox, odd: Callable[..., OddServer]
) -> None:
    strict = odd(RCPT=b"550 5.1.1 no such mailbox\r\n")
    first, _ = use(strict.port, position=0), use(mail_server.smtp_port, position=1)
    record_id = post()
    engine.drain(admin.tenant_id, "normal")
    assert tries(admin, record_id) == [(1, first.id, "failed", "provider_error")]
    assert mail_server.messages() == []


def test_a_refused_second_does_not_end_what_the_first_may_send_later(
    admin: Persona, use: Use, post: Post, engine: Engine, mail_server: Sandbox
) -> None:
    away = use(free_port(), position=0)
    login = {"username": "acme", "password": "wrong password"}
    refused = use(mail_server.smtp_port, position=1, payload=login)
    record_id = post()
    engine.drain(admin.tenant_id, "normal")
    record = load(admin.tenant, record_id)
    assert (record.status, record.failure_reason, record.retry_count) == ("pending", "auth_error", 0)
    assert [each[1:] for each in tries(admin, record_id)] == [
        (away.id, "retrying", "network_error"),
        (refused.id, "pending", "auth_error"),
    ]
    moved = {"channel": "email", "credentials": {"port": mail_server.smtp_port}}
    assert admin.client.patch(f"{CREDENTIALS}{away.id}/", moved).status_code == 200  # it is back
    engine.drain(admin.tenant_id, "normal")
    assert load(admin.tenant, record_id).status == "success"


# --- When it is not known whether it was sent ---------------------------------------------------------------------


def test_after_a_failure_in_doubt_the_same_one_is_asked_again(
    admin: Persona, use: Use, post: Post, engine: Engine, mail_server: Sandbox, odd: Callable[..., OddServer]
) -> None:
    """The server closes the connection after the final dot, once: it may have taken the message."""
    torn = odd(message=("close", b"250 2.0.0 Ok: queued as ABCDEF12\r\n"))
    first, _ = use(torn.port, position=0), use(mail_server.smtp_port, position=1)
    record_id = post()
    engine.drain(admin.tenant_id, "normal")
    wait_until(lambda: engine.drain(admin.tenant_id, "normal") == 0 and load(admin.tenant, record_id).is_final)
    assert tries(admin, record_id) == [
        (1, first.id, "retrying", "network_error"),
        (2, first.id, "success", ""),
    ]
    assert [each.ambiguous for each in attempts_of(admin.tenant, record_id)] == [True, False]
    assert mail_server.messages() == [], "the second was never asked"
    assert torn.recipients() == ["ada@example.com"]


def test_at_most_once_gives_up_when_in_doubt(
    admin: Persona, use: Use, post: Post, engine: Engine, mail_server: Sandbox, odd: Callable[..., OddServer]
) -> None:
    at_most_once(admin)
    torn = odd(message=("close", b"250 2.0.0 ok\r\n"))
    first, _ = use(torn.port, position=0), use(mail_server.smtp_port, position=1)
    record_id = post()
    engine.drain(admin.tenant_id, "normal")
    assert tries(admin, record_id) == [(1, first.id, "failed", "network_error")]
    record = load(admin.tenant, record_id)
    assert (record.status, record.retry_count) == ("failed", 0)
    assert engine.drain(admin.tenant_id, "normal") == 0
    assert (mail_server.messages(), torn.recipients()) == ([], [])


def test_at_most_once_still_retries_what_was_surely_not_sent(
    admin: Persona, use: Use, post: Post, engine: Engine, mail_server: Sandbox
) -> None:
    at_most_once(admin)
    use(mail_server.smtp_port)
    record_id = post(recipient="fail-temporary+1@once.example")
    wait_until(lambda: engine.drain(admin.tenant_id, "normal") == 0 and load(admin.tenant, record_id).is_final)
    assert [each[2] for each in tries(admin, record_id)] == ["retrying", "success"]
    assert len(mail_server.messages()) == 1


@pytest.mark.parametrize(("once", "becomes"), [(True, "failed"), (False, "retrying")])
def test_what_a_lost_worker_had_is_sent_again_unless_it_must_not_go_out_twice(
    admin: Persona, use: Use, post: Post, once: bool, becomes: str
) -> None:
    if once:
        at_most_once(admin)
    use(free_port())
    record_id = post()
    past = timezone.now() - timedelta(seconds=1)
    change(admin.tenant, record_id, status="sending", lease_token=new_id(), lease_until=past)
    assert take_back_lost() == 1
    record = load(admin.tenant, record_id)
    assert (record.status, record.lost_count, record.lease_token) == (becomes, 1, None)
    story = admin.client.get(f"{RECORDS}{record_id}/timeline/").json()["timeline"]
    assert "worker_lost" in [step["event"] for step in story]


def test_nobody_is_taken_for_lost_when_the_database_has_just_started(
    admin: Persona, use: Use, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it was away no worker could renew its lease; they are heard first."""
    use(free_port())
    record_id = post()
    past = timezone.now() - timedelta(seconds=1)
    change(admin.tenant, record_id, status="sending", lease_token=new_id(), lease_until=past)
    monkeypatch.setattr(queue, "GRACE_SECONDS", 1_000_000)
    assert take_back_lost() == 0
    assert load(admin.tenant, record_id).status == "sending"


# --- Circuits -----------------------------------------------------------------------------------------------------


def test_a_provider_that_keeps_failing_is_left_alone_and_tried_with_one_message(
    admin: Persona, use: Use, post: Post, engine: Engine, mail_server: Sandbox, settings: Settings
) -> None:
    settings.RETRY_BASE_SECONDS = 60
    port = free_port()
    credential = use(port)
    burnt = [post(recipient=f"burnt{number}@example.com") for number in range(5)]
    engine.drain(admin.tenant_id, "normal")
    assert {load(admin.tenant, each).retry_count for each in burnt} == {1}
    opened = health(admin, credential)
    assert (opened["state"], opened["failures"]) == ("open", 5)

    held = [post(recipient=f"held{number}@example.com") for number in range(4)]
    engine.drain(admin.tenant_id, "normal")
    for each in held:
        record = load(admin.tenant, each)
        assert (record.status, record.failure_reason) == ("pending", "provider_error")
        assert (record.retry_count, record.attempt_count) == (0, 0)
        assert record.due_at.isoformat() == datetime.fromisoformat(opened["open_until"]).isoformat()
        assert attempts_of(admin.tenant, each) == []

    # Half-open and still away: one message finds out, nobody else pays for it, and the rest is twice as long.
    rest(credential)
    assert health(admin, credential)["state"] == "half_open"
    change(admin.tenant, *held, due_at=timezone.now())
    engine.drain(admin.tenant_id, "normal")
    assert sorted(load(admin.tenant, each).attempt_count for each in held) == [0, 0, 0, 1]
    longer = datetime.fromisoformat(health(admin, credential)["open_until"]) - timezone.now()
    assert timedelta(seconds=25) < longer <= timedelta(seconds=30)


def test_a_success_closes_the_circuit_and_lets_the_others_through(
    admin: Persona, use: Use, post: Post, engine: Engine, mail_server: Sandbox, odd: Callable[..., OddServer]
) -> None:
    busy = b"421 4.3.2 shutting down\r\n"
    moody = odd(greeting=(*[busy] * 2, b"220 odd.test ESMTP\r\n"))
    credential = use(moody.port)
    for _ in range(5):
        with tenant_scope(admin.tenant_id):
            circuit.report(admin.tenant_id, credential.id, good=0, bad=1)
    assert health(admin, credential)["state"] == "open"
    ids = [post(recipient=f"r{number}@example.com") for number in range(6)]
    engine.drain(admin.tenant_id, "normal")
    assert moody.connections == 0
    for expected in ("open", "open", "closed"):  # two tries meet a server that is busy, the third does not
        rest(credential)
        change(admin.tenant, *[each for each in ids if not load(admin.tenant, each).is_final], due_at=timezone.now())
        engine.drain(admin.tenant_id, "normal")
        assert health(admin, credential)["state"] == expected
    assert {load(admin.tenant, each).status for each in ids} == {"success"}
    assert sorted(moody.recipients()) == [f"r{number}@example.com" for number in range(6)]


def test_news_of_a_credential_frees_what_waits_for_a_circuit(
    admin: Persona, use: Use, post: Post, engine: Engine, mail_server: Sandbox
) -> None:
    credential = use(free_port())
    for _ in range(5):
        circuit.report(admin.tenant_id, credential.id, good=0, bad=1)
    record_id = post()
    engine.drain(admin.tenant_id, "normal")
    assert load(admin.tenant, record_id).due_at > timezone.now() + timedelta(seconds=5)
    corrected = {"credentials": {"port": mail_server.smtp_port}}
    assert admin.client.patch(f"{CREDENTIALS}{credential.id}/", corrected).json()["health"]["state"] == "closed"
    engine.drain(admin.tenant_id, "normal")
    assert load(admin.tenant, record_id).status == "success"


def test_greylisting_opens_no_circuit(
    admin: Persona, use: Use, post: Post, engine: Engine, mail_server: Sandbox, settings: Settings
) -> None:
    settings.RETRY_BASE_SECONDS = 60
    credential = use(mail_server.smtp_port)
    ids = [post(recipient=f"fail-temporary+9@g{number}.example") for number in range(12)]
    engine.drain(admin.tenant_id, "normal")
    assert {load(admin.tenant, each).status for each in ids} == {"retrying"}
    assert health(admin, credential) == {"state": "closed", "failures": 0, "open_until": None}


def test_a_refused_mailbox_opens_no_circuit(
    admin: Persona, use: Use, post: Post, engine: Engine, mail_server: Sandbox
) -> None:
    credential = use(mail_server.smtp_port)
    ids = [post(recipient=f"fail-permanent@p{number}.example") for number in range(12)]
    engine.drain(admin.tenant_id, "normal")
    assert {load(admin.tenant, each).status for each in ids} == {"failed"}
    assert health(admin, credential)["state"] == "closed"


# --- Turns --------------------------------------------------------------------------------------------------------


def test_a_rate_limit_spreads_what_is_too_much_and_nobody_waits_for_it(
    admin: Persona, use: Use, post: Post, engine: Engine, mail_server: Sandbox
) -> None:
    use(mail_server.smtp_port, rate_limit=5)
    ids = [post(recipient=f"r{number}@example.com") for number in range(20)]
    began = timezone.now()
    engine.drain(admin.tenant_id, "normal")
    took = timezone.now() - began
    sent = [each for each in ids if load(admin.tenant, each).status == "success"]
    waiting = [record for each in ids if (record := load(admin.tenant, each)).status == "pending"]
    assert len(sent) + len(waiting) == 20
    assert 5 <= len(sent) <= 5 + 5 * took.total_seconds() + 1
    assert {(each.failure_reason, each.retry_count) for each in waiting} == {("rate_limited", 0)}
    dues = sorted(each.due_at for each in waiting)
    assert dues[-1] - dues[0] > timedelta(seconds=0.19) * (len(dues) - 2), "spread over the time that it takes"
    assert dues[-1] - began < timedelta(seconds=5) + took

    def all_sent() -> bool:
        engine.drain(admin.tenant_id, "normal")
        return all(load(admin.tenant, each).status == "success" for each in ids)

    wait_until(all_sent)
    assert timezone.now() - began > timedelta(seconds=2.5), "twenty, five at once and five a second"
    assert sorted(mail["to"] for mail in mail_server.messages(limit=100)) == sorted(
        f"r{number}@example.com" for number in range(20)
    )
    assert {load(admin.tenant, each).retry_count for each in ids} == {0}


def test_a_slow_recipient_does_not_hold_back_a_later_record(
    admin: Persona, use: Use, post: Post, engine: Engine, mail_server: Sandbox
) -> None:
    use(mail_server.smtp_port, payload={"timeout": 10})
    slow = post(recipient="slow+5@example.com")
    engine.drain(admin.tenant_id, "normal", patience=0)
    later = post(recipient="later@example.com")
    engine.drain(admin.tenant_id, "normal", patience=0)
    wait_until(lambda: load(admin.tenant, later).status == "success")
    assert load(admin.tenant, slow).status == "sending"
    wait_until(lambda: load(admin.tenant, slow).status == "success")


def test_a_slow_channel_does_not_hold_back_another_in_the_same_chunk(
    admin: Persona, use: Use, post: Post, engine: Engine, mail_server: Sandbox
) -> None:
    use(mail_server.smtp_port, payload={"timeout": 10})
    account = {
        "account_sid": f"AC{new_id().hex}",
        "auth_token": "0123456789abcdef0123456789abcdef",
        "from_phone": "+15551234567",
        "base_url": f"{mail_server.url}/twilio",
    }
    with tenant_scope(admin.tenant_id):
        create_credential(
            system_caller(admin.tenant_id, "test"), channel="sms", provider="twilio", payload=account, name="SMS"
        )
    mail = post(recipient="slow+5@example.com")
    sms = post(channel="sms", recipient="+14155552671", content={"body": "Hi {{name}}"})
    engine.drain(admin.tenant_id, "normal", patience=0)
    wait_until(lambda: load(admin.tenant, sms).is_final)
    assert (load(admin.tenant, sms).status, load(admin.tenant, mail).status) == ("success", "sending")
    wait_until(lambda: load(admin.tenant, mail).status == "success")


def test_tenants_take_turns(
    admin: Persona,
    stranger: Persona,
    use: Use,
    post: Post,
    engine: Engine,
    mail_server: Sandbox,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.DRAIN_CHUNK, settings.TENANT_CONCURRENCY = 2, 1
    monkeypatch.setattr(engine_module, "TURN", 0.0)
    for persona in (admin, stranger):
        use(mail_server.smtp_port, persona=persona)
    for number in range(8):
        post(recipient=f"r{number}@acme.example")
    last = post(persona=stranger, recipient="ada@globex.example")
    turns = []
    while message := attempt(lambda client: client.rpop("normal")):
        task = orjson.loads(message)  # type: ignore[arg-type]
        tenant_id, lane, slot, _ = orjson.loads(task["headers"]["argsrepr"].replace("'", '"'))
        engine.drain(UUID(tenant_id), lane, slot=slot)
        turns.append(UUID(tenant_id))
        if len(turns) == 2:
            assert load(stranger.tenant, last).status == "success"
    assert turns[:3] == [admin.tenant_id, stranger.tenant_id, admin.tenant_id]
    with tenant_scope(admin.tenant_id):
        assert set(NotificationRecord.objects.values_list("status", flat=True)) == {"success"}


def test_a_tenant_uses_no_more_workers_than_it_may(
    admin: Persona, use: Use, post: Post, engine: Engine, mail_server: Sandbox, settings: Settings
) -> None:
    settings.DRAIN_CHUNK, settings.TENANT_CONCURRENCY = 1, 2
    use(mail_server.smtp_port)
    ids = [post(recipient=f"r{number}@example.com") for number in range(6)]
    attempt(lambda client: client.flushdb())
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda slot: engine.drain(admin.tenant_id, "normal", slot=slot), range(2)))
    queued = attempt(lambda client: client.lrange("normal", 0, -1))
    slots = {orjson.loads(orjson.loads(each)["headers"]["argsrepr"].replace("'", '"'))[2] for each in queued}  # type: ignore[union-attr]
    assert slots <= {0, 1}
    assert {load(admin.tenant, each).status for each in ids} == {"success"}
    assert len(mail_server.messages()) == 6


# --- Provider failures that stay ----------------------------------------------------------------------------------


def test_another_sends_what_one_can_not_for_as_long_as_nobody_acts(
    admin: Persona, use: Use, post: Post, engine: Engine, mail_server: Sandbox
) -> None:
    """A server without the encryption that the credential asks for is not worth a retry, but another credential is."""
    plain = use(mail_server.smtp_port, position=0, payload={"security": "starttls"})
    good = use(mail_server.smtp_port, position=1)
    record_id = post()
    engine.drain(admin.tenant_id, "normal")
    assert tries(admin, record_id) == [
        (1, plain.id, "retrying", "network_error"),
        (2, good.id, "success", ""),
    ]
