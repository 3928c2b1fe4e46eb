"""Servers that are killed, a Redis that is restarted: whoever was connected misses nothing."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.utils import timezone
from pytest_django import Settings
from websockets.exceptions import ConnectionClosed

from notification_service.lib import redis as redis_library
from notification_service.lib.scope import tenant_scope
from notification_service.local.ports import free_ports
from notification_service.local.redis import EmbeddedRedis
from notifications.inbox import replay, services, tasks
from notifications.inbox.socket.threads import in_thread
from tenants.issuers import LEEWAY
from tenants.models import Role, Tenant
from tenants.tokens import issue_access_token
from tests.conftest import Persona
from tests.inbox.clients import Client, open_client, play, refused
from tests.inbox.conftest import LiveServer, put

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("live"), pytest.mark.timeout(400)]

PEOPLE, DEVICES = 400, 5
#: How many clients come at the same moment: whoever lost their server waits a little, each a different while.
TOGETHER = 100
#: Descriptors that the clients, and the server, need besides those of the sockets.
SPARE_FILES = 500


@pytest.fixture
def _enough_files() -> Iterator[None]:
    """Let this process, and the server that it starts, open as many sockets as it takes."""
    needed = PEOPLE * DEVICES + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("_enough_files")
def test_a_killed_server_loses_nothing_for_anybody(
    server: LiveServer, make_persona: Callable[..., Persona], tenant: Tenant, tmp_path: Path
) -> None:
    """2,000 sockets; messages before, while it is down, and after."""
    personas = [make_persona(tenant, Role.EMPLOYEE, f"p{number}@acme.example") for number in range(PEOPLE)]
    tokens = [issue_access_token(each.user, tenant, Role.EMPLOYEE) for each in personas]
    ids = [str(each.user.id) for each in personas]
    victim = LiveServer(tmp_path, LIVE_SOCKETS_PER_USER=str(DEVICES * 3), LIVE_HEARTBEAT_SECONDS="10")

    async def scenario() -> None:
        turn = asyncio.Semaphore(TOGETHER)

        async def come(token: str, before: Client | None = None) -> Client:
            position = {"epoch": before.epoch, "seq": before.seq} if before else {}
            async with turn:
                client = await open_client(victim, token, compression=None, **position)
            client.got = before.got + client.got if before else client.got
            return client

        clients = await asyncio.gather(*(come(token) for token in tokens for _ in range(DEVICES)))
        assert len(clients) == PEOPLE * DEVICES
        await in_thread(put, tenant.id, *ids * 2)
        await asyncio.gather(
            *(client.until(2, seconds=120) for client in clients[::2])
        )  # the others are not so far yet
        await in_thread(put, tenant.id, *ids)  # nobody has them: the server dies with these in its buffers
        await in_thread(victim.stop, signal.SIGKILL)
        await in_thread(put, tenant.id, *ids * 3)
        await in_thread(victim.start)
        again = await asyncio.gather(*(come(tokens[place // DEVICES], client) for place, client in enumerate(clients)))
        await in_thread(put, tenant.id, *ids)
        await asyncio.gather(*(client.until(7, seconds=120) for client in again))
        for client in again:
            assert [frame["seq"] for frame in client.got] == [1, 2, 3, 4, 5, 6, 7]
            assert len({frame["id"] for frame in client.got}) == 7
            assert client.unread == 7

    try:
        play(scenario())
    finally:
        victim.stop()


def test_redis_restarted_with_nothing_kept(
    server: LiveServer, make_persona: Callable[..., Persona], tenant: Tenant, tmp_path: Path, settings: Settings
) -> None:
    """While it is away messages are still written; when it is back they arrive, and so does what comes after."""
    ada = make_persona(tenant, Role.EMPLOYEE)
    token, me = issue_access_token(ada.user, tenant, Role.EMPLOYEE), str(ada.user.id)
    (port,) = free_ports(1)
    own = EmbeddedRedis(tmp_path / "redis", port, durable=False)
    (tmp_path / "redis").mkdir(exist_ok=True)

    def use(url: str) -> None:
        settings.REDIS_URL = url
        redis_library.connection.cache_clear()
        redis_library._breaker.succeeded()  # what the other one did counts no more

    before = settings.REDIS_URL
    away = asyncio.Event()

    async def scenario(other: LiveServer) -> None:
        client = await open_client(other, token)
        await in_thread(put, tenant.id, me)
        await client.until(1)
        away.set()

        async def missed() -> None:
            await in_thread(put, tenant.id, me, me)

        running.__exit__(None, None, None)
        await missed()
        again = own.running(owner=tmp_path)
        again.__enter__()
        try:
            await client.until(3, seconds=30)
            await in_thread(put, tenant.id, me)
            await client.until(4, seconds=30)
            assert [frame["seq"] for frame in client.got] == [1, 2, 3, 4]
            assert await open_client(other, token), "and sockets are counted again"
        finally:
            again.__exit__(None, None, None)

    running = own.running(owner=tmp_path)
    running.__enter__()
    use(own.url)
    try:
        (tmp_path / "server").mkdir()
        other = LiveServer(tmp_path / "server", REDIS_URL=own.url)
        try:
            play(scenario(other))
        finally:
            other.stop(signal.SIGKILL)
    finally:
        use(before)


def test_a_laptop_that_slept_for_two_hours(
    server: LiveServer, make_persona: Callable[..., Persona], tenant: Tenant
) -> None:
    """It says nothing and reads nothing, and its token runs out; it comes back with a new one and misses nothing."""
    ada = make_persona(tenant, Role.EMPLOYEE)
    me = str(ada.user.id)

    def token(**more: timedelta) -> str:
        return issue_access_token(ada.user, tenant, Role.EMPLOYEE, **more)

    def read(message: UUID) -> None:
        with tenant_scope(tenant.id):
            services.mark_read(me, ids=[message])

    async def scenario() -> None:
        old = token(lifetime=timedelta(seconds=6 - LEEWAY))
        laptop, phone = await open_client(server, old), await open_client(server, token())
        (first,) = await in_thread(put, tenant.id, me)
        await laptop.until(1)
        await laptop.next("ping")
        await laptop.fall_silent()
        await in_thread(put, tenant.id, *[me] * 150)
        await in_thread(read, first)
        await in_thread(put, tenant.id, *[me] * 148)
        await phone.until(300)
        with pytest.raises(ConnectionClosed):  # what it finds when it wakes
            await asyncio.wait_for(drained(laptop), 30)
        assert laptop.socket.close_code in (4401, 4408)
        code, _ = await refused(server, f"/ws/notifications/?token={old}")
        assert code == 4401
        again = await open_client(server, token(), epoch=laptop.epoch, seq=laptop.seq)
        assert [frame["seq"] for frame in again.got] == list(range(2, 301))
        assert [frame.get("id") for frame in again.got] == [frame.get("id") for frame in phone.got[1:]]

    play(scenario())


def test_what_was_missed_in_two_hours_is_still_there(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Housekeeping, two hours later, leaves what somebody who slept has to resume."""
    with tenant_scope(tenant.id):
        (message,) = put(tenant.id, "ada")
        services.mark_read("ada", ids=[message])
        services.delete("ada", ids=[message])
    later = timezone.now() + timedelta(hours=2)
    monkeypatch.setattr(tasks.timezone, "now", lambda: later)
    tasks.housekeep()
    frames = replay.frames_between(tenant.id, "ada", 0, 3)
    assert frames is not None
    assert [seq for seq, _ in frames] == [1, 2, 3]


async def drained(client: Client) -> None:
    """Read what a connection holds, up to its end."""
    while True:
        await client.socket.recv()
