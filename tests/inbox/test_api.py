"""The inbox over HTTP: one's own, the tenant's, broadcasts and sounds."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings
from rest_framework.test import APIClient

from notification_service.lib.scope import tenant_scope
from notifications.inbox import streams, tasks
from notifications.inbox.models import InboxMessage
from notifications.inbox.streams import NewMessage
from notifications.records.engine import Engine
from notifications.records.models import NotificationRecord, RecordEvent
from tenants.models import Plan, Role, Tenant
from tests.conftest import Persona

MINE = "/api/notifications/"
ME = "/api/v1/users/me/notifications"
TENANT = "/api/v1/notifications"
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00" + bytes(40)


@pytest.fixture
def put(ada: Persona) -> Callable[..., UUID]:
    """Put a message into Ada's inbox."""

    def put(**fields: Any) -> UUID:
        message = NewMessage(str(ada.user.id), {"title": "Hi", "body": "There"}, **fields)
        with tenant_scope(ada.tenant_id):
            streams.append([message])
        return message.id

    return put


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [each["id"] for each in answer.json()["results"]]


def test_the_list_filters_and_pages(ada: Persona, put: Callable[..., UUID]) -> None:
    old = put(created_at=timezone.now() - timedelta(days=2), category="news", priority="low")
    read, archived, urgent = put(), put(), put(priority="urgent")
    client = ada.client
    assert client.patch(f"{ME}/{read}/read").json()["read_at"]
    assert client.post(f"{ME}/{archived}/archive").json()["archived_at"]
    for query, expected in (
        ("", [urgent, read, old]),
        ("status=unread", [urgent, old]),
        ("status=read", [read]),
        ("status=archived", [archived]),
        ("status=all", [urgent, archived, read, old]),
        ("read=false", [urgent, old]),
        ("archived=true", [archived]),
        ("priority=low,urgent", [urgent, old]),
        ("category=news", [old]),
        ("cursor=&page_size=2", [urgent, read]),
    ):
        for address in (MINE, ME, "/api/notifications/messages/"):
            assert ids(client.get(f"{address}?{query}")) == [str(each) for each in expected], query
    since = (timezone.now() - timedelta(days=1)).isoformat()
    assert ids(client.get(MINE, {"since": since})) == [str(urgent), str(read)]
    following = client.get(client.get(f"{MINE}?cursor=&page_size=2").json()["next"])
    assert ids(following) == [str(old)]


@pytest.mark.parametrize("query", ["status=lost", "priority=loud", "since=yesterday", "read=maybe", "archived=2"])
def test_filters_that_make_no_sense_are_named(ada: Persona, query: str) -> None:
    answer = ada.client.get(f"{MINE}?{query}")
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [query.partition("=")[0]]


