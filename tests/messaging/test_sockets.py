"""Chat over sockets, against a running server: what arrives, in which order, and who gets it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from itertools import cycle
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from messaging.services import presence
from notification_service.lib.redis import attempt
from notifications.inbox.socket.threads import in_thread
from tests.conftest import Persona
from tests.inbox import clients
from tests.inbox.clients import refused
from tests.inbox.conftest import LiveServer
from tests.inbox.conftest import _server as _server
from tests.inbox.conftest import server as server
from tests.messaging.clients import SECONDS, Client, open_client, token_of
from tests.messaging.conftest import CHAT, id_of, make_group, say

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("live")]


Open = Callable[[Persona], Awaitable[Client]]
Scenario = Callable[[Open], Coroutine[Any, Any, None]]
Play = Callable[[Scenario], None]


@pytest.fixture
def play(server: LiveServer) -> Play:
    """Run a scenario; the sockets that it opens are closed at its end."""

    async def open_as(persona: Persona) -> Client:
        return await open_client(server, persona)

    return lambda scenario: clients.play(scenario(open_as))


def test_two_people_talk(server: LiveServer, play: Play, ada: Persona, bob: Persona) -> None:
    group = make_group(ada, bob)

    async def scenario(open_as: Open) -> None:
        first, second = await open_as(ada), await open_as(bob)
        joined = await first.join(group)
        assert {each["user_id"] for each in joined["participants"]} == {id_of(ada), id_of(bob)}
        ack = await first.say(group, "Hello")
        assert (ack["message"]["seq"], ack["duplicate"]) == (joined["last_seq"] + 1, False)
        # Who has not joined gets messages all the same.
        heard = await second.next("new_message")
        assert heard["message"] == ack["message"]
        await second.join(group)
        message = {"conversation_id": group, "message_id": ack["message"]["id"]}
        assert (await second.ask("add_reaction", emoji="👍", **message))["type"] == "ack"
        reacted = await first.next("reaction_added")
        assert (reacted["user_id"], reacted["emoji"]) == (id_of(bob), "👍")
        await second.ask("remove_reaction", emoji="👍", **message)
        assert (await first.next("reaction_removed"))["revision"] == reacted["revision"] + 1
        await second.ask("mark_read", conversation_id=group, seq=ack["message"]["seq"])
        receipt = await first.next("read_receipt")
        assert (receipt["user_id"], receipt["last_read_seq"]) == (id_of(bob), ack["message"]["seq"])
        edited = await first.ask("edit_message", text="Hello!", **message)
        assert edited["message"]["text"] == "Hello!"
        assert (await second.next("message_updated"))["message"]["text"] == "Hello!"
        refused = await second.ask("edit_message", text="No", **message)
        assert (refused["type"], refused["code"]) == ("error", "permission_denied")
        await first.ask("delete_message", **message)
        assert (await second.next("message_deleted"))["message"]["text"] == ""

    play(scenario)


def test_sending_again_is_harmless(server: LiveServer, play: Play, ada: Persona, bob: Persona) -> None:
    group = make_group(ada, bob)

    async def scenario(open_as: Open) -> None:
        first, second = await open_as(ada), await open_as(bob)
        one = await first.say(group, "Once", client_message_id="once")
        again = await first.say(group, "Twice?", client_message_id="once")
        assert again["duplicate"] is True
        assert again["message"] == one["message"]
        assert (await second.next("new_message"))["message"]["text"] == "Once"
        assert await second.silence() == []

    play(scenario)


def test_typing_is_told_to_others_and_ends_by_itself(
    server: LiveServer, play: Play, ada: Persona, bob: Persona
) -> None:
    group = make_group(ada, bob)

    async def scenario(open_as: Open) -> None:
        first, second, other = await open_as(ada), await open_as(bob), await open_as(ada)
        early = await first.ask("start_typing", conversation_id=group)
        assert early["code"] == "conflict"
        for client in (first, second, other):
            await client.join(group)
        await first.send("start_typing", conversation_id=group)
        told = await second.next("typing_indicator")
        assert (told["user_id"], told["typing"], told["expires_in"]) == (id_of(ada), True, 6)
        await first.send("stop_typing", conversation_id=group)
        assert (await second.next("typing_indicator"))["typing"] is False
        await first.send("start_typing", conversation_id=group)
        assert (await second.next("typing_indicator"))["typing"] is True
        await first.socket.close()
        assert (await second.next("typing_indicator"))["typing"] is False
        await other.send("start_typing", conversation_id=group)
        assert (await second.next("typing_indicator"))["typing"] is True
        assert (await second.next("typing_indicator"))["typing"] is False, "after six seconds, without a word"
        assert await other.silence(0.2) == [], "nobody is told of their own typing"

    play(scenario)


def test_who_types_all_the_time_or_changes_their_mind_waits(server: LiveServer, play: Play, ada: Persona) -> None:
    group, statuses = make_group(ada), cycle(["busy", "away"])

    async def scenario(open_as: Open) -> None:
        client, other = await open_as(ada), await open_as(ada)
        await client.join(group)

        async def type_a_word() -> dict[str, Any]:
            answer = await client.ask("start_typing", conversation_id=group)
            await client.ask("stop_typing", conversation_id=group)
            return answer

        assert await done_until_throttled(type_a_word) >= 20
        assert await done_until_throttled(lambda: other.ask("update_presence", status=next(statuses))) >= 30

    play(scenario)


async def done_until_throttled(do: Callable[[], Awaitable[dict[str, Any]]]) -> int:
    """Do something again and again until one is told to wait; return how often that went well.

    What may be done fills up again meanwhile: how much goes well in all depends on how quick the machine is.
    """
    done = 0
    async with asyncio.timeout(SECONDS):
        while (answer := await do()).get("code") is None:
            done += 1
    assert answer["code"] == "throttled"
    return done


def test_what_was_read_on_one_device_is_read_on_all(server: LiveServer, play: Play, ada: Persona, bob: Persona) -> None:
    """Also on those that only show how much is unread, and have not joined."""
    group = make_group(ada, bob)
    message = say(ada, group)

    async def scenario(open_as: Open) -> None:
        laptop, phone, others = await open_as(bob), await open_as(bob), await open_as(ada)
        await laptop.join(group)
        await laptop.ask("mark_read", conversation_id=group, seq=message["seq"])
        receipt = await phone.next("read_receipt")
        assert (receipt["user_id"], receipt["last_read_seq"]) == (id_of(bob), message["seq"])
        assert await others.silence(0.3) == [], "who has not joined is told of nobody else's reading"

    play(scenario)


def test_a_message_is_looked_for_where_the_command_says(
    server: LiveServer, play: Play, ada: Persona, bob: Persona
) -> None:
    group, another = make_group(ada, bob), make_group(ada)
    message = say(ada, group)["id"]

    async def scenario(open_as: Open) -> None:
        client = await open_as(ada)
        for kind, more in (
            ("edit_message", {"text": "Hi"}),
            ("add_reaction", {"emoji": "👍"}),
            ("remove_reaction", {"emoji": "👍"}),
            ("delete_message", {}),
        ):
            answer = await client.ask(kind, conversation_id=another, message_id=message, **more)
            assert answer["code"] == "not_found", kind
        answer = await client.ask("edit_message", conversation_id=group, message_id=message, text="Hi")
        assert answer["message"]["text"] == "Hi"

    play(scenario)


def test_resume_gives_exactly_what_was_missed(server: LiveServer, play: Play, ada: Persona, bob: Persona) -> None:
    group = make_group(ada, bob)
    first = say(ada, group, "First")

    async def scenario(open_as: Open) -> None:
        client = await open_as(bob)
        top = await client.join(group)
        await client.socket.close()
        missed = [(await in_thread(say, ada, group, f"{number}"))["seq"] for number in range(5)]
        await in_thread(ada.client.patch, f"{CHAT}/messages/{first['id']}/", {"text": "The first"})
        again = await open_as(bob)
        await again.send(
            "resume", conversation_id=group, after_seq=top["last_seq"], after_revision=top["revision"], ref="r"
        )
        frames = [await again.next("new_message", "message_updated", "resumed") for _ in range(7)]
        assert [frame["type"] for frame in frames] == ["new_message"] * 5 + ["message_updated", "resumed"]
        assert [frame["message"]["seq"] for frame in frames[:5]] == missed
        assert frames[5]["message"]["text"] == "The first"
        assert (frames[6]["count"], frames[6]["last_seq"], frames[6]["ref"]) == (6, missed[-1], "r")
        live = await in_thread(say, ada, group, "Live")
        assert (await again.next("new_message"))["message"]["seq"] == live["seq"]
        nothing = await again.ask(
            "resume", conversation_id=group, after_seq=live["seq"], after_revision=live["revision"]
        )
        assert (nothing["type"], nothing["count"]) == ("resumed", 0)
        ahead = await again.ask("resume", conversation_id=group, after_seq=live["seq"] + 1)
        assert (ahead["type"], ahead["last_seq"]) == ("resync", live["seq"])

    play(scenario)


def test_resuming_while_others_talk_loses_and_repeats_nothing(
    server: LiveServer, play: Play, ada: Persona, bob: Persona
) -> None:
    group = make_group(ada, bob)

    async def scenario(open_as: Open) -> None:
        talker = await open_as(ada)
        for turn in range(3):
            listener = await open_as(bob)
            talking = asyncio.create_task(asyncio.wait_for(_talk(talker, group, 8), SECONDS))
            await asyncio.sleep(0.01 * turn)
            await listener.send("resume", conversation_id=group, after_seq=0, after_revision=0)
            last = (await talking)[-1]
            got: list[int] = []
            resumed = False
            while not resumed or got[-1] < last:
                frame = await listener.read()
                # What is told before the resumption has begun, out of the middle, is part of it too.
                if frame["type"] == "new_message" and (resumed or frame["message"]["seq"] == len(got) + 1):
                    got.append(frame["message"]["seq"])
                resumed = resumed or frame["type"] == "resumed"
            assert got == list(range(1, last + 1))
            await listener.socket.close()

    play(scenario)


async def flood(client: Client) -> int | None:
    """Send more than anybody may; return the close code."""
    with suppress(ConnectionClosed):
        for _ in range(200):
            await client.socket.send('{"type": "ping"}')
        while True:
            await client.read()
    return client.socket.close_code


async def _talk(client: Client, group: str, number: int) -> list[int]:
    return [(await client.say(group, f"{each}"))["message"]["seq"] for each in range(number)]


def test_who_is_removed_hears_nothing_from_then_on(
    server: LiveServer, play: Play, ada: Persona, bob: Persona, eve: Persona
) -> None:
    group = make_group(ada, bob, eve)

    async def scenario(open_as: Open) -> None:
        out, stays = await open_as(bob), await open_as(eve)
        await out.join(group)
        await stays.join(group)
        path = f"{CHAT}/conversations/{group}/participants/{id_of(bob)}/"
        assert (await in_thread(ada.client.delete, path)).status_code == 204
        secret = await in_thread(say, ada, group, "Now that Bob is gone")
        assert (await out.next("participant_removed"))["user_id"] == id_of(bob)
        while (await stays.next("new_message"))["message"]["id"] != secret["id"]:
            pass
        await stays.send("start_typing", conversation_id=group)
        assert await out.silence() == []
        for kind, fields in (
            ("join_conversation", {}),
            ("resume", {"after_seq": 0}),
            ("send_message", {"text": "I am back", "client_message_id": "x"}),
            ("mark_read", {"seq": 1}),
        ):
            answer = await out.ask(kind, conversation_id=group, **fields)
            assert (answer["type"], answer["code"]) == ("error", "not_found"), kind

    play(scenario)


def test_a_removal_that_redis_lost_is_found_by_the_heartbeat(
    server: LiveServer, play: Play, ada: Persona, bob: Persona
) -> None:
    group = make_group(ada, bob)

    async def scenario(open_as: Open) -> None:
        out = await open_as(bob)
        await out.join(group)

        def cut_off() -> None:
            """Redis drops its subscribers at the moment of the removal."""
            attempt(lambda client: client.execute_command("CLIENT", "KILL", "TYPE", "pubsub"))
            ada.client.delete(f"{CHAT}/conversations/{group}/participants/{id_of(bob)}/")

        await in_thread(cut_off)
        async with asyncio.timeout(SECONDS):
            while (await out.next("heartbeat"))["conversations"]:
                pass
        await in_thread(say, ada, group, "Secret")
        assert not [frame for frame in await out.silence() if frame["type"] == "new_message"]

    play(scenario)


def test_heartbeats_name_what_redis_lost(server: LiveServer, play: Play, ada: Persona, bob: Persona) -> None:
    group = make_group(ada, bob)

    async def scenario(open_as: Open) -> None:
        client = await open_as(bob)
        await client.join(group)

        def lose() -> dict[str, Any]:
            attempt(lambda client: client.execute_command("CLIENT", "KILL", "TYPE", "pubsub"))
            return say(ada, group, "Lost")

        lost = await in_thread(lose)
        async with asyncio.timeout(SECONDS):
            while True:
                (beat,) = (await client.next("heartbeat"))["conversations"]
                if beat["last_seq"] == lost["seq"]:
                    break
        answer = await client.ask("resume", conversation_id=group, after_seq=lost["seq"] - 1)
        assert answer["count"] == 1

    play(scenario)


def test_added_people_hear_of_it(server: LiveServer, play: Play, ada: Persona, bob: Persona) -> None:
    group = make_group(ada)

    async def scenario(open_as: Open) -> None:
        client = await open_as(bob)
        people = f"{CHAT}/conversations/{group}/participants/"
        await in_thread(ada.client.post, people, {"user_ids": [id_of(bob)]})
        added = await client.next("participant_added")
        assert (added["conversation_id"], added["participant"]["user_id"]) == (group, id_of(bob))
        await in_thread(ada.client.patch, f"{CHAT}/conversations/{group}/", {"title": "New"})
        assert (await client.next("conversation_updated"))["conversation_id"] == group

    play(scenario)


def test_presence_comes_and_expires(server: LiveServer, play: Play, ada: Persona, bob: Persona) -> None:
    group = make_group(ada, bob)

    async def scenario(open_as: Open) -> None:
        watcher = await open_as(bob)
        await watcher.join(group)

        async def seen(status: str) -> dict[str, Any]:
            while True:
                frame = await watcher.next("presence_changed")
                if (frame["user_id"], frame["status"]) == (id_of(ada), status):
                    return frame

        other = await open_as(ada)
        await seen("online")
        await other.ask("update_presence", status="busy")
        await seen("busy")
        await other.socket.close()
        assert presence.STATUSES[3] not in [frame["type"] for frame in await watcher.silence(0.3)]
        # Nobody says good-bye for her: her heartbeat runs out, and whoever looks tells of it.
        await in_thread(_let_time_pass, ada)
        assert (await seen("offline"))["last_seen_at"] is not None

    play(scenario)


def _let_time_pass(persona: Persona) -> None:
    attempt(lambda client: client.zadd("chat:presence", {f"{persona.tenant_id}|{id_of(persona)}": 1}))
    assert presence.expire() == 1


def test_other_tenants_and_nobody_are_refused(
    server: LiveServer, play: Play, ada: Persona, bob: Persona, stranger: Persona
) -> None:
    group = make_group(ada, bob)
    address = f"/ws/chat/{ada.tenant_id}/"

    async def scenario(open_as: Open) -> None:
        code, reason = await refused(server, f"{address}?token={token_of(stranger)}")
        assert (code, reason.partition(":")[0]) == (4403, "wrong_tenant")
        assert (await refused(server, address))[0] == 4401
        assert (await refused(server, f"{address}?token=nonsense"))[0] == 4401
        theirs = await open_as(stranger)
        for kind in ("join_conversation", "leave_conversation"):
            answer = await theirs.ask(kind, conversation_id=group)
            assert answer["type"] == ("error" if kind == "join_conversation" else "ack")
        await in_thread(say, ada, group, "Secret")
        assert await theirs.silence() == []

    play(scenario)


def test_what_is_wrong_is_answered_and_what_goes_too_far_closes(
    server: LiveServer, play: Play, ada: Persona, bob: Persona
) -> None:
    group = make_group(ada, bob)

    async def scenario(open_as: Open) -> None:
        client = await open_as(ada)

        async def answer(frame: Any) -> dict[str, Any]:
            await client.socket.send(frame if isinstance(frame, str) else json.dumps(frame))
            return await client.next("error")

        assert (await answer({"type": "dance"}))["errors"].keys() == {"type"}
        assert (await answer({"type": "join_conversation"}))["errors"].keys() == {"conversation_id"}
        assert (await answer({"type": "join_conversation", "conversation_id": 7}))["code"] == "invalid"
        bare = {"type": "send_message", "conversation_id": group, "client_message_id": "a"}
        wrong = await answer({**bare, "text": " "})
        assert (wrong["errors"].keys(), wrong["client_message_id"]) == ({"text"}, "a")
        assert (await answer({**bare, "text": 7}))["errors"].keys() == {"text"}
        assert (await answer({"type": "mark_read", "conversation_id": group, "seq": -1}))["errors"].keys() == {"seq"}
        assert (await answer("nonsense"))["code"] == "malformed"
        assert (await client.ask("ping"))["type"] == "pong"
        assert await flood(client) == 4429

    play(scenario)
