"""Messages to people: by id, external id and role; what they have chosen counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from notification_service.lib.scope import tenant_scope
from notifications.credentials.models import Credential
from notifications.records.models import IdempotencyKey, NotificationRecord
from tenants.models import Tenant
from tests.conftest import Persona
from tests.records.test_door import Doors

SEND = "/api/v1/services/notifications/send"
RECORDS = "/api/notifications/records/"
USERS = "/api/v1/users"
MAIL = {"subject": "Hi {{user.name}}", "body": "From {{user.metadata.city}}"}
INAPP = {"title": "Hi"}

ADA = {
    "external_user_id": "crm-1",
    "name": "Ada",
    "email": "ada@example.com",
    "phone": "+353861234567",
    "locale": "en-IE",
    "roles": ["staff"],
    "metadata": {"city": "Cork"},
    "push_tokens": {"fcm": "token-of-ada"},
}
BOB = {
    "external_user_id": "crm-2",
    "name": "Bob",
    "email": "bob@example.com",
    "roles": ["staff", "lead"],
    "metadata": {"city": "Lagos"},
}


@pytest.fixture(autouse=True)
def _credentials(tenant: Tenant) -> None:
    with tenant_scope(tenant.id):
        for channel, provider in (("email", "smtp"), ("sms", "twilio"), ("push", "fcm")):
            Credential.objects.create(
                tenant=tenant, channel=channel, provider=provider, name=channel, payload_encrypted=b""
            )


@pytest.fixture
def people(admin: Persona) -> list[dict[str, Any]]:
    made = []
    for body in (ADA, BOB):
        answer = admin.client.post(USERS, body)
        assert answer.status_code == 201, answer.json()
        made.append(answer.json())
    return made


def send(persona: Persona, channels: list[str], *recipients: dict[str, Any], **more: Any) -> dict[str, Any]:
    contents = {"email": MAIL, "sms": {"body": "Hi"}, "push": {"title": "Hi"}, "inapp": INAPP}
    content = {channel: contents[channel] for channel in channels}
    body = {"channels": channels, "recipients": recipients, "content": content, **more}
    answer = persona.client.post(SEND, body)
    assert answer.status_code == 201, answer.json()
    found: dict[str, Any] = answer.json()
    return found


def reached(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["channel"], each["recipient"]) for each in body["notifications"]]


def missed(body: dict[str, Any]) -> list[tuple[int, str, str, str]]:
    return [(each["index"], each["channel"], each["user_id"], each["reason"]) for each in body["skipped"]]


def rows(persona: Persona) -> list[NotificationRecord]:
    with tenant_scope(persona.tenant_id):
        return list(NotificationRecord.objects.order_by("id"))


@pytest.mark.parametrize("by", ["user_id", "external_user_id", "our id"])
def test_one_person_on_all_channels(admin: Persona, people: list[dict[str, Any]], by: str) -> None:
    name = {"user_id": people[0]["id"]} if by == "our id" else {by: "crm-1"}
    body = send(admin, ["email", "sms", "push", "inapp"], name)
    assert reached(body) == [
        ("email", "ada@example.com"),
        ("sms", "+353861234567"),
        ("push", "token-of-ada"),
        ("inapp", "crm-1"),
    ]
    assert (body["skipped"], body["errors"]) == ([], [])
    for row in rows(admin):
        assert (row.user_id, row.locale, row.context["user"]["name"]) == ("crm-1", "en-IE", "Ada")


def test_an_external_id_is_not_our_id(admin: Persona, people: list[dict[str, Any]]) -> None:
    body = send(admin, ["email"], {"external_user_id": people[0]["id"]}, {"user_id": "crm-2"})
    assert reached(body) == [("email", "bob@example.com")]
    assert missed(body) == [(0, "email", people[0]["id"], "unknown_user")]


def test_a_role_is_everybody_who_has_it(admin: Persona, people: list[dict[str, Any]]) -> None:
    body = send(admin, ["email", "sms"], {"role": "staff", "context": {"x": 1}}, {"role": "board"})
    assert reached(body) == [
        ("email", "ada@example.com"),
        ("email", "bob@example.com"),
        ("sms", "+353861234567"),
    ]
    assert missed(body) == [
        (0, "sms", "crm-2", "no_address"),
        (1, "email", "", "nobody"),
        (1, "sms", "", "nobody"),
    ]
    assert [row.context["x"] for row in rows(admin)] == [1, 1, 1]


def test_nobody_gets_it_twice_because_of_a_role(admin: Persona, people: list[dict[str, Any]]) -> None:
    body = send(admin, ["email"], {"role": "staff"}, {"role": "lead"}, {"user_id": "crm-1"})
    assert sorted(reached(body)) == [("email", "ada@example.com"), ("email", "bob@example.com")]


def test_an_address_of_the_call_comes_first(admin: Persona, people: list[dict[str, Any]]) -> None:
    body = send(admin, ["email"], {"user_id": "crm-1", "email": "work@example.com", "locale": "de"})
    assert reached(body) == [("email", "work@example.com")]
    assert [(row.user_id, row.locale) for row in rows(admin)] == [("crm-1", "de")]


def test_the_callers_words_about_a_person_come_first(admin: Persona, people: list[dict[str, Any]]) -> None:
    said = {"name": "Countess", "metadata": {"city": "London"}}
    send(admin, ["email"], {"user_id": "crm-1", "context": {"user": said}})
    assert rows(admin)[0].context["user"] == said


@pytest.mark.parametrize("status", ["pending", "disabled"])
def test_who_may_not_be_written_to_is_skipped(admin: Persona, people: list[dict[str, Any]], status: str) -> None:
    admin.client.patch(f"{USERS}/{people[0]['id']}", {"status": status})
    named = [{"user_id": "crm-1"}, {"user_id": people[0]["id"], "email": "x@example.com"}, {"role": "staff"}]
    body = send(admin, ["email", "push"], *named)
    assert reached(body) == [("email", "bob@example.com")]
    assert [each[3] for each in missed(body)] == ["not_active"] * 4 + ["no_device"]
    by_device = {"channel": "push", "content": {"title": "Hi"}, "to": ["crm-1", "a-token"]}
    body = admin.client.post(SEND, by_device).json()
    assert (reached(body), missed(body)) == ([("push", "a-token")], [(0, "push", "crm-1", "not_active")])
    assert rows(admin)[-1].user_id == ""


def test_unknown_people_have_an_inbox_and_perhaps_devices(admin: Persona) -> None:
    device = {"user_id": "crm-9", "device_id": "phone", "platform": "ios", "token": "token-of-nine"}
    assert admin.client.post("/api/notifications/devices/", device).status_code == 201
    body = send(admin, ["email", "push", "inapp"], {"user_id": "crm-9"})
    assert reached(body) == [("push", "token-of-nine"), ("inapp", "crm-9")]
    assert missed(body) == [(0, "email", "crm-9", "unknown_user")]
    assert [row.user_id for row in rows(admin)] == ["crm-9", "crm-9"]


@pytest.mark.parametrize(
    ("recipient", "field"),
    [
        ({"role": 7}, "recipients.0.role"),
        ({"user_id": {"a": 1}}, "recipients.0.user_id"),
        ({"user_id": "x\x00"}, "recipients.0.user_id"),
        ({"user_id": "x\x07"}, "recipients.0.user_id"),
        ({"external_user_id": "x" * 256}, "recipients.0.external_user_id"),
        ({"user_id": "nobody"}, "recipients.0"),
    ],
)
def test_what_is_refused_names_its_place(admin: Persona, recipient: dict[str, Any], field: str) -> None:
    answer = admin.client.post(SEND, {"channel": "email", "to": recipient, "content": {"body": "Hi"}})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert rows(admin) == []


def test_another_tenants_people_are_unknown(admin: Persona, stranger: Persona, people: list[dict[str, Any]]) -> None:
    body = {"channels": ["inapp"], "content": INAPP, "recipients": [{"user_id": people[0]["id"]}, {"role": "staff"}]}
    answer = stranger.client.post(SEND, body).json()
    assert reached(answer) == [("inapp", people[0]["id"])]
    assert missed(answer) == [(1, "inapp", "", "nobody")]
    assert rows(stranger)[0].context == {}


# --- One record ---------------------------------------------------------------------------------------------------


def record(persona: Persona, expected: int = 201, /, **body: Any) -> dict[str, Any]:
    answer = persona.client.post(RECORDS, {"channel": "email", "content": {"body": "Hi {{user.name}}"}, **body})
    assert answer.status_code == expected, answer.json()
    found: dict[str, Any] = answer.json()
    return found


def test_a_record_of_a_person(admin: Persona, people: list[dict[str, Any]]) -> None:
    body = record(admin, user_id=people[0]["id"])
    assert (body["recipient"], body["user_id"], body["locale"]) == ("ada@example.com", "crm-1", "en-IE")
    elsewhere = record(admin, user_id="crm-1", recipient="work@example.com")
    assert (elsewhere["recipient"], elsewhere["user_id"]) == ("work@example.com", "crm-1")
    anybody = record(admin, user_id="crm-9", recipient="nine@example.com", content={"body": "Hi"})
    assert (anybody["recipient"], anybody["user_id"], anybody["context"]) == ("nine@example.com", "crm-9", {})


def test_push_takes_the_newest_device(admin: Persona, people: list[dict[str, Any]]) -> None:
    admin.client.patch(f"{USERS}/{people[0]['id']}", {"push_tokens": {"apns": "newer-token"}})
    assert record(admin, channel="push", content={"title": "Hi"}, user_id="crm-1")["recipient"] == "newer-token"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "recipient"),
        ({"user_id": ""}, "recipient"),
        ({"user_id": "nobody"}, "user_id"),
        ({"user_id": "crm-2", "channel": "sms"}, "user_id"),
        ({"user_id": "x" * 256, "recipient": "a@b.example"}, "user_id"),
    ],
)
def test_a_record_without_an_address_is_refused(
    admin: Persona, people: list[dict[str, Any]], body: dict[str, Any], field: str
) -> None:
    assert list(record(admin, 400, **body)["errors"]) == [field]


def test_disabled_people_get_no_record(admin: Persona, people: list[dict[str, Any]]) -> None:
    admin.client.patch(f"{USERS}/{people[0]['id']}", {"status": "disabled"})
    assert list(record(admin, 400, user_id="crm-1")["errors"]) == ["user_id"]


@pytest.mark.django_db(transaction=True)
def test_the_fast_door_leaves_people_to_the_long_way(
    admin: Persona, people: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    doors = Doors(admin, monkeypatch)
    plain = {"channel": "email", "recipient": "ada@example.com", "content": {"body": "Hi"}}
    named = {**plain, "user_id": "crm-1"}
    assert record(admin, **plain)["user_id"] == ""
    answers = doors.post(plain, named)
    assert doors.answered_fast == [True, False]
    assert [(status, body["user_id"]) for status, _, body in answers] == [(201, ""), (201, "crm-1")]


# --- What they have chosen ------------------------------------------------------------------------------------------


@pytest.fixture
def choose(admin: Persona, people: list[dict[str, Any]]) -> Callable[..., None]:
    def choose(**body: Any) -> None:
        answer = admin.client.put(f"{USERS}/{people[0]['id']}/preferences", body)
        assert answer.status_code == 200, answer.json()

    return choose


def quiet_now() -> dict[str, str]:
    """Quiet hours that began an hour ago and last for two more."""
    now = timezone.now().replace(second=0, microsecond=0)
    return {
        "start": f"{now - timedelta(hours=1):%H:%M}",
        "end": f"{now + timedelta(hours=2):%H:%M}",
        "time_zone": "UTC",
    }


def test_what_is_switched_off_is_written_and_not_sent(admin: Persona, choose: Callable[..., None]) -> None:
    choose(categories={"marketing": {"email": False}})
    body = send(
        admin,
        ["email", "sms"],
        {"user_id": "crm-1"},
        {"user_id": "crm-2", "phone": "+353861234568"},
        metadata={"category": "marketing"},
    )
    assert [each["status"] for each in body["notifications"]] == ["suppressed", "pending", "pending", "pending"]
    row = rows(admin)[0]
    assert (row.failure_reason, row.provider_response) == ("suppressed", "preference:marketing:email")
    one = record(admin, user_id="crm-1", metadata={"category": "marketing"})
    assert (one["status"], one["failure_reason"], one["provider_response"]) == (
        "suppressed",
        "suppressed",
        "preference:marketing:email",
    )
    assert record(admin, user_id="crm-1", metadata={"category": "other"})["status"] == "pending"
    raw = record(admin, recipient="ada@example.com", content={"body": "Hi"}, metadata={"category": "marketing"})
    assert raw["status"] == "pending"


def test_a_suppressed_address_keeps_its_own_reason(admin: Persona, choose: Callable[..., None]) -> None:
    choose(categories={"*": {"*": False}})
    barred = {"channel": "email", "address": "ada@example.com", "reason": "complaint"}
    admin.client.post("/api/notifications/suppressions/", barred)
    assert record(admin, user_id="crm-1")["provider_response"] == "complaint"


def test_quiet_hours_put_it_off(admin: Persona, choose: Callable[..., None]) -> None:
    quiet = quiet_now()
    choose(quiet_hours=quiet)
    body = record(admin, user_id="crm-1")
    assert (body["status"], body["provider_response"]) == ("scheduled", "preference:quiet_hours")
    due = datetime.fromisoformat(body["next_attempt_at"])
    assert f"{due:%H:%M:%S}" == f"{quiet['end']}:00"
    usual = record(admin, user_id="crm-2")
    patience = datetime.fromisoformat(usual["expires_at"]) - datetime.fromisoformat(usual["next_attempt_at"])
    assert datetime.fromisoformat(body["expires_at"]) - due == patience, "the deadline moves along"
    for passing in ({"lane": "critical"}, {"user_id": "crm-2"}):
        assert record(admin, **{"user_id": "crm-1", **passing})["status"] == "pending"


def test_a_deadline_of_the_callers_stays(admin: Persona, choose: Callable[..., None]) -> None:
    choose(quiet_hours=quiet_now())
    deadline = (timezone.now() + timedelta(minutes=30)).isoformat()
    body = record(admin, user_id="crm-1", expires_at=deadline)
    assert datetime.fromisoformat(body["expires_at"]) == datetime.fromisoformat(deadline)


def test_what_is_scheduled_for_quiet_hours_waits_for_their_end(admin: Persona, choose: Callable[..., None]) -> None:
    choose(quiet_hours=quiet_now())
    moment = timezone.now() + timedelta(hours=1)
    body = record(admin, user_id="crm-1", scheduled_at=moment.isoformat())
    assert datetime.fromisoformat(body["next_attempt_at"]) > moment
    assert datetime.fromisoformat(body["scheduled_at"]) == moment
    later = timezone.now() + timedelta(hours=5)
    body = record(admin, user_id="crm-1", scheduled_at=later.isoformat())
    assert datetime.fromisoformat(body["next_attempt_at"]) == later


# --- Their rights ---------------------------------------------------------------------------------------------------


def test_erasure_empties_their_messages_and_stops_what_waits(admin: Persona, people: list[dict[str, Any]]) -> None:
    key = {"Idempotency-Key": "once"}
    body = {
        "channel": "email",
        "recipient": "ada@example.com",
        "content": {"body": "Dear Ada"},
        "context": {"a": "Ada"},
    }
    assert admin.client.post(RECORDS, body, headers=key).status_code == 201
    send(admin, ["email", "sms", "push", "inapp"], {"user_id": "crm-1"})
    others = record(admin, user_id="crm-2")
    with tenant_scope(admin.tenant_id):
        NotificationRecord.objects.filter(channel="sms").update(status="success", provider_response="to Ada: ok")
    assert admin.client.delete(f"{USERS}/{people[0]['id']}?erase=true").status_code == 204
    *theirs, kept = rows(admin)
    assert [row.status for row in theirs] == ["cancelled", "cancelled", "success", "cancelled", "cancelled"]
    for row in theirs:
        assert (row.recipient, row.user_id, row.content, row.context, row.metadata) == ("erased", "", {}, {}, {})
        assert (row.provider_response, row.locale) == ("", "")
    assert (str(kept.id), kept.recipient, kept.status) == (others["id"], "bob@example.com", "pending")
    with tenant_scope(admin.tenant_id):
        assert not IdempotencyKey.objects.exists()


def test_an_export_has_their_messages(admin: Persona, people: list[dict[str, Any]]) -> None:
    by_address = record(admin, recipient="ada@example.com", content={"body": "Hi"})
    by_name = record(admin, user_id="crm-1")
    record(admin, user_id="crm-2")
    found = admin.client.get(f"{USERS}/{people[0]['id']}/export").json()
    assert found["notifications"] == [by_name, by_address]
