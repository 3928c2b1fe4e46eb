"""Messages over REST: direct ones, order, idempotency, history, edits, deletions, reactions, reading, search."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from messaging import limits
from notification_service.lib.rate_limit import Limit
from notification_service.lib.scope import tenant_scope
from tenants.models import AuditLog
from tests.conftest import Persona
from tests.messaging.conftest import CHAT, history, id_of, make_group, say, texts


def direct(sender: Persona, recipient: Persona, **fields: Any) -> Any:
    return sender.client.post("/api/messages/send/", {"recipient_id": id_of(recipient), "text": "Lunch?", **fields})


def test_a_direct_message_finds_or_makes_the_conversation_of_two(ada: Persona, bob: Persona) -> None:
    first = direct(ada, bob)
    assert first.status_code == 201
    assert first.json()["sender_id"] == id_of(ada)
    answer = direct(bob, ada, text="Yes")
    assert answer.json()["conversation_id"] == first.json()["conversation_id"]
    assert (first.json()["seq"], answer.json()["seq"]) == (1, 2)
    again = bob.client.post(f"{CHAT}/conversations/", {"kind": "direct", "user_ids": [id_of(ada)]})
    assert (again.status_code, again.json()["id"]) == (200, first.json()["conversation_id"])


def test_people_see_names_and_not_addresses(ada: Persona, bob: Persona) -> None:
    ada.user.name = "Ada Lovelace"
    ada.user.save()
    sent = direct(ada, bob).json()
    assert sent["sender_name"] == "Ada Lovelace"
    (conversation,) = bob.client.get(f"{CHAT}/conversations/").json()["results"]
    assert "Ada Lovelace" in [place["name"] for place in conversation["participants"]]
    assert "ada@acme.example" not in str(conversation)
    made = make_group(bob, ada)
    assert history(bob, made)["results"][-1]["text"].endswith("added Ada Lovelace.")


def test_nobody_writes_to_themselves_or_says_nothing(ada: Persona, bob: Persona) -> None:
    assert direct(ada, ada).json()["errors"].keys() == {"recipient_id"}
    assert direct(ada, bob, text="  ").json()["errors"].keys() == {"text"}
    assert direct(ada, bob, text="x" * 4001).json()["errors"].keys() == {"text"}
    assert direct(ada, bob, text="a\x00b").status_code == 400
    assert direct(ada, bob, message_type="system").json()["errors"].keys() == {"message_type"}
    assert direct(ada, bob, message_type="image").json()["errors"].keys() == {"file_id"}


def test_api_keys_do_not_chat(ada: Persona, bob: Persona, api_key_client: Any) -> None:
    client: APIClient = api_key_client(ada.tenant)
    assert client.post("/api/messages/send/", {"recipient_id": id_of(bob), "text": "Hi"}).status_code == 403


def test_sending_again_sends_nothing_again(ada: Persona, bob: Persona) -> None:
    first = direct(ada, bob, client_message_id="once")
    again = direct(ada, bob, client_message_id="once", text="Something else")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert texts(ada, first.json()["conversation_id"]) == ["Lunch?"]
    # Another person's ids are their own business.
    assert direct(bob, ada, client_message_id="once").status_code == 201


def test_an_id_belongs_to_one_message(ada: Persona, bob: Persona) -> None:
    direct(ada, bob, client_message_id="once")
    group = make_group(ada, bob)
    answer = ada.client.post(f"{CHAT}/conversations/{group}/messages/", {"text": "Hi", "client_message_id": "once"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unprocessable")


def test_history_pages_both_ways(ada: Persona, bob: Persona) -> None:
    conversation = direct(ada, bob, text="1").json()["conversation_id"]
    for number in range(2, 8):
        say(ada, conversation, str(number))
    newest = history(bob, conversation, limit=3)
    assert [message["text"] for message in newest["results"]] == ["5", "6", "7"]
    assert (newest["next"], newest["last_seq"]) == (None, 7)
    older = bob.client.get(newest["previous"]).json()
    assert [message["text"] for message in older["results"]] == ["2", "3", "4"]
    assert [message["text"] for message in bob.client.get(older["next"]).json()["results"]] == ["5", "6", "7"]
    oldest = bob.client.get(older["previous"]).json()
    assert [message["text"] for message in oldest["results"]] == ["1"]
    assert oldest["previous"] is None
    assert texts(bob, conversation, after=6) == ["7"]
    assert bob.client.get(f"{CHAT}/conversations/{conversation}/messages/?before=x").status_code == 400


def test_a_reply_names_a_message_of_the_same_conversation(ada: Persona, bob: Persona) -> None:
    conversation = direct(ada, bob).json()["conversation_id"]
    other = say(ada, make_group(ada, bob))
    first = say(ada, conversation)
    assert say(bob, conversation, reply_to=first["id"])["reply_to"] == first["id"]
    wrong = bob.client.post(f"{CHAT}/conversations/{conversation}/messages/", {"text": "Hi", "reply_to": other["id"]})
    assert wrong.json()["errors"].keys() == {"reply_to"}


def test_one_edits_what_one_has_said(ada: Persona, bob: Persona) -> None:
    message = direct(ada, bob).json()
    address = f"{CHAT}/messages/{message['id']}/"
    assert bob.client.patch(address, {"text": "No"}).status_code == 403
    edited = ada.client.patch(address, {"text": "Dinner?"}).json()
    assert (edited["text"], edited["seq"]) == ("Dinner?", message["seq"])
    assert edited["edited_at"] is not None
    assert edited["revision"] > message["revision"]


def test_a_deleted_message_keeps_its_place_and_loses_its_words(ada: Persona, bob: Persona) -> None:
    message = direct(ada, bob).json()
    address = f"{CHAT}/messages/{message['id']}/"
    assert bob.client.delete(address).status_code == 403
    assert ada.client.delete(address).status_code == 204
    shown = bob.client.get(address).json()
    assert (shown["text"], shown["seq"]) == ("", message["seq"])
    assert shown["deleted_at"] is not None
    assert ada.client.patch(address, {"text": "Back"}).status_code == 409


def test_moderators_delete_and_it_is_audited(ada: Persona, bob: Persona) -> None:
    group = make_group(ada, bob)
    message = say(bob, group, "Something rude")
    assert ada.client.delete(f"{CHAT}/messages/{message['id']}/").status_code == 204
    with tenant_scope(ada.tenant_id):
        entry = AuditLog.objects.get(action="chat.message_deleted")
    assert (entry.actor_id, entry.resource_id) == (id_of(ada), message["id"])
    assert "rude" not in str(entry.metadata)


def test_reactions_are_counted_once_a_person(ada: Persona, bob: Persona) -> None:
    message = direct(ada, bob).json()
    address = f"{CHAT}/messages/{message['id']}/reactions/"
    for _ in range(2):
        assert bob.client.post(address, {"emoji": "👍"}).status_code == 200
    ada.client.post(address, {"emoji": "👍"})
    ada.client.post(address, {"emoji": "👩‍💻"})
    assert ada.client.get(address).json() == [
        {"emoji": "👍", "count": 2, "user_ids": [id_of(bob), id_of(ada)]},
        {"emoji": "👩‍💻", "count": 1, "user_ids": [id_of(ada)]},
    ]
    assert bob.client.delete(f"{address}?emoji=👍").status_code == 204
    assert ada.client.get(address).json()[0]["count"] == 1
    assert bob.client.post(address, {"emoji": "no emoji"}).status_code == 400


def test_reading_moves_forward_only(ada: Persona, bob: Persona) -> None:
    conversation = direct(ada, bob).json()["conversation_id"]
    say(ada, conversation)
    say(ada, conversation)

    def unread() -> int:
        (one,) = bob.client.get(f"{CHAT}/conversations/").json()["results"]
        return int(one["unread_count"])

    read = f"{CHAT}/conversations/{conversation}/read/"
    assert unread() == 3
    bob.client.post(read, {"seq": 2})
    assert unread() == 1
    bob.client.post(read, {"seq": 1})
    assert unread() == 1
    assert bob.client.post(read, {"seq": 99}).json()["last_read_seq"] == 3
    assert unread() == 0
    say(bob, conversation)
    assert unread() == 0, "one's own messages are read"


def test_search_finds_words_in_one_conversation(ada: Persona, bob: Persona) -> None:
    conversation = direct(ada, bob, text="The Invoice of März is lost").json()["conversation_id"]
    say(ada, conversation, "which invoice?")
    gone = say(ada, conversation, "invoice 7")
    ada.client.delete(f"{CHAT}/messages/{gone['id']}/")
    say(ada, make_group(ada, bob), "invoice elsewhere")

    def found(query: str) -> list[str]:
        answer = bob.client.get(f"{CHAT}/conversations/{conversation}/search/", {"q": query})
        assert answer.status_code == 200, answer.json()
        return [message["text"] for message in answer.json()["results"]]

    assert found("INVOICE") == ["which invoice?", "The Invoice of März is lost"]
    assert found("invoice märz") == ["The Invoice of März is lost"]
    assert found("invoice -lost") == ["which invoice?"]
    assert found("' | & !") == []
    assert bob.client.get(f"{CHAT}/conversations/{conversation}/search/").status_code == 400


def test_who_sends_too_much_waits(ada: Persona, bob: Persona, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(limits._LIMITS, "send", Limit(5, 600.0))
    conversation = direct(ada, bob).json()["conversation_id"]
    address = f"{CHAT}/conversations/{conversation}/messages/"
    answers = [ada.client.post(address, {"text": "Spam"}) for _ in range(10)]
    assert [answer.status_code for answer in answers] == [201] * 4 + [429] * 6
    assert answers[-1].json()["code"] == "throttled"
    assert bob.client.post(address, {"text": "Stop"}).status_code == 201


@pytest.mark.parametrize("who", ["eve", "stranger"])
def test_who_is_not_in_it_sees_nothing(who: str, ada: Persona, bob: Persona, request: Any) -> None:
    outsider: Persona = request.getfixturevalue(who)
    message = direct(ada, bob).json()
    conversation = f"{CHAT}/conversations/{message['conversation_id']}"
    one = f"{CHAT}/messages/{message['id']}"
    get, post, client = outsider.client.get, outsider.client.post, outsider.client
    for answer in (
        get(f"{conversation}/"),
        get(f"{conversation}/messages/"),
        get(f"{conversation}/participants/"),
        get(f"{conversation}/search/", {"q": "lunch"}),
        post(f"{conversation}/messages/", {"text": "Hi"}),
        post(f"{conversation}/read/", {"seq": 1}),
        post(f"{conversation}/participants/", {"user_ids": [id_of(outsider)]}),
        client.patch(f"{conversation}/", {"title": "Mine"}),
        get(f"{one}/"),
        client.patch(f"{one}/", {"text": "No"}),
        client.delete(f"{one}/"),
        get(f"{one}/reactions/"),
        post(f"{one}/reactions/", {"emoji": "👍"}),
        client.delete(f"{conversation}/participants/{id_of(bob)}/"),
    ):
        assert answer.status_code == 404, (answer.wsgi_request.path, answer.content)
    assert get(f"{CHAT}/conversations/").json()["results"] == []
    assert get(f"{CHAT}/conversations/{uuid4()}/").json() == get(f"{conversation}/").json(), "nothing to guess by"
