"""What sockets bring, in order and without gaps, and who gets one."""

from __future__ import annotations

import asyncio
import base64
import json
import socket as sockets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import psutil  # type: ignore[import-untyped]
import pytest
from websockets.exceptions import ConnectionClosed

from notification_service.lib.redis import attempt
from notification_service.lib.scope import tenant_scope
from notifications.inbox import broadcasts, live, services
from notifications.inbox.socket.threads import in_thread
from tenants import sessions
from tenants.callers import system_caller
from tenants.models import Membership, Role, Tenant, TenantStatus, User
from tenants.tokens import issue_access_token, issue_platform_token
from tests.conftest import Persona
from tests.inbox.clients import SECONDS, Client, connected, open_client, play, refused
from tests.inbox.conftest import LiveServer, put
from tests.running_service import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("live")]


@pytest.fixture
def ada(make_persona: Callable[..., Persona], tenant: Tenant) -> Persona:
    return make_persona(tenant, Role.EMPLOYEE)


def token_of(persona: Persona, **more: Any) -> str:
    return issue_access_token(persona.user, persona.tenant, Role.EMPLOYEE, **more)


def id_of(persona: Persona) -> str:
    return str(persona.user.id)


def open_sockets(persona: Persona) -> int:
    """How many sockets the service counts in a person's tenant."""
    key = f"tenant:{persona.tenant_id}:sockets"
    return attempt(lambda redis: cast("int", redis.zcard(key)))


def test_a_message_arrives_on_every_device_and_is_read_on_all(server: LiveServer, ada: Persona) -> None:
    token, me = token_of(ada), id_of(ada)

    async def scenario() -> None:
        phone, laptop = await open_client(server, token), await open_client(server, token)
        (message,) = await in_thread(put, ada.tenant_id, me)
        for device in (phone, laptop):
            frame = await device.next("notification")
            assert (frame["id"], frame["seq"], frame["unread"], frame["title"]) == (str(message), 1, 1, "Hi")
            assert frame["description"] == frame["body"] == "There"
        await phone.send(type="mark_read", ids=[str(message)], ref="a")
        answers = [await phone.next("ack", "read"), await phone.next("ack", "read")]
        ack = next(frame for frame in answers if frame["type"] == "ack")
        assert (ack["ref"], ack["changed"], ack["unread"]) == ("a", 1, 0)
        read = await laptop.next("read")
        assert (read["ids"], read["seq"], read["unread"]) == ([str(message)], 2, 0)

    play(scenario())


def test_resume_gives_exactly_what_was_missed(server: LiveServer, ada: Persona) -> None:
    token, me = token_of(ada), id_of(ada)

    async def scenario() -> None:
        first = await open_client(server, token)
        await in_thread(put, ada.tenant_id, me)
        await first.until(1)
        await first.socket.close()
        missed = await in_thread(put, ada.tenant_id, *[me] * 20)

        def read() -> None:
            with tenant_scope(ada.tenant_id):
                services.mark_read(me, ids=missed[:1])

        await in_thread(read)
        again = await open_client(server, token, epoch=first.epoch, seq=first.seq)
        assert [frame["seq"] for frame in again.got] == list(range(2, 23))
        assert [frame["id"] for frame in again.got[:20]] == [str(each) for each in missed]
        assert again.got[0]["read_at"] is not None, "as it is now"
        assert again.got[20]["type"] == "read"
        assert again.unread == 20
        in_address = await connected(server.address(f"/ws/notifications/?token={token}&epoch={first.epoch}&seq=20"))
        client = Client(in_address, first.epoch, 20)
        resumed = await client.next("resumed")
        assert (resumed["count"], [frame["seq"] for frame in client.got]) == (2, [21, 22])

    play(scenario())


def test_resume_from_nowhere_is_a_resync(server: LiveServer, ada: Persona) -> None:
    token, me = token_of(ada), id_of(ada)
    put(ada.tenant_id, *[me] * 301)

    async def scenario() -> None:
        client = await open_client(server, token)
        for position, reason in (
            ({"epoch": str(uuid4()), "seq": 1}, "epoch_over"),
            ({"epoch": client.epoch, "seq": 0}, "too_many"),
            ({"epoch": client.epoch, "seq": 302}, "unknown_position"),
            ({"epoch": client.epoch, "seq": "1"}, "unknown_position"),
        ):
            await client.send(type="resume", **position)
            answer = await client.next("resync")
            assert (answer["reason"], answer["seq"], answer["unread"]) == (reason, 301, 301)
        await in_thread(put, ada.tenant_id, me)
        await client.until(302)

    play(scenario())


