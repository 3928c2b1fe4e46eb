"""Events by REST: accepted once, processed in turns, and what came of them can be asked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django import Settings

from notification_service.lib.redis import attempt
from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.events.dead_letters import Letter, bury
from notifications.events.erasure import export_person
from notifications.events.models import DeadLetter, Event
from notifications.events.processing import process_turn, tenants_with_pending
from notifications.events.tasks import housekeep, process
from notifications.recipients.erasure import erase_user
from notifications.recipients.hooks import KnownAs
from tenants.callers import system_caller
from tests.conftest import Persona
from tests.events.conftest import ASSIGNED, EVENTS, events, records, send


def test_a_known_event_becomes_messages_to_its_person(sender: Persona) -> None:
    found = send(sender)
    assert (found["status"], found["type"], found["user_id"]) == ("processed", "task.assigned", "crm-17")
    (reaction,) = found["reactions"]
    assert (reaction["by"], reaction["matched"]) == ("catalogue", True)
    assert [skip["channel"] for skip in reaction["skipped"]] == ["push"]  # no device is known
    assert {each["channel"]: each["recipient"] for each in found["notifications"]} == {
        "email": "ada@example.com",
        "inapp": "crm-17",
    }
    mail = next(record for record in records(sender) if record.channel == "email")
    assert (str(mail.event_id), mail.user_id, mail.metadata) == (found["id"], "crm-17", {"event_type": "task.assigned"})
    assert mail.context == {"name": "Ada", "title": "Prepare the offer", "assigned_by": "Somebody"}


def test_the_same_event_twice_is_one(sender: Persona) -> None:
    first = sender.client.post(EVENTS, {**ASSIGNED, "clientEventId": "task-9"})
    again = sender.client.post(EVENTS, {**ASSIGNED, "client_event_id": "task-9", "payload": {"title": "Other"}})
    assert (first.status_code, again.status_code) == (201, 200)
    assert (first.json()["duplicate"], again.json()["duplicate"]) == (False, True)
    assert again.json()["id"] == first.json()["id"]
    assert sender.client.get(f"{EVENTS}/{first.json()['id']}").json()["payload"]["title"] == "Prepare the offer"
    process_turn(sender.tenant_id)
    process_turn(sender.tenant_id)
    assert len(records(sender)) == 2


def test_two_tenants_may_use_the_same_id(sender: Persona, stranger: Persona) -> None:
    body = {**ASSIGNED, "clientEventId": "task-9"}
    assert [who.client.post(EVENTS, body).status_code for who in (sender, stranger)] == [201, 201]


def test_both_ways_of_writing_names_are_understood(sender: Persona) -> None:
    snake = {"event_type": "customer.created", "client_event_id": "c-1", "user_id": "u-9", "payload": {"customer": "X"}}
    found = send(sender, snake, timestamp="2026-12-03T10:30:00Z", source="crm")
    assert (found["type"], found["clientEventId"], found["user_id"]) == ("customer.created", "c-1", "u-9")
    assert (found["source"], found["timestamp"][:16]) == ("crm", "2026-12-03T10:30")
    assert [record.recipient for record in records(sender)] == ["u-9"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": ""}, "type"),
        ({"type": "x" * 101}, "type"),
        ({"payload": ["a"]}, "payload"),
        ({"payload": {"user_id": "1"}}, "payload.title"),
        ({"payload": {"title": 7}}, "payload.title"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"clientEventId": "x" * 256}, "clientEventId"),
        ({"causedBy": "nobody"}, "causedBy"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_events_are_refused_by_field(sender: Persona, change: dict[str, Any], field: str) -> None:
    answer = sender.client.post(EVENTS, {**ASSIGNED, **change})
    assert answer.status_code == 400
    assert field in answer.json()["errors"]
    assert events(sender) == []


def test_an_event_that_nobody_wants_is_kept_and_ignored(sender: Persona) -> None:
    found = send(sender, {"type": "weather.changed", "payload": {"email": "ada@example.com"}})
    assert (found["status"], found["reactions"], found["notifications"]) == ("ignored", [], [])
    assert "No rule" in found["detail"]


def test_an_event_that_reaches_nobody_says_why(sender: Persona) -> None:
    found = send(sender, payload={"title": "Lonely"})
    assert found["status"] == "failed"
    assert "No address on the channel 'inapp' is known." in found["detail"]
    assert {skip["code"] for skip in found["reactions"][0]["skipped"]} == {"no_address"}


def test_a_channel_without_credential_is_left_out(sender: Persona) -> None:
    body = {"type": "reward_issued", "payload": {"value": 100, "employee_details": {"phone": "+353861234567"}}}
    found = send(sender, body)
    (sms, mail, inapp) = found["reactions"][0]["skipped"]
    assert (sms["channel"], sms["code"]) == ("sms", "no_credential")
    assert (mail["code"], inapp["code"]) == ("no_address", "no_address")


def test_batches_answer_for_each_event(sender: Persona) -> None:
    items = [
        {**ASSIGNED, "clientEventId": "a"},
        {"type": "task.assigned", "payload": {}},
        {**ASSIGNED, "clientEventId": "a"},
        {"payload": {}},
        "no event",
        {**ASSIGNED, "clientEventId": "b"},
    ]
    answer = sender.client.post(f"{EVENTS}/batch", {"events": items})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["accepted"], body["duplicates"], body["refused"]) == (2, 1, 3)
    assert [each["status"] for each in body["results"]] == [
        "accepted",
        "refused",
        "duplicate",
        "refused",
        "refused",
        "accepted",
    ]
    assert body["results"][1]["errors"] == {"payload.title": ["This field is required."]}
    assert body["results"][2]["event"]["id"] == body["results"][0]["event"]["id"]
    assert len(events(sender)) == 2


def test_nothing_that_stands_in_a_batch_keeps_the_others_out(sender: Persona) -> None:
    items = [None, 5, [], {**ASSIGNED, "payload": {"a": "x" * 300_000, "title": "t"}}, ASSIGNED]
    body = sender.client.post(f"{EVENTS}/batch", {"events": items}).json()
    assert [each["status"] for each in body["results"]] == ["refused"] * 4 + ["accepted"]
    assert "payload" in body["results"][3]["errors"]


def test_an_event_is_bounded_at_every_door(sender: Persona) -> None:
    large = {"type": "report.made", "payload": {"text": "x" * 200_000}}
    assert sender.client.post(EVENTS, large).status_code == 201
    answer = sender.client.post(EVENTS, {**large, "metadata": {"more": "x" * 100_000}})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["metadata"])
    trigger = {"channel": "email", "recipient": "a@example.com", "content": {"subject": "Hi"}}
    for wrong in ({"metadata": {"a": "x" * 300_000}}, {"context": {"a": "x" * 300_000}}):
        answer = sender.client.post("/api/notifications/webhook/", {**trigger, **wrong})
        assert (answer.status_code, list(answer.json()["errors"])) == (400, list(wrong))


def test_batches_are_bounded(sender: Persona) -> None:
    assert sender.client.post(f"{EVENTS}/batch", {"events": []}).status_code == 400
    assert sender.client.post(f"{EVENTS}/batch", [ASSIGNED] * 1001).status_code == 400
    assert sender.client.post(f"{EVENTS}/batch", [ASSIGNED] * 1000).json()["accepted"] == 1000


def test_a_list_is_filtered_and_a_strangers_is_empty(sender: Persona, stranger: Persona) -> None:
    send(sender)
    send(sender, {"type": "weather.changed", "payload": {}})
    assert sender.client.get(EVENTS).json()["count"] == 2
    assert [each["type"] for each in sender.client.get(f"{EVENTS}?status=ignored").json()["results"]] == [
        "weather.changed"
    ]
    assert stranger.client.get(EVENTS).json()["count"] == 0
    assert stranger.client.get(f"{EVENTS}/{events(sender)[0].id}").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_many_events_are_processed_in_turns(sender: Persona) -> None:
    items = [{**ASSIGNED, "clientEventId": f"n{number}"} for number in range(25)]
    assert sender.client.post(f"{EVENTS}/batch", items).json()["accepted"] == 25
    assert tenants_with_pending() == [sender.tenant_id]
    assert [process_turn(sender.tenant_id, 10) for _ in range(4)] == [10, 10, 5, 0]
    assert tenants_with_pending() == []
    assert len(records(sender)) == 50


@pytest.mark.django_db(transaction=True)
def test_the_task_works_off_everything(sender: Persona) -> None:
    sender.client.post(f"{EVENTS}/batch", [{**ASSIGNED, "clientEventId": f"n{n}"} for n in range(3)])
    process(str(sender.tenant_id))
    assert {event.status for event in events(sender)} == {"processed"}


def test_test_traffic_stays_test_traffic(sender: Persona, api_key_client: Any) -> None:
    client = api_key_client(sender.tenant, mode="test")
    assert client.post(EVENTS, ASSIGNED).json()["mode"] == "test"
    process_turn(sender.tenant_id)
    assert {record.mode for record in records(sender)} == {"test"}


def test_events_that_cause_each_other_come_to_an_end(sender: Persona, settings: Settings) -> None:
    settings.EVENT_MAX_DEPTH = 2
    found = send(sender)
    for depth in (1, 2, 3):
        notification = found["notifications"][0]["id"]
        found = send(sender, causedBy=notification)
        with tenant_scope(sender.tenant_id):
            assert Event.objects.get(id=found["id"]).depth == depth
    assert (found["status"], found["reactions"][0]["by"]) == ("ignored", "loop_guard")
    assert send(sender, causedBy=str(uuid4()))["status"] == "processed"


def test_what_is_old_is_forgotten(sender: Persona, settings: Settings) -> None:
    send(sender)
    with platform_scope("test"):
        Event.objects.update(received_at=timezone.now() - timedelta(days=91))
    settings.EVENT_RETENTION_DAYS = 0
    housekeep()
    assert len(events(sender)) == 1
    settings.EVENT_RETENTION_DAYS = 90
    housekeep()
    assert events(sender) == []


def test_a_used_up_month_fails_the_event(sender: Persona) -> None:
    sender.client.post(EVENTS, ASSIGNED)
    month = timezone.now().strftime("%Y-%m")
    used = f"tenant:{sender.tenant_id}:notifications:live:{month}"
    attempt(lambda client: client.set(used, "100000000"))
    process_turn(sender.tenant_id)
    (event,) = events(sender)
    assert (event.status, records(sender)) == ("failed", [])
    assert "quota" in event.detail
    assert sender.client.post(EVENTS, ASSIGNED).json()["code"] == "quota_exceeded"


def test_a_person_who_is_erased_is_in_no_event(sender: Persona) -> None:
    body = {"externalUserId": "crm-17", "email": "ada@example.com", "status": "active"}
    person = sender.client.post("/api/v1/users", body).json()
    send(sender)
    send(sender, payload={"title": "By her address", "recipient": {"email": "ada@example.com"}})
    send(sender, payload={"title": "Somebody else's", "email": "ben@example.com"})
    message = b'{"event_type": "task.assigned", "user_id": "crm-17"}'
    with tenant_scope(sender.tenant_id):
        bury([Letter("hr-events", 0, 0, "", message, "invalid", "No tenant.", sender.tenant_id)])
        held = export_person(KnownAs(("crm-17",), ("ada@example.com",)))["events"]
        assert [each["payload"]["title"] for each in held] == ["By her address", "Prepare the offer"]
        erase_user(system_caller(sender.tenant_id, "test"), person["id"])
        assert DeadLetter.objects.count() == 0
    assert [(event.payload.get("title"), event.user_id) for event in events(sender)] == [
        (None, ""),
        (None, ""),
        ("Somebody else's", ""),
    ]
