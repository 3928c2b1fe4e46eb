"""What sockets bring, in order and without gaps, and who gets one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from pytest_django import Settings

from notification_service.lib.errors import TooManyRequests
from notification_service.lib.redis import attempt
from notification_service.lib.scope import tenant_scope
from notifications.inbox import broadcasts, live, replay, services, streams
from notifications.inbox.broadcasts import Person
from notifications.inbox.models import InboxStream
from notifications.inbox.services import MOST_IDS
from notifications.inbox.socket import census
from notifications.inbox.socket.connection import Connection
from notifications.inbox.socket.hub import Hub
from notifications.inbox.socket.outlet import Wire
from notifications.inbox.socket.threads import in_thread
from notifications.inbox.streams import NewMessage
from notifications.recipients.hooks import KnownAs
from tenants.callers import system_caller
from tenants.models import Membership, Role, Tenant, TenantStatus, User
from tenants.tokens import issue_access_token, issue_platform_token
from tests.conftest import Persona
from tests.inbox.clients import SECONDS, Client, connected, id_of, open_client, open_sockets, play, refused, token_of
from tests.inbox.conftest import LiveServer, put
from tests.running_service import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("live")]


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
        for seq in ("9" * 5_000, "-1", "²", "one"):  # the position may stand in the address, too
            address = f"/ws/notifications/?{urlencode({'epoch': client.epoch, 'seq': seq})}"
            resuming = await open_client(server, token, path=address)
            assert (await resuming.next("resync"))["reason"] == "unknown_position"
            await resuming.socket.close()

    play(scenario())


def test_what_was_missed_may_be_large(server: LiveServer, ada: Persona) -> None:
    """More than a reader who is too slow is allowed to let pile up: this one has asked for it."""
    token, me = token_of(ada), id_of(ada)
    large = {"title": "Hi", "body": "x" * 10_000, "data": {"more": "y" * 10_000}}

    def store() -> None:
        with tenant_scope(ada.tenant_id):
            streams.append([NewMessage(me, large) for _ in range(300)])

    async def scenario() -> None:
        client = await open_client(server, token)
        epoch, seq = client.epoch, client.seq
        await client.socket.close()
        await in_thread(store)
        again = await open_client(server, token, epoch=epoch, seq=seq)
        assert [frame["seq"] for frame in again.got] == [*range(1, 301)]

    play(scenario())


def test_a_stream_that_begins_anew_while_one_resumes(ada: Persona, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner is erased in this moment: what was to be resumed from means nothing any more."""
    me, sent = id_of(ada), []
    put(ada.tenant_id, *[me] * 5)
    with tenant_scope(ada.tenant_id):
        before = InboxStream.objects.get(user_id=me)

    def erased_meanwhile(*position: Any, **more: Any) -> Any:
        frames = replay.frames_between(*position, **more)
        with tenant_scope(ada.tenant_id):
            services.erase_person(KnownAs((me,), ()))
            services.look(Person(me))
        return frames

    monkeypatch.setattr("notifications.inbox.socket.connection.frames_between", erased_meanwhile)

    async def send(message: Any) -> None:
        sent.append(json.loads(message["text"]))

    async def scenario() -> None:
        hub = Hub()
        feed = hub.feed_of(ada.tenant_id, me)
        feed.start(before.epoch, before.seq)
        connection = Connection(Wire(send), system_caller(ada.tenant_id, "test"), feed, "socket", None)
        feed.sockets.append(connection)
        async with asyncio.timeout(10):
            resuming = asyncio.create_task(connection.resume(str(before.epoch), 0))
            while feed.epoch == before.epoch:
                await hub.heal([feed])
                await asyncio.sleep(0.01)
            await resuming
            await asyncio.sleep(0.05)

    play(scenario())
    assert (sent[-1]["type"], sent[-1]["reason"], sent[-1]["seq"]) == ("resync", "epoch_over", 0)


def test_frames_of_every_length_arrive_whole(server: LiveServer, ada: Persona) -> None:
    """RFC 6455 writes a length in one, two or eight octets."""
    token, me = token_of(ada), id_of(ada)
    frames = [{"type": "progress", "kind": "campaign", "id": str(uuid4()), "detail": ""} for _ in range(6)]
    for frame, length in zip(frames, (125, 126, 127, 65_535, 65_536, 300_000), strict=True):
        frame["detail"] = "é" + "x" * (length - len(json.dumps(frame, separators=(",", ":"))) - 2)

    async def scenario() -> None:
        client = await open_client(server, token)
        for frame in frames:
            await in_thread(live.publish_to_user, ada.tenant_id, me, frame)
            assert await client.next("progress") == frame

    play(scenario())


def test_as_many_messages_as_a_command_may_name_fit_into_a_frame(server: LiveServer, ada: Persona) -> None:
    token = token_of(ada)
    ids = put(ada.tenant_id, *[id_of(ada)] * MOST_IDS)

    async def scenario() -> None:
        client = await open_client(server, token)
        await client.send(type="mark_read", ids=[str(each) for each in ids], ref="all of them")
        acknowledged = await client.next("ack")
        assert (acknowledged["changed"], acknowledged["unread"]) == (MOST_IDS, 0)

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

    def test_no_more_sockets_of_one_tenant_than_allowed(
        self, tenant: Tenant, other_tenant: Tenant, settings: Settings
    ) -> None:
        settings.LIVE_SOCKETS_PER_TENANT = 2

        async def enter(where: Tenant, person: str) -> bool:
            return await census.enter(where.id, person, uuid4().hex)

        async def scenario() -> None:
            assert await enter(tenant, "ada")
            assert await enter(tenant, "bob")
            with pytest.raises(TooManyRequests, match="This tenant has too many sockets open") as refused:
                await enter(tenant, "eve")
            assert refused.value.error_code == "too_many_connections"
            assert await enter(other_tenant, "eve"), "others are not concerned"

        asyncio.run(scenario())


class TestTopics:
    def test_admins_follow_progress(self, server: LiveServer, admin: Persona, ada: Persona) -> None:
        boss, employee = issue_access_token(admin.user, admin.tenant, Role.ADMIN), token_of(ada)

        def tell() -> None:
            live.publish_to_tenant_admins(
                admin.tenant_id, {"kind": "csv_job", "id": str(uuid4()), "done": 5, "total": 9}
            )

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
        await in_thread(put, ada.tenant_id, id_of(ada))
        await client.send(type="unread_count", ref="u")
        counted = await client.next("unread_count")
        assert (counted["unread"], counted["ref"]) == (1, "u")

    play(scenario())
