"""One record: read, changed, cancelled, deleted, sent again; and every refusal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone
from rest_framework.response import Response

from notification_service.lib.ids import new_id
from notification_service.lib.scope import tenant_scope
from notifications.records.models import NotificationRecord
from notifications.records.states import EDITABLE, FINAL, WAITING, Status
from tenants.models import AuditLog, Role
from tests.conftest import Persona
from tests.records.conftest import EXAMPLE, RECORDS, change, example, load

#: Every address of one record: method, what comes after its id, and a body that would do.
DOORS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "", None),
    ("PUT", "", {name: EXAMPLE[name] for name in ("recipient", "content", "context")}),
    ("PATCH", "", {"recipient": "bob@example.com"}),
    ("DELETE", "", None),
    ("POST", "cancel/", None),
    ("POST", "resend/", None),
    ("GET", "timeline/", None),
]


@pytest.fixture
def record_id(sender: Persona) -> UUID:
    return UUID(sender.client.post(RECORDS, EXAMPLE).json()["id"])


def ask(persona: Persona, record_id: UUID | str, method: str, more: str = "", body: Any = None) -> Response:
    return (
        persona.client.generic(method, f"{RECORDS}{record_id}/{more}")
        if body is None
        else getattr(persona.client, method.lower())(f"{RECORDS}{record_id}/{more}", body)
    )


def events(persona: Persona, record_id: UUID) -> list[str]:
    return [step["event"] for step in ask(persona, record_id, "GET", "timeline/").json()["timeline"]]


def audited(persona: Persona) -> list[str]:
    with tenant_scope(persona.tenant_id):
        rows = AuditLog.objects.filter(resource_type="record").order_by("id")
        return list(rows.values_list("action", flat=True))


@pytest.mark.parametrize(("method", "more", "body"), DOORS)
def test_a_stranger_finds_nothing(
    sender: Persona, stranger: Persona, record_id: UUID, method: str, more: str, body: Any
) -> None:
    before = load(sender.tenant, record_id)
    theirs = ask(stranger, record_id, method, more, body)
    nobodys = ask(stranger, new_id(), method, more, body)
    assert (theirs.status_code, theirs.json()["code"]) == (404, "not_found")
    assert theirs.json() == nobodys.json()
    after = load(sender.tenant, record_id)
    assert (after.status, after.recipient, after.deleted_at) == (before.status, before.recipient, None)


@pytest.mark.parametrize(("method", "more", "body"), DOORS)
def test_an_employee_may_not(
    sender: Persona, record_id: UUID, make_persona: Callable[..., Persona], method: str, more: str, body: Any
) -> None:
    answer = ask(make_persona(sender.tenant, Role.EMPLOYEE), record_id, method, more, body)
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


@pytest.mark.parametrize(("method", "more", "body"), DOORS)
def test_a_deleted_record_is_gone(sender: Persona, record_id: UUID, method: str, more: str, body: Any) -> None:
    assert ask(sender, record_id, "DELETE").status_code == 204
    assert ask(sender, record_id, method, more, body).status_code == 404
    assert sender.client.get(RECORDS).json()["count"] == 0


def test_the_slash_is_optional_and_the_id_must_be_one(sender: Persona, record_id: UUID) -> None:
    assert sender.client.get(f"{RECORDS}{record_id}").status_code == 200
    assert sender.client.get(f"{RECORDS}7/").status_code == 404


def test_patch_changes_what_is_given(sender: Persona, record_id: UUID) -> None:
    answer = ask(sender, record_id, "PATCH", body={"recipient": "bob@example.com", "metadata": {"a": 1}})
    body = answer.json()
    assert answer.status_code == 200
    assert (body["recipient"], body["metadata"]) == ("bob@example.com", {"a": 1})
    assert (body["content"], body["context"]) == (EXAMPLE["content"], EXAMPLE["context"])
    step = ask(sender, record_id, "GET", "timeline/").json()["timeline"][-1]
    assert (step["event"], step["fields"]) == ("edited", ["metadata", "recipient"])
    assert step["actor"] == sender.user.email


def test_put_takes_away_what_is_not_given(sender: Persona) -> None:
    when = (timezone.now() + timedelta(days=1)).isoformat()
    made = sender.client.post(RECORDS, example(metadata={"a": 1}, lane="bulk", scheduled_at=when)).json()
    answer = ask(sender, made["id"], "PUT", body={"recipient": "b@example.com", "content": {"body": "Hello"}})
    body = answer.json()
    assert answer.status_code == 200
    assert (body["status"], body["lane"], body["metadata"], body["context"]) == ("pending", "normal", {}, {})
    assert (body["scheduled_at"], body["content"]) == (None, {"body": "Hello"})


def test_put_needs_recipient_and_content(sender: Persona, record_id: UUID) -> None:
    answer = ask(sender, record_id, "PUT", body={"context": {}})
    assert (answer.status_code, set(answer.json()["errors"])) == (400, {"recipient", "content"})


def test_a_schedule_can_be_made_and_taken_back(sender: Persona, record_id: UUID) -> None:
    when = timezone.now() + timedelta(days=3)
    body = ask(sender, record_id, "PATCH", body={"scheduled_at": when.isoformat()}).json()
    record = load(sender.tenant, record_id)
    assert (body["status"], record.due_at, record.expires_at) == ("scheduled", when, when + timedelta(hours=24))
    body = ask(sender, record_id, "PATCH", body={"scheduled_at": None}).json()
    assert body["status"] == "pending"
    assert load(sender.tenant, record_id).due_at <= timezone.now()


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"recipient": "bob"}, "invalid", "recipient"),
        ({"recipient": None}, "invalid", "recipient"),
        ({"content": {"subject": "{{ surname }}"}}, "content_error", "context.surname"),
        ({"context": {}}, "content_error", "context.name"),
        ({"content": {}}, "content_error", "subject"),
        ({"lane": "express"}, "invalid", "lane"),
        ({"scheduled_at": "2999-01-01T00:00:00Z"}, "invalid", "scheduled_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "invalid", "expires_at"),
        ([], "invalid", "non_field_errors"),
    ],
)
def test_a_change_is_checked_like_a_new_record(
    sender: Persona, record_id: UUID, changes: Any, code: str, field: str
) -> None:
    before = ask(sender, record_id, "GET").json()
    answer = ask(sender, record_id, "PATCH", body=changes)
    assert (answer.status_code, answer.json()["code"]) == (400, code), answer.json()
    assert field in answer.json()["errors"]
    assert ask(sender, record_id, "GET").json() == before


def test_the_channel_stays(sender: Persona, record_id: UUID) -> None:
    assert ask(sender, record_id, "PATCH", body={"channel": "pigeon"}).json()["channel"] == "email"


def put_into(sender: Persona, record_id: UUID, status: Status) -> None:
    sending = {"lease_token": new_id(), "lease_until": timezone.now() + timedelta(seconds=30)}
    change(sender.tenant, record_id, status=status, **(sending if status == Status.SENDING else {}))


@pytest.mark.parametrize("status", list(Status))
def test_what_may_be_done_in_which_status(sender: Persona, record_id: UUID, status: Status) -> None:
    """A refusal is 409 with a code that says why, and changes nothing."""
    allowed = {
        "PATCH": status in EDITABLE,
        "cancel/": status in WAITING,
        "resend/": status in FINAL,
    }
    for what, may in allowed.items():
        put_into(sender, record_id, status)
        if what == "PATCH":
            answer = ask(sender, record_id, what, body={"recipient": "bob@example.com"})
        else:
            answer = ask(sender, record_id, "POST", what)
        if may:
            assert answer.status_code in (200, 201), answer.json()
        else:
            assert (answer.status_code, answer.json()["code"]) == (409, "wrong_status")
            assert answer.json()["errors"] == {"status": [f"Is {status}."]}
            assert load(sender.tenant, record_id).status == status
    put_into(sender, record_id, status)
    assert ask(sender, record_id, "DELETE").status_code == 204
    assert load(sender.tenant, record_id).status == (Status.CANCELLED if status in WAITING else status)


def test_a_cancelled_record_stays_cancelled(sender: Persona, record_id: UUID) -> None:
    body = ask(sender, record_id, "POST", "cancel/").json()
    assert (body["status"], body["next_attempt_at"]) == ("cancelled", None)
    assert ask(sender, record_id, "POST", "cancel/").status_code == 409
    assert events(sender, record_id) == ["accepted", "cancelled"]
    assert audited(sender) == ["record.cancelled"]


def test_a_resent_record_is_a_new_one_that_names_the_old(sender: Persona) -> None:
    made = sender.client.post(RECORDS, example(lane="bulk", metadata={"a": 1})).json()
    change(sender.tenant, made["id"], status=Status.FAILED, failure_reason="expired", retry_count=3)
    change(sender.tenant, made["id"], updated_at=timezone.now())
    answer = ask(sender, made["id"], "POST", "resend/")
    new = answer.json()
    assert answer.status_code == 201
    assert new["id"] != made["id"]
    assert (new["resend_of"], new["status"], new["retry_count"]) == (made["id"], "pending", 0)
    for field in ("channel", "recipient", "content", "context", "metadata", "lane"):
        assert new[field] == made[field]
    assert ask(sender, made["id"], "GET").json()["status"] == "failed"
    assert events(sender, made["id"]) == ["accepted", "ended", "resent"]
    assert audited(sender) == ["record.resent"]
    with tenant_scope(sender.tenant_id):
        assert NotificationRecord.objects.count() == 2


def test_the_story_of_a_record_that_was_changed_and_called_off(sender: Persona) -> None:
    when = (timezone.now() + timedelta(days=1)).isoformat()
    made = sender.client.post(RECORDS, example(scheduled_at=when)).json()
    ask(sender, made["id"], "PATCH", body={"context": {"name": "Grace"}})
    ask(sender, made["id"], "POST", "cancel/")
    story = ask(sender, made["id"], "GET", "timeline/").json()
    assert (story["id"], story["status"]) == (made["id"], "cancelled")
    assert [(step["event"], step["status"]) for step in story["timeline"]] == [
        ("accepted", "pending"),
        ("scheduled", "scheduled"),
        ("edited", "scheduled"),
        ("cancelled", "cancelled"),
    ]
    assert [step["at"] for step in story["timeline"]] == sorted(step["at"] for step in story["timeline"])
