"""The engine against a real mail server: what is due goes out, once, in the right words, and nothing else does."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from notification_service.lib.scope import tenant_scope
from notifications.credentials.models import Credential
from notifications.records.engine import Engine
from notifications.records.intake import NewRecord, accept
from notifications.records.models import NotificationRecord
from tenants.callers import Caller, system_caller
from tenants.permissions import Permission
from tests.conftest import Persona
from tests.records.conftest import RECORDS, attempts_of, change, example, load
from tests.sandbox.conftest import Sandbox, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Post = Callable[..., UUID]


def test_a_mail_goes_out_within_one_drain(admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox) -> None:
    record_id = posted()
    assert engine.drain(admin.tenant_id, "normal") == 1
    body = admin.client.get(f"{RECORDS}{record_id}/").json()
    assert (body["status"], body["provider"], body["failure_reason"]) == ("success", "smtp", None)
    assert (body["attempt_count"], body["retry_count"], body["next_attempt_at"]) == (1, 0, None)
    assert body["sent_at"] is not None
    assert body["provider_response"]
    (mail,) = mail_server.messages()
    assert (mail["to"], mail["subject"]) == ("ada@example.com", "Hi Ada")
    assert mail["html"].strip() == "<p>Welcome, Ada.</p>"
    assert mail["text"].strip() == "Welcome, Ada."
    assert "app@acme.example" in mail["from"]
    assert str(record_id) in str(mail["headers"])
    story = admin.client.get(f"{RECORDS}{record_id}/timeline/").json()["timeline"]
    assert [(step["event"], step["status"]) for step in story] == [
        ("accepted", "pending"),
        ("sending", "sending"),
        ("attempt", "success"),
    ]
    assert (story[-1]["attempt"], story[-1]["provider"], story[-1]["code"]) == (1, "smtp", "250 2.0.0")
    assert engine.drain(admin.tenant_id, "normal") == 0
    assert len(mail_server.messages()) == 1


def test_values_are_escaped_and_start_no_header(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox
) -> None:
    posted(context={"name": "<b>Eve</b>\r\nBcc: all@example.com"})
    engine.drain(admin.tenant_id, "normal")
    (mail,) = mail_server.messages()
    assert mail["subject"] == "Hi <b>Eve</b> Bcc: all@example.com"
    assert "&lt;b&gt;Eve&lt;/b&gt;" in mail["html"]
    assert "all@example.com" not in mail["to"]
    assert not mail_server.messages(to="all@example.com")


@pytest.mark.parametrize("door", ["records", "send", "send-batch"])
def test_content_may_name_the_link_by_which_one_unsubscribes(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox, door: str
) -> None:
    content = {"subject": "Hi", "html": '<a href="{{unsubscribe_url}}">No more of {{what}}</a>'}
    if door == "records":
        record_id = posted(content=content, context={"what": "this"})
    else:
        posted(recipient="somebody@example.com")  # gives the credential
        to = {"to": [{"email": "ada@example.com"}]} if door == "send" else {"items": [{"recipient": "ada@example.com"}]}
        body = {"channel": "email", "content": content, "context": {"what": "this"}, **to}
        answer = admin.client.post(f"/api/v1/services/notifications/{door}", body)
        assert answer.status_code == 201, answer.json()
        with tenant_scope(admin.tenant_id):
            record_id = NotificationRecord.objects.get(recipient="ada@example.com").id
    engine.drain(admin.tenant_id, "normal")
    (mail,) = mail_server.messages(to="ada@example.com")
    link = re.search(r'href="[^"]*(/u/[^"]+)">No more of this<', mail["html"])
    assert link
    assert Client().post(link[1]).status_code in (200, 302)
    suppressed = admin.client.get("/api/notifications/suppressions/").json()["results"]
    assert [(each["address"], each["reason"]) for each in suppressed] == [("ada@example.com", "unsubscribed")]
    assert load(admin.tenant, record_id).context == {"what": "this"}


def test_what_is_scheduled_waits_for_its_time(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox
) -> None:
    record_id = posted(scheduled_at=(timezone.now() + timedelta(hours=1)).isoformat())
    assert engine.drain(admin.tenant_id, "normal") == 0
    assert load(admin.tenant, record_id).status == "scheduled"
    assert mail_server.messages() == []
    change(admin.tenant, record_id, due_at=timezone.now())
    assert engine.drain(admin.tenant_id, "normal") == 1
    assert load(admin.tenant, record_id).status == "success"


def test_lanes_and_tenants_are_drained_each_by_itself(
    admin: Persona,
    stranger: Persona,
    posted: Post,
    engine: Engine,
    mail_server: Sandbox,
    make_credential: Callable[..., Credential],
) -> None:
    make_credential(stranger.tenant, mail_server.smtp_port)
    normal, critical = posted(), posted(lane="critical")
    theirs = stranger.client.post(RECORDS, example(recipient="theirs@example.com")).json()["id"]
    assert engine.drain(admin.tenant_id, "normal") == 1
    assert [load(admin.tenant, each).status for each in (normal, critical)] == ["success", "pending"]
    assert load(stranger.tenant, theirs).status == "pending"
    assert mail_server.messages(to="theirs@example.com") == []
    assert engine.drain(stranger.tenant_id, "normal") == 1
    (mail,) = mail_server.messages(to="theirs@example.com")
    assert "app@globex.example" in mail["from"]


@pytest.mark.parametrize("count", [2, 3, 10])
def test_chunks_have_no_seams(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox, settings: Settings, count: int
) -> None:
    settings.DRAIN_CHUNK = 3
    for n in range(count):
        posted(recipient=f"person{n}@example.com")
    assert engine.drain(admin.tenant_id, "normal") == count
    assert sorted(mail["to"] for mail in mail_server.messages()) == [f"person{n}@example.com" for n in range(count)]
    with tenant_scope(admin.tenant_id):
        assert NotificationRecord.objects.filter(status="success", attempt_count=1).count() == count


def test_what_is_too_late_is_not_sent(admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox) -> None:
    late, fine = posted(), posted(recipient="bob@example.com")
    change(admin.tenant, late, expires_at=timezone.now())
    engine.drain(admin.tenant_id, "normal")
    record = load(admin.tenant, late)
    assert (record.status, record.failure_reason, record.attempt_count) == ("failed", "expired", 0)
    assert attempts_of(admin.tenant, late) == []
    assert load(admin.tenant, fine).status == "success"
    assert [mail["to"] for mail in mail_server.messages()] == ["bob@example.com"]
    story = admin.client.get(f"{RECORDS}{late}/timeline/").json()["timeline"]
    assert (story[-1]["event"], story[-1]["status"], story[-1]["reason"]) == ("ended", "failed", "expired")


def test_what_was_cancelled_or_deleted_is_not_sent(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox
) -> None:
    cancelled, deleted = posted(), posted()
    admin.client.post(f"{RECORDS}{cancelled}/cancel/")
    admin.client.delete(f"{RECORDS}{deleted}/")
    assert engine.drain(admin.tenant_id, "normal") == 0
    assert mail_server.messages() == []


def test_words_that_can_no_longer_be_rendered_fail_alone(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox
) -> None:
    """Intake proved that it renders; whatever happened to the row since must not hold up the chunk."""
    broken, fine = posted(), posted(recipient="bob@example.com")
    change(admin.tenant, broken, context={})
    engine.drain(admin.tenant_id, "normal")
    record = load(admin.tenant, broken)
    assert (record.status, record.failure_reason) == ("failed", "content_error")
    assert "'name'" in record.provider_response
    assert load(admin.tenant, fine).status == "success"


def test_test_traffic_never_reaches_the_tenants_credential(
    admin: Persona,
    engine: Engine,
    mail_server: Sandbox,
    settings: Settings,
    make_credential: Callable[..., Credential],
) -> None:
    make_credential(admin.tenant, port=1, host="unreachable.invalid")
    settings.SANDBOX_SMTP_URL = f"smtp://user:secret@127.0.0.1:{mail_server.smtp_port}"
    caller = Caller(admin.tenant_id, "api_key", "key", permissions=frozenset(Permission), mode="test")
    with tenant_scope(admin.tenant_id):
        record = accept(caller, NewRecord("email", "ada@example.com", {"subject": "Test"}))
    engine.drain(admin.tenant_id, "normal")
    sent = load(admin.tenant, record.id)
    assert (sent.status, sent.mode, sent.credential_id) == ("success", "test", None)
    assert [mail["subject"] for mail in mail_server.messages()] == ["Test"]


def test_without_a_sandbox_test_traffic_goes_nowhere(admin: Persona, engine: Engine, settings: Settings) -> None:
    settings.SANDBOX_SMTP_URL = ""
    caller = Caller(admin.tenant_id, "api_key", "key", permissions=frozenset(Permission), mode="test")
    with tenant_scope(admin.tenant_id):
        record = accept(caller, NewRecord("email", "ada@example.com", {"subject": "Test"}))
    engine.drain(admin.tenant_id, "normal")
    sent = load(admin.tenant, record.id)
    assert (sent.status, sent.provider) == ("success", "console")


def test_the_first_active_credential_is_used(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox, make_credential: Callable[..., Credential]
) -> None:
    second = make_credential(admin.tenant, mail_server.smtp_port, from_email="second@acme.example")
    address = "/api/notifications/credentials/"
    first = next(row for row in admin.client.get(address).json()["results"] if row["id"] != str(second.id))
    assert admin.client.patch(f"{address}{first['id']}/", {"enabled": False}).json()["status"] == "disabled"
    record_id = posted()  # `posted` made the first credential before
    engine.drain(admin.tenant_id, "normal")
    assert load(admin.tenant, record_id).credential_id == second.id


def test_one_process_sends_for_many_tenants_at_once(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox
) -> None:
    """``drain`` may be called from any thread: two drains of one lane share the rows and send none twice."""
    for n in range(40):
        posted(recipient=f"person{n}@example.com")
    with ThreadPoolExecutor(4) as pool:
        handled = list(pool.map(lambda _: engine.drain(admin.tenant_id, "normal"), range(4)))
    assert sum(handled) == 40
    assert len(mail_server.messages(limit=100)) == 40


def test_secrets_and_words_are_in_no_log(
    admin: Persona,
    engine: Engine,
    mail_server: Sandbox,
    make_credential: Callable[..., Credential],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    make_credential(admin.tenant, mail_server.smtp_port, username="acme", password="hunter2-hunter2-hunter2")
    with tenant_scope(admin.tenant_id):
        for recipient in ("ada@example.com", "fail-permanent@example.com", "auth-fail@example.com"):
            content = {"subject": "Zebra", "body": "Xylophone {{ code }}"}
            accept(
                system_caller(admin.tenant_id, "test"),
                NewRecord("email", recipient, content, context={"code": "998877"}, lane="critical"),
            )
    engine.drain(admin.tenant_id, "critical")
    logged = caplog.text + repr([record.__dict__ for record in caplog.records])
    assert mail_server.messages()
    for word in ("hunter2", "Zebra", "Xylophone", "998877"):
        assert word not in logged


def test_who_is_suppressed_while_a_message_waits_gets_nothing(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox
) -> None:
    barred, other = posted(recipient="Barred@example.com"), posted(recipient="other@example.com")
    suppression = {"channel": "email", "address": "barred@example.com", "reason": "manual"}
    assert admin.client.post("/api/notifications/suppressions/", suppression).status_code == 201
    engine.drain(admin.tenant_id, "normal")
    record = load(admin.tenant, barred)
    assert (record.status, record.failure_reason, record.attempt_count) == ("suppressed", "suppressed", 0)
    assert load(admin.tenant, other).status == "success"
    assert [mail["to"] for mail in mail_server.messages()] == ["other@example.com"]


def test_an_engine_that_is_closed_gives_back_what_it_has_not_begun(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox
) -> None:
    ids = [posted(recipient=f"slow+1@n{number}.example.com") for number in range(40)]
    engine.drain(admin.tenant_id, "normal", patience=0)
    wait_until(lambda: mail_server.messages())  # eight are under way at a time
    engine.close()
    assert engine.drain(admin.tenant_id, "normal") == 0
    records = [load(admin.tenant, each) for each in ids]
    sent = [record for record in records if record.status == "success"]
    given_back = [record for record in records if record.status == "pending"]
    assert len(sent) + len(given_back) == 40
    assert 8 <= len(sent) < 40
    assert {(record.lease_token, record.attempt_count, record.retry_count) for record in given_back} == {(None, 0, 0)}
    assert all(record.due_at <= timezone.now() for record in given_back)
    assert not any(attempts_of(admin.tenant, record.id) for record in given_back)
    another = Engine()
    assert another.drain(admin.tenant_id, "normal") == len(given_back)
    another.close()
    assert sorted(mail["to"] for mail in mail_server.messages()) == sorted(record.recipient for record in records)


def test_a_trickle_does_not_keep_the_turn(
    admin: Persona, posted: Post, engine: Engine, mail_server: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that arrive while others are claimed never fill a chunk; other tenants get their turn all the same."""
    monkeypatch.setattr("notifications.records.engine.TURN", 0.3)
    posted()
    ends, sent = threading.Event(), 1

    def trickle() -> None:
        nonlocal sent
        while not ends.is_set():
            posted(recipient=f"ada{sent}@example.com")
            sent += 1
        connection.close()

    arrivals = threading.Thread(target=trickle)
    arrivals.start()
    try:
        began = time.monotonic()
        engine.drain(admin.tenant_id, "normal")
        took = time.monotonic() - began
        still_arriving = arrivals.is_alive()
    finally:
        ends.set()
        arrivals.join()
    assert still_arriving
    assert took < 5
    engine.drain(admin.tenant_id, "normal")
    assert len(mail_server.messages(limit=1000)) == sent