def test_json_lines_hold_every_message_once(ada: Persona, put: Callable[..., UUID]) -> None:
    with tenant_scope(ada.tenant_id):
        streams.append([NewMessage(str(ada.user.id), {"title": str(number)}) for number in range(1_200)])
    answer = ada.client.get(MINE, HTTP_ACCEPT="application/x-ndjson")
    assert answer["Content-Type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]
    assert [line["title"] for line in lines] == [str(number) for number in reversed(range(1_200))]


def test_reading_counts_and_moves_the_record(ada: Persona, put: Callable[..., UUID]) -> None:
    first, second, third = put(), put(), put()
    client = ada.client
    assert client.get(f"{ME}/unread-count").json() == {"unread": 3, "count": 3}
    assert client.post(f"{MINE}mark-as-read/", {"ids": [str(first)]}).json() == {
        "changed": 1,
        "unread": 2,
        "count": 2,
    }
    assert client.patch(f"{ME}/{second}/read").json()["read_at"]
    assert client.patch(f"{ME}/{second}/unread").json()["read_at"] is None
    assert client.post(f"{ME}/mark-all-read").json()["unread"] == 0
    assert client.patch(f"/api/notifications/messages/{third}/", {"read": False}).json()["read_at"] is None
    assert client.post(f"{MINE}mark-as-read/", {"all": True}).json()["changed"] == 1
    for body in ({}, {"ids": [], "all": True}, {"ids": ["x"]}, {"ids": [str(first)], "all": True}):
        assert client.post(f"{MINE}mark-as-read/", body).status_code == 400


def test_snooze_and_delete(ada: Persona, put: Callable[..., UUID]) -> None:
    first, second, third = put(), put(), put()
    client = ada.client
    later = (timezone.now() + timedelta(hours=1)).isoformat()
    assert client.post(f"{ME}/{first}/snooze", {"until": later}).json()["snoozed_until"]
    assert ids(client.get(ME)) == [str(third), str(second)]
    assert ids(client.get(f"{ME}?status=snoozed")) == [str(first)]
    assert client.post(f"{ME}/{first}/snooze", {"until": "2020-01-01T00:00:00Z"}).status_code == 400
    assert client.post(f"{ME}/{first}/snooze", {"until": None}).json()["snoozed_until"] is None
    assert client.delete(f"{ME}/{first}").status_code == 204
    assert client.get(f"{ME}/{first}").status_code == 404
    client.patch(f"{ME}/{second}/read")
    assert client.delete(ME, {"read": True}).json()["changed"] == 1
    assert client.delete(ME, {"ids": [str(third)]}).json() == {"changed": 1, "unread": 0, "count": 0}
    assert client.delete(ME, {}).status_code == 400


def test_nobody_sees_or_changes_another_persons_messages(
    ada: Persona, admin: Persona, stranger: Persona, put: Callable[..., UUID]
) -> None:
    message = put()
    for other in (admin, stranger):
        assert ids(other.client.get(MINE)) == []
        assert other.client.get(f"{ME}/{message}").status_code == 404
        assert other.client.patch(f"{ME}/{message}/read").status_code == 404
        assert other.client.delete(f"{ME}/{message}").status_code == 404
        assert other.client.post(f"{MINE}mark-as-read/", {"ids": [str(message)]}).json()["changed"] == 0
    assert stranger.client.get(f"{TENANT}/{message}").status_code == 404
    assert stranger.client.put(f"{TENANT}/{message}/acknowledge").status_code == 404
    assert stranger.client.delete(TENANT, {"ids": [str(message)]}).json() == {"deleted": 0}
    assert ids(stranger.client.get(TENANT)) == []
    assert ada.client.get(f"{ME}/unread-count").json()["unread"] == 1


class TestTenantWide:
    def test_admins_see_all_and_others_their_own(self, ada: Persona, admin: Persona, put: Callable[..., UUID]) -> None:
        message = put(priority="high", category="news")
        (row,) = admin.client.get(TENANT).json()["results"]
        assert (row["id"], row["user_id"], row["message"]) == (str(message), str(ada.user.id), "There")
        assert ids(ada.client.get(TENANT)) == [str(message)]
        assert ids(admin.client.get(f"{TENANT}?user_id=nobody")) == []
        stats = admin.client.get(f"{TENANT}/stats").json()
        assert (stats["total"], stats["unread"], stats["people"]) == (1, 1, 1)
        assert (stats["by_priority"], stats["by_category"]) == ({"high": 1}, {"news": 1})
        assert admin.client.get(f"{TENANT}/stats?since=x").status_code == 400
        assert ada.client.get(f"{TENANT}/stats").status_code == 403

    def test_acknowledging(
        self, ada: Persona, admin: Persona, put: Callable[..., UUID], api_key_client: Callable[..., APIClient]
    ) -> None:
        first, second = put(), put()
        mine = ada.client.put(f"{TENANT}/{first}/acknowledge").json()
        assert mine["acknowledged_at"] == mine["read_at"]
        assert mine["acknowledged_by"] == ada.user.email
        server = api_key_client(ada.tenant, scopes=["notifications:write", "notifications:read"])
        assert server.put(f"{TENANT}/{second}/acknowledge").json()["acknowledged_at"]
        assert ids(admin.client.get(f"{TENANT}?acknowledged=true")) == [str(second), str(first)]

    def test_many_are_deleted_at_once(self, ada: Persona, admin: Persona, put: Callable[..., UUID]) -> None:
        first, second, third = put(), put(), put()
        answer = admin.client.delete(TENANT, {"ids": [str(first), str(second), str(uuid4())]})
        assert answer.json() == {"deleted": 2}
        assert admin.client.delete(f"{TENANT}/{third}").status_code == 204
        assert ada.client.get(f"{ME}/unread-count").json()["unread"] == 0
        assert ada.client.delete(TENANT, {"ids": [str(first)]}).status_code == 403

    def test_broadcasts(
        self,
        ada: Persona,
        admin: Persona,
        stranger: Persona,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        body = {"audience": "role", "roles": ["employee"], "content": {"title": "Lunch", "priority": "high"}}
        made = admin.client.post(f"{TENANT}/broadcasts", body)
        assert made.status_code == 201, made.json()
        address = f"{TENANT}/broadcasts/{made.json()['id']}"
        assert ids(stranger.client.get(MINE)) == []
        (message,) = ada.client.get(MINE).json()["results"]
        assert (message["broadcast_id"], message["priority"]) == (made.json()["id"], "high")
        ada.client.patch(f"{ME}/{message['id']}/read")
        assert ids(admin.client.get(f"{TENANT}/broadcasts")) == [made.json()["id"]]
        reception = admin.client.get(address).json()
        assert (reception["reached"], reception["read"]) == (1, 1)
        assert stranger.client.get(address).status_code == 404
        assert stranger.client.delete(address).status_code == 404
        monkeypatch.setattr(tasks.retract, "delay", tasks.retract)
        with django_capture_on_commit_callbacks(execute=True):
            assert admin.client.delete(address).status_code == 204
        assert ids(ada.client.get(MINE)) == []
        for wrong, field in (
            ({"audience": "role"}, "roles"),
            ({"audience": "everyone"}, "audience"),
            ({"content": {"title": ""}}, "content.title"),
            ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ):
            refused = admin.client.post(
                f"{TENANT}/broadcasts", {"audience": "tenant", "content": {"title": "x"}, **wrong}
            )
            assert refused.status_code == 400
            assert field in refused.json()["errors"]
        assert ada.client.post(f"{TENANT}/broadcasts", body).status_code == 403


class TestSounds:
    @pytest.fixture(autouse=True)
    def _media(self, settings: Settings, tmp_path: Path) -> None:
        settings.MEDIA_ROOT = tmp_path

    def upload(self, client: APIClient, data: bytes = WAV, name: str = "chime.wav", **fields: str) -> Any:
        return client.post("/api/v1/sounds", {"file": SimpleUploadedFile(name, data), **fields}, format="multipart")

    def test_upload_play_delete(self, admin: Persona, ada: Persona, stranger: Persona, tmp_path: Path) -> None:
        made = self.upload(admin.client)
        assert made.status_code == 201, made.json()
        sound = made.json()
        assert (sound["name"], sound["content_type"], sound["size"]) == ("chime", "audio/wav", len(WAV))
        assert list(tmp_path.glob(f"tenants/{admin.tenant_id}/sounds/*.wav"))
        played = ada.client.get(sound["url"])
        assert (played.content, played["Content-Type"]) == (WAV, "audio/wav")
        assert "immutable" in played["Cache-Control"]
        assert "private" in played["Cache-Control"]
        for known in (played["ETag"], f'"another", W/{played["ETag"]}'):
            unchanged = ada.client.get(sound["url"], HTTP_IF_NONE_MATCH=known)
            assert (unchanged.status_code, unchanged["Cache-Control"]) == (304, played["Cache-Control"])
        assert ids(ada.client.get("/api/v1/sounds?name=chime")) == [sound["id"]]
        assert stranger.client.get(sound["url"]).status_code == 404
        assert ids(stranger.client.get("/api/v1/sounds")) == []
        assert stranger.client.delete(sound["url"]).status_code == 404
        assert ada.client.delete(sound["url"]).status_code == 403
        assert self.upload(ada.client).status_code == 403
        assert admin.client.delete(sound["url"]).status_code == 204
        assert admin.client.get(sound["url"]).status_code == 404

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"<html><script>alert(1)</script></html>", "no sound"),
            (b"MZ" + bytes(300), "no sound"),
            (b"x", "no sound"),
            (WAV + bytes(2_000_000), "At most"),
        ],
        ids=["page", "program", "nothing", "too long"],
    )
    def test_what_is_no_sound_is_refused_whatever_it_is_called(self, admin: Persona, data: bytes, said: str) -> None:
        answer = self.upload(admin.client, data, "sound.mp3")
        assert answer.status_code == 400
        assert said in answer.json()["errors"]["file"][0]

    def test_plan_and_names_limit(self, admin: Persona) -> None:
        Tenant.objects.filter(id=admin.tenant_id).update(plan=Plan.FREE)
        assert self.upload(admin.client, name="../../etc/passwd").json()["name"] == "passwd"
        assert self.upload(admin.client, name="passwd").status_code == 409
        assert self.upload(admin.client, name="b.wav", name_="").status_code == 201
        assert self.upload(admin.client, name="c.wav").status_code == 201
        refused = self.upload(admin.client, name="d.wav")
        assert (refused.status_code, refused.json()["code"]) == (403, "plan_limit")


