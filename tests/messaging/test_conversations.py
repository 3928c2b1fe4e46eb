"""Groups and channels: who may add, remove, rename, join; and what a removed participant loses."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from pytest_django.fixtures import Settings

from tests.conftest import Persona
from tests.messaging.conftest import CHAT, history, id_of, make_group, say, texts


def test_a_group_has_its_maker_as_admin(ada: Persona, bob: Persona) -> None:
    group = make_group(ada, bob)
    people = ada.client.get(f"{CHAT}/conversations/{group}/participants/").json()["results"]
    assert [(each["user_id"], each["role"]) for each in people] == [(id_of(ada), "admin"), (id_of(bob), "member")]
    said = [message["text"] for message in history(bob, group)["results"]]
    assert said == ["ada@acme.example made this group.", f"ada@acme.example added {id_of(bob)}."]
    shown = bob.client.get(f"{CHAT}/conversations/{group}/").json()
    assert (shown["title"], shown["role"], shown["participant_count"]) == ("Launch", "member", 2)


def test_what_one_does_oneself_is_no_news(ada: Persona, bob: Persona, eve: Persona) -> None:
    group = f"{CHAT}/conversations/{make_group(ada, bob)}/"

    def unread(persona: Persona) -> int:
        return int(persona.client.get(group).json()["unread_count"])

    assert (unread(ada), unread(bob)) == (0, 1), "that he was added is news to him"
    ada.client.patch(group, {"title": "Landing"})
    ada.client.post(f"{group}participants/", {"user_ids": [id_of(eve)]})
    assert (unread(ada), unread(bob)) == (0, 3)
    bob.client.delete(f"{group}participants/{id_of(bob)}/")
    assert unread(ada) == 1


@pytest.mark.parametrize("user_id", ["https://issuer.example/people/7", "a b", "ä"])
def test_ids_of_other_issuers_are_people_like_others(ada: Persona, user_id: str) -> None:
    people = f"{CHAT}/conversations/{make_group(ada)}/participants/"
    assert ada.client.post(people, {"user_ids": [user_id]}).status_code == 201
    one = f"{people}{quote(user_id, safe='')}/"
    assert ada.client.patch(one, {"role": "moderator"}).json()["user_id"] == user_id
    assert ada.client.delete(one).status_code == 204
    for nobody in (one, f"{people}%00/"):
        assert ada.client.delete(nobody).status_code == 404


def test_a_group_needs_a_title_and_a_direct_conversation_one_other(ada: Persona, bob: Persona, eve: Persona) -> None:
    make = f"{CHAT}/conversations/"
    assert ada.client.post(make, {"kind": "group"}).json()["errors"].keys() == {"title"}
    two = {"kind": "direct", "user_ids": [id_of(bob), id_of(eve)]}
    assert ada.client.post(make, two).json()["errors"].keys() == {"user_ids"}
    assert ada.client.post(make, {"kind": "group", "title": "x", "is_open": True}).status_code == 400


def test_members_add_nobody_moderators_add_members_admins_anybody(ada: Persona, bob: Persona, eve: Persona) -> None:
    group = make_group(ada, bob)
    people = f"{CHAT}/conversations/{group}/participants/"
    assert bob.client.post(people, {"user_ids": [id_of(eve)]}).status_code == 403
    assert ada.client.patch(f"{people}{id_of(bob)}/", {"role": "moderator"}).json()["role"] == "moderator"
    assert bob.client.post(people, {"user_ids": [id_of(eve)], "role": "admin"}).status_code == 403
    added = bob.client.post(people, {"user_ids": [id_of(eve)]})
    assert (added.status_code, added.json()[0]["role"]) == (201, "member")
    assert bob.client.patch(f"{people}{id_of(bob)}/", {"role": "admin"}).status_code == 403
    assert bob.client.delete(f"{people}{id_of(ada)}/").status_code == 403
    assert bob.client.delete(f"{people}{id_of(eve)}/").status_code == 204


def test_who_is_removed_loses_access_at_once_and_may_come_back(ada: Persona, bob: Persona) -> None:
    group = make_group(ada, bob)
    say(bob, group, "I was here")
    people = f"{CHAT}/conversations/{group}/participants/"
    assert ada.client.delete(f"{people}{id_of(bob)}/").status_code == 204
    assert bob.client.get(f"{CHAT}/conversations/{group}/messages/").status_code == 404
    assert bob.client.get(f"{CHAT}/conversations/").json()["results"] == []
    assert bob.client.post(people, {"user_ids": [id_of(bob)]}).status_code == 404
    say(ada, group, "Without him")
    ada.client.post(people, {"user_ids": [id_of(bob)]})
    assert texts(bob, group) == ["I was here", "Without him"]
    (shown,) = bob.client.get(f"{CHAT}/conversations/").json()["results"]
    assert shown["unread_count"] <= 1, "what was said before is no news"


def test_somebody_is_always_the_admin(ada: Persona, bob: Persona) -> None:
    group = make_group(ada, bob)
    people = f"{CHAT}/conversations/{group}/participants/"
    assert ada.client.patch(f"{people}{id_of(ada)}/", {"role": "member"}).status_code == 409
    assert ada.client.delete(f"{people}{id_of(ada)}/").status_code == 204
    assert bob.client.get(f"{CHAT}/conversations/{group}/").json()["role"] == "admin"


def test_open_channels_are_found_and_joined_within_the_tenant(ada: Persona, bob: Persona, stranger: Persona) -> None:
    channel = make_group(ada, kind="channel", is_open=True)
    closed = make_group(ada, kind="channel")
    found = bob.client.get(f"{CHAT}/conversations/?open=true").json()["results"]
    assert [each["id"] for each in found] == [channel]
    assert (found[0]["last_message"], found[0]["participants"]) == (None, [])
    join = {"user_ids": [id_of(bob)], "role": "admin"}
    joined = bob.client.post(f"{CHAT}/conversations/{channel}/participants/", join)
    assert (joined.status_code, joined.json()[0]["role"]) == (201, "member")
    assert bob.client.post(f"{CHAT}/conversations/{closed}/participants/", join).status_code == 404
    assert stranger.client.get(f"{CHAT}/conversations/?open=true").json()["results"] == []
    there = {"user_ids": [id_of(stranger)]}
    assert stranger.client.post(f"{CHAT}/conversations/{channel}/participants/", there).status_code == 404


def test_moderators_rename(ada: Persona, bob: Persona) -> None:
    group = make_group(ada, bob)
    address = f"{CHAT}/conversations/{group}/"
    assert bob.client.patch(address, {"title": "Mine"}).status_code == 403
    assert ada.client.patch(address, {"title": "Landing"}).json()["title"] == "Landing"
    assert history(bob, group)["results"][-1]["text"].endswith("called this group “Landing”.")


def test_a_direct_conversation_stays_one_of_two(ada: Persona, bob: Persona, eve: Persona) -> None:
    made = ada.client.post(f"{CHAT}/conversations/", {"kind": "direct", "user_ids": [id_of(bob)]}).json()
    people = f"{CHAT}/conversations/{made['id']}/participants/"
    assert ada.client.post(people, {"user_ids": [id_of(eve)]}).status_code == 409
    assert ada.client.delete(f"{people}{id_of(bob)}/").status_code == 409


def test_conversations_have_a_largest_size(ada: Persona, bob: Persona, eve: Persona, settings: Settings) -> None:
    settings.CHAT_MAX_PARTICIPANTS = 2
    group = make_group(ada, bob)
    more = ada.client.post(f"{CHAT}/conversations/{group}/participants/", {"user_ids": [id_of(eve)]})
    assert more.json()["errors"].keys() == {"user_ids"}


def test_the_list_has_the_last_message_and_comes_by_activity(ada: Persona, bob: Persona) -> None:
    first, second = make_group(ada, bob), make_group(ada, bob)
    say(ada, first, "The newest")
    shown = bob.client.get(f"{CHAT}/conversations/").json()["results"]
    assert [each["id"] for each in shown] == [first, second]
    assert shown[0]["last_message"]["text"] == "The newest"
    assert bob.client.get(f"{CHAT}/conversations/?kind=direct").json()["results"] == []
    assert bob.client.get(f"{CHAT}/conversations/?kind=club").status_code == 400
