"""Unread for a while: a notification by record; read in time: none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from messaging.models import UnreadNotice
from messaging.services import notices, presence
from notification_service.lib.scope import tenant_scope
from notifications.records.models import NotificationRecord
from tests.conftest import Persona
from tests.messaging.conftest import CHAT, id_of, make_group, say


def later(minutes: float = 11) -> int:
    return notices.send_due(timezone.now() + timedelta(minutes=minutes))


def records(persona: Persona) -> list[NotificationRecord]:
    with tenant_scope(persona.tenant_id):
        return list(NotificationRecord.objects.order_by("id"))


def waiting(persona: Persona) -> list[str]:
    with tenant_scope(persona.tenant_id):
        return list(UnreadNotice.objects.order_by("id").values_list("user_id", flat=True))


@pytest.fixture
def mail(ada: Persona, eve: Persona) -> None:
    """The tenant can send email."""
    credential = {"host": "mail.acme.example", "from_email": "no-reply@acme.example"}
    body: dict[str, Any] = {"channel": "email", "credentials": credential}
    assert eve.client.post("/api/notifications/credentials/", body).status_code == 201


def test_unread_messages_become_a_notification_in_every_way_there_is(ada: Persona, bob: Persona, mail: None) -> None:
    conversation = make_group(ada, bob)
    say(ada, conversation, "Are you {{there}}?")
    say(ada, conversation, "Bob?")
    assert later(9) == 0
    assert later() == 2
    inapp, email = sorted(records(ada), key=lambda record: record.channel, reverse=True)
    assert (inapp.channel, inapp.recipient) == ("inapp", id_of(bob))
    assert (email.channel, email.recipient) == ("email", "bob@acme.example")
    assert email.context == {"title": "ada@acme.example in Launch: 2 new messages", "body": "Bob?"}
    assert inapp.metadata["category"] == "chat"
    assert inapp.content["data"]["conversation_id"] == conversation
    assert waiting(ada) == []


def test_what_people_write_is_no_placeholder(ada: Persona, bob: Persona, mail: None) -> None:
    say(ada, make_group(ada, bob), "{{ password }} and {% raw %}")
    assert later() == 2
    assert {record.context["body"] for record in records(ada)} == {"{{ password }} and {% raw %}"}


def test_reading_in_time_cancels(ada: Persona, bob: Persona) -> None:
    conversation = make_group(ada, bob)
    say(ada, conversation)
    assert waiting(ada) == [id_of(bob)]
    bob.client.post(f"{CHAT}/conversations/{conversation}/read/", {})
    assert waiting(ada) == []
    assert later() == 0


def test_what_came_after_what_was_read_is_waited_for_anew(ada: Persona, bob: Persona) -> None:
    conversation = make_group(ada, bob)
    first = say(ada, conversation)
    say(ada, conversation, "And this?")
    bob.client.post(f"{CHAT}/conversations/{conversation}/read/", {"seq": first["seq"]})
    assert later() == 1
    assert [record.context["body"] for record in records(ada)] == ["And this?"]


def test_one_notice_until_they_have_read_on(ada: Persona, bob: Persona) -> None:
    conversation = make_group(ada, bob)
    say(ada, conversation)
    assert later() == 1
    say(ada, conversation, "Still nobody?")
    assert later(60) == 0
    bob.client.post(f"{CHAT}/conversations/{conversation}/read/", {})
    say(ada, conversation, "Hello again")
    assert later(60) == 1


def test_answering_is_reading(ada: Persona, bob: Persona) -> None:
    conversation = make_group(ada, bob)
    say(ada, conversation)
    say(bob, conversation)
    assert waiting(ada) == [id_of(ada)]


def test_who_sits_in_front_of_it_is_asked_again_later(ada: Persona, bob: Persona, settings: Settings) -> None:
    say(ada, make_group(ada, bob))
    presence.beat(bob.tenant_id, id_of(bob))
    assert later() == 0
    assert waiting(ada) == [id_of(bob)]
    presence.forget(bob.tenant_id, id_of(bob))
    assert later(30) == 1


def test_muted_left_and_deleted_are_not_told(ada: Persona, bob: Persona, eve: Persona) -> None:
    conversation = make_group(ada, bob, eve)
    people = f"{CHAT}/conversations/{conversation}/participants"
    bob.client.patch(f"{people}/{id_of(bob)}/", {"muted": True})
    message = say(ada, conversation)
    assert waiting(ada) == [id_of(eve)]
    eve.client.delete(f"{people}/{id_of(eve)}/")
    assert waiting(ada) == []
    bob.client.patch(f"{people}/{id_of(bob)}/", {"muted": False})
    message = say(ada, conversation)
    ada.client.delete(f"{CHAT}/messages/{message['id']}/")
    assert waiting(ada) == [id_of(bob)]
    with tenant_scope(ada.tenant_id):
        NotificationRecord.objects.all().delete()
    assert later() == 1, "an earlier message is unread"


def test_channels_and_an_interval_of_nothing_send_none(ada: Persona, bob: Persona, settings: Settings) -> None:
    say(ada, make_group(ada, bob, kind="channel"))
    settings.CHAT_NOTICE_MINUTES = 0
    say(ada, make_group(ada, bob))
    assert waiting(ada) == []


def test_preferences_are_heeded(ada: Persona, bob: Persona, mail: None) -> None:
    chosen = bob.client.put("/api/v1/users/me/preferences", {"categories": {"chat": {"email": False}}})
    assert chosen.status_code == 200
    say(ada, make_group(ada, bob))
    later()
    ends = {record.channel: (str(record.status), record.provider_response) for record in records(ada)}
    assert ends["email"] == ("suppressed", "preference:chat:email")
    assert ends["inapp"][0] == "pending"


def test_recipients_are_told_where_the_tenant_knows_them(ada: Persona, eve: Persona, mail: None) -> None:
    person = {"external_user_id": "crm-7", "email": "grace@example.com", "name": "Grace"}
    assert eve.client.post("/api/v1/users", person).status_code == 201
    device = {"user_id": "crm-7", "device_id": "phone", "platform": "ios", "token": "a-token-of-a-phone"}
    assert eve.client.post("/api/notifications/devices/", device).status_code == 201
    assert ada.client.post("/api/messages/send/", {"recipient_id": "crm-7", "text": "Hi"}).status_code == 201
    assert later() == 2, "there is no credential for push"
    assert {(record.channel, record.recipient) for record in records(ada)} == {
        ("inapp", "crm-7"),
        ("email", "grace@example.com"),
    }