@pytest.mark.django_db(transaction=True)
def test_from_the_door_to_the_inbox(
    make_persona: Callable[..., Persona], tenant: Tenant, api_key_client: Callable[..., APIClient]
) -> None:
    """A record is rendered, stored in the inbox with its own id, read, and says so; test traffic reaches nobody."""
    ada = make_persona(tenant, Role.EMPLOYEE)
    content = {
        "title": "Hi {{name}}",
        "priority": "high",
        "sound": "chime",
        "expires_at": "2099-01-01T00:00:00Z",
        "actions": [{"label": "Open {{name}}", "url": "/x"}, {"label": "Accept", "callback": "accept"}],
    }
    record = {
        "channel": "inapp",
        "recipient": str(ada.user.id),
        "content": content,
        "context": {"name": "Ada"},
        "metadata": {"category": "news"},
    }
    sent = api_key_client(tenant).post("/api/notifications/records/", record)
    assert sent.status_code == 201, sent.json()
    assert api_key_client(tenant, mode="test").post("/api/notifications/records/", record).status_code == 201
    engine = Engine()
    try:
        assert engine.drain(tenant.id, "normal") == 2
    finally:
        engine.close()
    (message,) = ada.client.get(MINE).json()["results"]
    assert message["id"] == sent.json()["id"]
    assert (message["title"], message["category"], message["priority"]) == ("Hi Ada", "news", "high")
    assert message["actions"][0] == {"label": "Open Ada", "url": "/x"}
    assert message["expires_at"].startswith("2099")
    ada.client.post(f"{MINE}mark-as-read/", {"all": True})
    with tenant_scope(tenant.id):
        assert NotificationRecord.objects.get(id=message["id"]).delivery_state == "read"
    ada.client.put(f"{TENANT}/{message['id']}/acknowledge")
    with tenant_scope(tenant.id):
        assert NotificationRecord.objects.get(id=message["id"]).delivery_state == "acknowledged"
        kinds = RecordEvent.objects.filter(record_id=message["id"]).order_by("id").values_list("kind", flat=True)
        assert list(kinds) == ["read", "acknowledged"]
        assert InboxMessage.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_what_would_have_left_the_inbox_already_does_not_arrive(ada: Persona, admin: Persona) -> None:
    """Its sender is told; nobody's bell rings for it."""
    content = {"title": "Lunch in five minutes", "expires_at": (timezone.now() - timedelta(minutes=1)).isoformat()}
    record = {"channel": "inapp", "recipient": str(ada.user.id), "content": content}
    sent = admin.client.post("/api/notifications/records/", record).json()
    engine = Engine()
    try:
        engine.drain(admin.tenant_id, "normal")
    finally:
        engine.close()
    found = admin.client.get(f"/api/notifications/records/{sent['id']}/").json()
    assert (found["status"], found["failure_reason"]) == ("failed", "expired")
    assert ada.client.get(MINE).json()["results"] == []
    with tenant_scope(ada.tenant_id):
        assert not InboxMessage.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"actions": [{"label": "Both", "url": "/x", "callback": "y"}]},
        {"actions": [{"label": "Bad", "url": "javascript:alert(1)"}]},
        {"expires_at": "2099-01-01T00:00:00"},
        {"expires_at": "soon"},
    ],
    ids=["two ways", "script", "no zone", "no time"],
)
def test_content_that_can_not_be_shown_is_refused(admin: Persona, change: dict[str, Any]) -> None:
    record = {"channel": "inapp", "recipient": "ada", "content": {"title": "Hi", **change}}
    answer = admin.client.post("/api/notifications/records/", record)
    assert (answer.status_code, answer.json()["code"]) == (400, "content_error")


def test_the_inbox_of_an_erased_person_is_exported_and_then_gone(
    ada: Persona, admin: Persona, put: Callable[..., UUID]
) -> None:
    put()
    person = {"external_user_id": str(ada.user.id), "name": "Ada"}
    known = admin.client.post("/api/v1/users", person).json()["id"]
    (message,) = ada.client.get("/api/notifications/").json()["results"]
    assert [each["id"] for each in admin.client.get(f"/api/v1/users/{known}/export").json()["inbox"]] == [message["id"]]
    assert admin.client.delete(f"/api/v1/users/{known}?erase=true").status_code == 204
    assert ada.client.get("/api/notifications/").json()["results"] == []
    assert ada.client.get("/api/v1/users/me/notifications/unread-count").json()["unread"] == 0
