"""Several server processes: one order for everybody, and nothing missed when one of them is killed."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from messaging.services import presence
from notifications.inbox.socket.threads import in_thread
from tests.conftest import Persona
from tests.inbox.clients import play
from tests.inbox.conftest import LiveServer
from tests.inbox.conftest import _server as _server
from tests.inbox.conftest import server as server
from tests.messaging.clients import Client, open_client
from tests.messaging.conftest import history, id_of, make_group
from tests.running_service import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("live")]
SECONDS = 30.0


@pytest.fixture(scope="module")
def _other_server(_server: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    other = LiveServer(tmp_path_factory.mktemp("other"), CHAT_PRESENCE_SECONDS="1.5")
    yield other
    other.stop()


@pytest.fixture
def other_server(server: LiveServer, _other_server: LiveServer) -> LiveServer:
    """A second process on the same database and Redis; started again if a test has killed it."""
    if _other_server.process.poll() is not None:
        _other_server.start()
    return _other_server


async def talk(socket: ClientConnection, group: str, number: int) -> None:
    for _ in range(number):
        words = {"type": "send_message", "conversation_id": group, "client_message_id": str(uuid4()), "text": "Hi"}
        await socket.send(json.dumps(words))
        await asyncio.sleep(0.02)


async def hear(client: Client, last: int) -> list[int]:
    """Return the numbers of messages in the order in which they arrive, up to one."""
    got: list[int] = []
    while not got or got[-1] < last:
        frame = await client.read(SECONDS)
        assert frame["type"] != "error", frame
        if frame["type"] == "new_message":
            got.append(frame["message"]["seq"])
    return got


def test_everybody_hears_the_same_order_wherever_they_are(
    server: LiveServer, other_server: LiveServer, ada: Persona, bob: Persona, eve: Persona
) -> None:
    group = make_group(ada, bob, eve)
    begin = history(ada, group)["last_seq"]
    each, people = 12, (ada, bob, eve)

    async def scenario() -> list[list[int]]:
        clients = [await open_client(where, person) for person in people for where in (server, other_server)]
        for client in clients:
            await client.join(group)
        last = begin + each * len(people)
        hearing = [asyncio.create_task(hear(client, last)) for client in clients]
        # Everybody talks at once, on alternating servers.
        await asyncio.gather(*(talk(client.socket, group, each) for client in (clients[0], clients[3], clients[4])))
        heard = await asyncio.gather(*hearing)
        for client in clients:
            await client.socket.close()
        return heard

    heard = play(scenario())
    expected = list(range(begin + 1, begin + 1 + each * len(people)))
    assert heard == [expected] * 6


def test_an_open_socket_is_a_heartbeat(other_server: LiveServer, ada: Persona) -> None:
    def status() -> str:
        return presence.statuses(ada.tenant_id, [id_of(ada)])[id_of(ada)].status

    async def scenario() -> None:
        client = await open_client(other_server, ada)
        await asyncio.sleep(3.0)  # twice as long as it lasts
        assert await in_thread(status) == "online"
        await client.socket.close()
        await in_thread(wait_until, lambda: status() == "offline", SECONDS)

    play(scenario())


def test_a_killed_server_costs_a_reconnect_and_no_message(
    server: LiveServer, other_server: LiveServer, ada: Persona, bob: Persona
) -> None:
    group = make_group(ada, bob)
    begin = history(ada, group)["last_seq"]

    async def scenario() -> list[dict[str, Any]]:
        talker, listener = await open_client(server, ada), await open_client(other_server, bob)
        top = await listener.join(group)
        got: list[dict[str, Any]] = []
        await talk(talker.socket, group, 10)
        with suppress(ConnectionClosed):
            while True:
                frame = await listener.read(SECONDS)
                if frame["type"] == "new_message":
                    got.append(frame["message"])
                if len(got) == 5 and other_server.process.poll() is None:
                    other_server.process.send_signal(signal.SIGKILL)
        assert 5 <= len(got) <= 10
        await talk(talker.socket, group, 15)
        again = await open_client(server, bob)
        seen = got[-1]["seq"] if got else top["last_seq"]
        await again.send("resume", conversation_id=group, after_seq=seen, after_revision=got[-1]["revision"])
        resumed = False
        while not resumed or got[-1]["seq"] < begin + 25:
            frame = await again.read(SECONDS)
            # What is told before the resumption has begun, out of the middle, is part of it too.
            if frame["type"] == "new_message" and (resumed or frame["message"]["seq"] == got[-1]["seq"] + 1):
                got.append(frame["message"])
            resumed = resumed or frame["type"] == "resumed"
        await again.socket.close()
        await talker.socket.close()
        return got

    got = play(scenario())
    assert [message["seq"] for message in got] == list(range(begin + 1, begin + 26))
