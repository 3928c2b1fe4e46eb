"""What goes: messages past their time; and everything of a person who wants to be forgotten."""

from __future__ import annotations

from datetime import timedelta

from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from messaging.models import ChatMessage, Participant
from messaging.services import conversations, messages, retention
from messaging.services.messages import Draft
from notification_service.lib.scope import tenant_scope
from tenants.callers import Caller
from tenants.permissions import Permission
from tests.conftest import Persona
from tests.messaging.conftest import CHAT, history, id_of, make_group, say, texts


def test_messages_go_when_their_tenants_time_is_over(ada: Persona, bob: Persona, eve: Persona) -> None:
    conversation = make_group(ada, bob)
    first = say(ada, conversation, "Old")
    bob.client.post(f"{CHAT}/messages/{first['id']}/reactions/", {"emoji": "👍"})
    say(bob, conversation, "An answer", reply_to=first["id"])
    assert retention.delete_old(now=timezone.now() + timedelta(days=4000)) == 0, "the tenant has not said so"
    days = eve.client.patch("/api/v1/projects/me", {"retention_days": {"chat": 30}})
    assert days.status_code == 200, days.json()
    assert retention.delete_old(now=timezone.now() + timedelta(days=29)) == 0
    assert retention.delete_old(now=timezone.now() + timedelta(days=31)) == 4
    assert texts(ada, conversation) == []
    after = say(ada, conversation, "New")
    assert after["seq"] == 5, "numbers go on"
    page = history(ada, conversation)
    assert [message["text"] for message in page["results"]] == ["New"]
    assert page["previous"] is None


def test_export_has_everything_of_a_person_and_nothing_of_others(ada: Persona, bob: Persona) -> None:
    conversation = make_group(ada, bob)
    mine = say(ada, conversation, "Mine")
    theirs = say(bob, conversation, "Theirs")
    ada.client.post(f"{CHAT}/messages/{theirs['id']}/reactions/", {"emoji": "👍"})
    upload = {"conversation_id": conversation, "file": SimpleUploadedFile("notes.txt", b"text")}
    ada.client.post(f"{CHAT}/upload/", upload, format="multipart")
    with tenant_scope(ada.tenant_id):
        exported = list(retention.export(id_of(ada)))
    assert [each["kind"] for each in exported] == ["participant", "message", "reaction", "file"]
    assert (exported[1]["id"], exported[2]["message_id"], exported[3]["name"]) == (
        mine["id"],
        theirs["id"],
        "notes.txt",
    )
    assert "Theirs" not in str(exported)


def test_erasure_leaves_numbers_and_nothing_of_the_person(ada: Persona, bob: Persona) -> None:
    conversation = make_group(ada, bob)
    said = say(bob, conversation, "I am Bob")
    say(ada, conversation, "Hello")
    ada_reacts = f"{CHAT}/messages/{said['id']}/reactions/"
    bob.client.post(ada_reacts, {"emoji": "👍"})
    before = history(ada, conversation)
    with tenant_scope(bob.tenant_id):
        assert retention.erase(id_of(bob)) == 1
        left = list(ChatMessage.objects.all())
        assert not Participant.objects.filter(user_id=id_of(bob)).exists()
        assert list(retention.export(id_of(bob))) == []
    for trace in (id_of(bob), "bob@", "I am Bob"):
        assert not [m for m in left if trace in f"{m.text} {m.sender_id} {m.sender_name} {m.deleted_by}"], trace
    after = history(ada, conversation)
    assert [m["seq"] for m in after["results"]] == [m["seq"] for m in before["results"]]
    assert after["revision"] > before["revision"]
    assert texts(ada, conversation) == ["", "Hello"]
    assert bob.client.get(f"{CHAT}/conversations/").json()["results"] == []


def test_a_direct_conversation_with_somebody_erased_is_not_found_again(ada: Persona, bob: Persona) -> None:
    body = {"recipient_id": id_of(bob), "text": "Hi"}
    first = ada.client.post("/api/messages/send/", body).json()
    with tenant_scope(ada.tenant_id):
        retention.erase(id_of(bob))
    assert ada.client.post("/api/messages/send/", body).json()["conversation_id"] != first["conversation_id"]
    assert texts(ada, first["conversation_id"]) == ["Hi"]


def test_the_tenant_erases_and_exports_a_recipient(ada: Persona, eve: Persona) -> None:
    made = eve.client.post("/api/v1/users", {"external_user_id": "crm-7", "email": "grace@example.com"}).json()
    grace = Caller(ada.tenant_id, "user", "crm-7", "Grace", permissions=frozenset({Permission.SELF}))
    with tenant_scope(ada.tenant_id):
        direct, _ = conversations.create(grace, kind="direct", user_ids=[id_of(ada)])
        messages.send(grace, direct.id, Draft("1", text="I am Grace"))
    exported = eve.client.get(f"/api/v1/users/{made['id']}/export").json()
    assert "I am Grace" in str(exported["chat"])
    erased = eve.client.delete(f"/api/v1/users/{made['id']}?erase=true")
    assert erased.status_code == 204
    assert texts(ada, str(direct.id)) == [""]