def test_early_late_and_lost_news_become_an_unbroken_stream(server: LiveServer, ada: Persona) -> None:
    """The gap is healed without the client doing anything, and nothing comes twice."""
    token, me = token_of(ada), id_of(ada)

    def lose(*user_ids: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("notifications.inbox.live._after_commit", lambda *_: None)
            put(ada.tenant_id, *user_ids)

    async def scenario() -> None:
        client = await open_client(server, token)
        await in_thread(lose, me, me)
        await in_thread(put, ada.tenant_id, me)
        await client.until(3)
        await in_thread(lose, me)
        await client.until(4)
        envelope = live.envelope(live.STREAM, ada.tenant_id, [[me, 2, '{"type":"read","seq":2}']])
        attempt(lambda redis: redis.publish("notifications:live", envelope))
        await in_thread(put, ada.tenant_id, me)
        await client.until(5)
        assert [frame["seq"] for frame in client.got] == [1, 2, 3, 4, 5]

    play(scenario())


def test_a_broadcast_reaches_who_is_connected_and_who_comes_later(
    server: LiveServer, ada: Persona, make_persona: Callable[..., Persona], tenant: Tenant
) -> None:
    token = token_of(ada)
    later = make_persona(tenant, Role.EMPLOYEE, "later@acme.example")

    def send() -> None:
        with tenant_scope(tenant.id):
            broadcasts.create(system_caller(tenant.id, "test"), audience="tenant", content={"title": "All"})
            broadcasts.create(
                system_caller(tenant.id, "test"), audience="role", roles=["admin"], content={"title": "Few"}
            )

    async def scenario() -> None:
        client = await open_client(server, token)
        await in_thread(send)
        frame = await client.next("broadcast")
        assert (frame["title"], frame["seq"], frame["unread"]) == ("All", 1, 1)
        other = await connected(server.address(f"/ws/notifications/?token={token_of(later)}"))
        hello = json.loads(await other.recv())
        assert (hello["type"], hello["seq"], hello["unread"]) == ("hello", 1, 1)

    play(scenario())


class TestWhoIsLetIn:
    def test_a_token_opens_in_each_of_its_places(self, server: LiveServer, ada: Persona, tenant: Tenant) -> None:
        token, me = token_of(ada), id_of(ada)
        Tenant.objects.filter(id=tenant.id).update(external_id="TEN-0001")
        own = [f"/ws/notifications/{tenant.id}/{me}/", f"/ws/notifications/{tenant.id}", "/ws/notifications/TEN-0001/"]

        async def scenario() -> None:
            for path in own:
                client = await open_client(server, token, path=path)
                await client.socket.close()
            offered = await connected(server.address(), subprotocols=["notifications.v1", f"bearer.{token}"])
            assert offered.subprotocol == "notifications.v1"
            assert (await Client(offered).next())["type"] == "hello"

        play(scenario())
        assert token not in server.printed

    def test_others_are_turned_away_with_a_reason(
        self, server: LiveServer, ada: Persona, stranger: Persona, tenant: Tenant
    ) -> None:
        token, theirs = token_of(ada), issue_access_token(stranger.user, stranger.tenant, Role.ADMIN)
        root = issue_platform_token(User.objects.create_superuser("root@platform.example"))
        closed = Tenant.objects.create(slug="closed", name="Closed", status=TenantStatus.SUSPENDED)
        with tenant_scope(closed.id):
            Membership.objects.create(tenant=closed, user=ada.user, role=Role.EMPLOYEE)
        own = "/ws/notifications/"
        for path, credential, expected in (
            (own, "", "4401 not_authenticated"),
            (own, "nonsense", "4401 invalid_token"),
            (own, token_of(ada, lifetime=timedelta(seconds=-60)), "4401 token_expired"),
            (f"{own}{tenant.id}/", theirs, "4403 wrong_tenant"),
            (f"{own}{tenant.id}/{id_of(ada)}/", theirs, "4403 wrong_tenant"),
            (f"{own}{tenant.id}/{id_of(stranger)}/", token, "4403 wrong_user"),
            (own, root, "4403 no_tenant"),
            (own, issue_access_token(ada.user, closed, Role.EMPLOYEE), "4403 tenant_suspended"),
            ("/ws/elsewhere/", token, "4404 not_found"),
        ):
            code, reason = play(refused(server, f"{path}?token={credential}"))
            assert f"{code} {reason.partition(':')[0]}" == expected

    def test_only_pages_of_allowed_origins(self, server: LiveServer, ada: Persona) -> None:
        token = token_of(ada)

        async def scenario() -> None:
            own = f"http://127.0.0.1:{server.port}"
            client = await open_client(server, token, origin=own)
            await client.socket.close()
            headers = {"Authorization": f"Bearer {token}"}
            for origin in ("https://evil.example", "null"):
                code, reason = await refused(server, "/ws/notifications/", origin=origin, additional_headers=headers)
                assert (code, reason.partition(":")[0]) == (4403, "origin_refused")

        play(scenario())

    def test_a_ticket_opens_one_socket(self, server: LiveServer, ada: Persona) -> None:
        answer = ada.client.post("/api/v1/auth/ws-ticket")
        assert answer.status_code == 201
        path = f"/ws/notifications/?ticket={answer.json()['ticket']}"

        async def scenario() -> None:
            client = await open_client(server, "", path=path)
            await in_thread(put, ada.tenant_id, id_of(ada))
            await client.until(1)
            code, reason = await refused(server, path)
            assert (code, reason.partition(":")[0]) == (4401, "ticket_invalid")

        play(scenario())
        assert answer.json()["ticket"] not in server.printed

    def test_a_ticket_is_worth_nothing_once_its_owner_is_out(self, server: LiveServer, ada: Persona) -> None:
        ticket = ada.client.post("/api/v1/auth/ws-ticket").json()["ticket"]
        User.objects.filter(id=ada.user.id).update(is_active=False)
        code, reason = play(refused(server, f"/ws/notifications/?ticket={ticket}"))
        assert (code, reason.partition(":")[0]) == (4401, "user_inactive")

    def test_no_more_sockets_of_one_person_than_allowed(self, server: LiveServer, ada: Persona) -> None:
        token = token_of(ada)

        async def scenario() -> None:
            clients = [await open_client(server, token) for _ in range(4)]
            code, reason = await refused(server, f"/ws/notifications/?token={token}")
            assert (code, reason.partition(":")[0]) == (4429, "too_many_connections")
            await clients[0].socket.close()
            await in_thread(wait_until, lambda: open_sockets(ada) == 3, SECONDS)
            assert await open_client(server, token)

        play(scenario())


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
            ([json.dumps({"type": "ping", "ref": "x" * 17_000})], "1009 frame_too_big"),
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
        big = {"type": "note", "text": "x" * 100_000}

        def shout() -> None:
            for _ in range(200):
                live.publish_to_user(ada.tenant_id, me, big)

        with deaf_client(server, token) as deaf:

            async def scenario() -> None:
                quick = await open_client(server, token)
                await in_thread(wait_until, lambda: open_sockets(ada) == 2, SECONDS)
                shouting = asyncio.ensure_future(in_thread(shout))
                for _ in range(200):
                    await quick.next("note")
                await shouting
                await in_thread(put, ada.tenant_id, me)
                await quick.until(1)

            play(scenario())
            wait_until(lambda: open_sockets(ada) == 0, 15)  # the quick one left, this one was dropped
            wait_until(lambda: not is_held(server, deaf), 15)
            with pytest.raises(ConnectionResetError):
                read_all(deaf)


class TestTopics:
    def test_admins_follow_progress(self, server: LiveServer, admin: Persona, ada: Persona) -> None:
        boss, employee = issue_access_token(admin.user, admin.tenant, Role.ADMIN), token_of(ada)

        def tell() -> None:
            live.publish_to_tenant_admins(admin.tenant_id, {"kind": "csv_job", "id": "7", "done": 5, "total": 9})

        async def scenario() -> None:
            client = await open_client(server, boss)
            await client.send(type="subscribe", topics=["progress"], ref="s")
            assert (await client.next("ack"))["ref"] == "s"
            await in_thread(tell)
            assert (await client.next("progress"))["done"] == 5
            await client.send(type="unsubscribe", topics=["progress"])
            await client.next("ack")
            other = await open_client(server, employee)
            await other.send(type="subscribe", topics=["progress"])
            assert (await other.next("error"))["code"] == "permission_denied"
            await other.send(type="subscribe", topics=["everything"])
            assert "topics" in (await other.next("error"))["errors"]

        play(scenario())

    def test_presence_tells_who_comes_and_goes(self, server: LiveServer, admin: Persona, ada: Persona) -> None:
        boss, employee, me = issue_access_token(admin.user, admin.tenant, Role.ADMIN), token_of(ada), id_of(ada)

        async def scenario() -> None:
            client = await open_client(server, boss)
            await client.send(type="subscribe", topics=["presence"])
            listed = await client.next("presence")
            assert [user["user_id"] for user in listed["users"]] == [id_of(admin)]
            first, second = await open_client(server, employee), await open_client(server, employee)
            assert (await client.next("presence"))["users"] == [{"user_id": me, "status": "online"}]
            await first.socket.close()
            await second.socket.close()
            assert (await client.next("presence"))["users"] == [{"user_id": me, "status": "offline"}]

        play(scenario())


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
            live.publish_to_user(ada.tenant_id, me, {"type": "note", "text": "x" * 100_000})
        assert is_held(other, deaf)
        begin = time.monotonic()
        other.stop()
        assert time.monotonic() - begin < 10 + 5, "no longer than --timeout-graceful-shutdown, and what comes after it"
    assert "Application shutdown complete" in other.printed


def test_unknown_commands_and_bad_fields_are_named(server: LiveServer, ada: Persona) -> None:
    token = token_of(ada)

    async def scenario() -> None:
        client = await open_client(server, token)
        for frame, field in (
            ({"type": "dance"}, "type"),
            ({"type": "mark_read", "ids": ["x"]}, "ids"),
            ({"type": "mark_read", "all": True, "read": 1}, "read"),
            ({"type": "acknowledge"}, "ids"),
        ):
            await client.send(**frame, ref="r")
            answer = await client.next("error")
            assert (list(answer["errors"]), answer["ref"]) == ([field], "r")
        await client.send(type="ping", ref="p")
        assert (await client.next("pong"))["ref"] == "p"

    play(scenario())
