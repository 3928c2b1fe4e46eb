"""Presence: heartbeats that expire, seen by those who share a conversation."""

from __future__ import annotations

import time

from pytest_django.fixtures import Settings

from messaging.services import presence
from tests.conftest import Persona
from tests.messaging.conftest import CHAT, id_of, make_group


def seen(persona: Persona, *others: Persona) -> dict[str, str]:
    answer = persona.client.get(f"{CHAT}/presence/", {"user_id": [id_of(other) for other in others]})
    assert answer.status_code == 200
    return {each["user_id"]: each["status"] for each in answer.json()["results"]}


def test_who_shares_a_conversation_sees_how_one_is(ada: Persona, bob: Persona, eve: Persona, stranger: Persona) -> None:
    make_group(ada, bob)
    assert seen(bob, ada) == {id_of(ada): "offline"}
    mine = ada.client.put(f"{CHAT}/presence/me/", {"status": "busy"}).json()
    assert (mine["status"], mine["user_id"]) == ("busy", id_of(ada))
    assert mine["last_seen_at"] is not None
    assert seen(bob, ada, eve) == {id_of(ada): "busy"}
    assert seen(eve, ada) == {}
    assert seen(stranger, ada) == {}
    assert ada.client.get(f"{CHAT}/presence/me/").json()["status"] == "busy"
    assert ada.client.put(f"{CHAT}/presence/me/", {"status": "asleep"}).status_code == 400


def test_a_heartbeat_keeps_what_was_said_and_no_heartbeat_ends_it(
    ada: Persona, bob: Persona, settings: Settings
) -> None:
    make_group(ada, bob)
    presence.beat(ada.tenant_id, id_of(ada), "away")
    assert presence.beat(ada.tenant_id, id_of(ada)).status == "away"
    assert presence.expire() == 0
    settings.CHAT_PRESENCE_SECONDS = 0.05
    presence.beat(ada.tenant_id, id_of(ada))
    time.sleep(0.1)
    assert seen(bob, ada) == {id_of(ada): "offline"}, "whether or not anybody has looked"
    assert (presence.expire(), presence.expire()) == (1, 0), "told once"
    settings.CHAT_PRESENCE_SECONDS = 45
    assert presence.beat(ada.tenant_id, id_of(ada)).status == "online", "a new day"


def test_who_hides_stays_hidden(ada: Persona, bob: Persona) -> None:
    make_group(ada, bob)
    presence.beat(ada.tenant_id, id_of(ada), "offline")
    presence.beat(ada.tenant_id, id_of(ada))
    assert seen(bob, ada) == {id_of(ada): "offline"}
