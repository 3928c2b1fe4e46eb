"""What ends a socket, and that nothing is left of it then."""

from __future__ import annotations

import asyncio
import base64
import json
import socket as sockets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psutil  # type: ignore[import-untyped]
import pytest
from websockets.exceptions import ConnectionClosed

from notification_service.lib.scope import tenant_scope
from notifications.inbox import live
from notifications.inbox.socket.threads import in_thread
from tenants import sessions
from tenants.models import Membership, Role, Tenant, TenantStatus, User
from tests.conftest import Persona
from tests.inbox.clients import SECONDS, id_of, open_client, open_sockets, play, token_of
from tests.inbox.conftest import LiveServer, put
from tests.running_service import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("live")]


class TestWhatEndsASocket:
    def test_its_token_expires(self, server: LiveServer, ada: Persona) -> None:
        token = token_of(ada, lifetime=timedelta(seconds=-27))  # within the leeway for clocks that differ

        async def scenario() -> None:
            client = await open_client(server, token)
            assert await client.closed() == (4401, "token_expired: The token has expired.")

        play(scenario())

    @pytest.mark.parametrize("event", ["session", "membership", "person", "tenant"])
    def test_the_right_to_it_ends(self, server: LiveServer, ada: Persona, tenant: Tenant, event: str) -> None:
        session = sessions.start(ada.user, tenant, Role.EMPLOYEE)
        family = sessions.RefreshToken.objects.get().family

        def revoke() -> None:
            if event == "session":
                sessions.end(family)
            elif event == "membership":
                with tenant_scope(tenant.id):
                    Membership.objects.all().delete()
            elif event == "person":
                User.objects.filter(id=ada.user.id).update(is_active=False)
            else:
                Tenant.objects.filter(id=tenant.id).update(status=TenantStatus.SUSPENDED)

        expected = {
            "session": "4401 session_ended",
            "membership": "4401 membership_ended",
            "person": "4401 user_inactive",
            "tenant": "4403 tenant_suspended",
        }

        async def scenario() -> None:
            client = await open_client(server, session.access_token)
            await client.next("ping")  # it is looked at again, and may stay
            await in_thread(revoke)
            code, reason = await client.closed()
            assert f"{code} {reason.partition(':')[0]}" == expected[event]

        play(scenario())

    @pytest.mark.parametrize(
        ("frames", "expected"),
        [
            (["{"] * 3, "4400 malformed"),
            ([json.dumps({"type": "ping", "ref": "x" * 33_000})], "1009 frame_too_big"),
            ([json.dumps({"type": "ping"})] * 100, "4429 too_many_commands"),
        ],
        ids=["malformed", "too big", "too many"],
    )
    def test_it_goes_too_far(self, server: LiveServer, ada: Persona, frames: list[str], expected: str) -> None:
        token = token_of(ada)

        async def scenario() -> None:
            client = await open_client(server, token)
            for frame in frames:
                await client.socket.send(frame)
            code, reason = await client.closed()
            assert f"{code} {reason.partition(':')[0]}" == expected

        play(scenario())

    def test_it_answered_heartbeats_and_does_no_more(self, server: LiveServer, ada: Persona) -> None:
        token = token_of(ada)

        async def scenario() -> None:
            client = await open_client(server, token)
            await client.next("ping")  # answered
            await client.fall_silent()

            async def read_on() -> None:
                while True:
                    assert json.loads(await client.socket.recv())["type"] == "ping"

            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(read_on(), 30)
            assert client.socket.close_code == 4408

        play(scenario())

    def test_its_reader_is_too_slow(self, server: LiveServer, ada: Persona) -> None:
        """Somebody who reads nothing costs bounded memory, holds up nobody, and is really gone in the end."""
        token, me = token_of(ada), id_of(ada)
        big = {"type": "progress", "kind": "campaign", "id": str(uuid4()), "detail": "x" * 100_000}

        def shout() -> None:
            for _ in range(200):
                live.publish_to_user(ada.tenant_id, me, big)

        with deaf_client(server, token) as deaf:

            async def scenario() -> None:
                quick = await open_client(server, token)
                await in_thread(wait_until, lambda: open_sockets(ada) == 2, SECONDS)
                shouting = asyncio.ensure_future(in_thread(shout))
                for _ in range(200):
                    await quick.next("progress")
                await shouting
                await in_thread(put, ada.tenant_id, me)
                await quick.until(1)

            play(scenario())
            wait_until(lambda: open_sockets(ada) == 0, 15)  # the quick one left, this one was dropped
            wait_until(lambda: not is_held(server, deaf), 15)
            with pytest.raises(ConnectionResetError):
                read_all(deaf)


@contextmanager
def deaf_client(server: LiveServer, token: str) -> Iterator[sockets.socket]:
    """Open a socket and read nothing."""
    key = base64.b64encode(b"0123456789abcdef").decode()
    with sockets.socket() as deaf:
        deaf.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", server.port))
        deaf.sendall(
            f"GET /ws/notifications/?token={token} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        yield deaf


def read_all(client: sockets.socket) -> None:
    """Read up to the end of a connection. Raises ``ConnectionResetError``."""
    while client.recv(65_536):
        pass


def is_held(server: LiveServer, client: sockets.socket) -> bool:
    """Whether the server's process still has the other end of this connection."""
    connections = psutil.Process(server.process.pid).net_connections("tcp4")
    return client.getsockname() in [tuple(each.raddr) for each in connections]


def test_a_server_that_is_told_to_end_waits_for_no_reader(server: LiveServer, ada: Persona, tmp_path: Path) -> None:
    """Its buffers are full of what nobody reads, and less than would have it drop the reader."""
    token, me = token_of(ada), id_of(ada)
    other = LiveServer(tmp_path)
    with deaf_client(other, token) as deaf:
        wait_until(lambda: open_sockets(ada) == 1, SECONDS)
        for _ in range(40):
            live.publish_to_user(ada.tenant_id, me, {"type": "progress", "detail": "x" * 100_000})
        assert is_held(other, deaf)
        begin = time.monotonic()
        other.stop()
        assert time.monotonic() - begin < 10 + 15, "no longer than --timeout-graceful-shutdown, and what comes after it"
    assert "Application shutdown complete" in other.printed
