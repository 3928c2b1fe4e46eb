"""The events that the service knows: each is complete, and each tenant may want it otherwise."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from notification_service.lib.scope import tenant_scope
from notifications.channels.registry import channels
from notifications.events.catalogue import check_payload, known_events
from notifications.events.messages import Context
from notifications.events.people import given_person
from notifications.recipients.digest_times import MARGIN
from notifications.records.digests import gather
from notifications.records.models import NotificationRecord
from notifications.records.states import Lane
from tests.conftest import Persona
from tests.events.conftest import ASSIGNED, happening, records, send

CATALOGUE = "/api/v1/events/catalogue"
#: What the service promises to know.
PROMISED = {
    "user.registration.completed",
    "user.password.reset.requested",
    "user.login.succeeded",
    "user.login.failed",
    "invoice.payment.failed",
    "task.assigned",
    "comment.mentioned",
    "content.liked",
    "auth.2fa.code.requested",
    "auth.2fa.attempt.failed",
    "auth.2fa.method.changed",
    "reward_issued",
    "interview.scheduled",
    "candidate.status.changed",
    "document.expiring",
    "review.approved",
    "customer.created",
    "camera.status.changed",
    "camera.moved",
    "camera.recording.changed",
}


def test_everything_promised_is_known() -> None:
    assert set(known_events()) == PROMISED


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_each_is_complete_and_its_example_can_be_sent(name: str) -> None:
    known = known_events()[name]
    check_payload(name, known.example)
    assert known.description.endswith(".")
    assert known.priority in Lane.values
    assert set(known.channels) <= set(known.templates) <= set(channels.keys())
    event = happening(name, dict(known.example))
    person = given_person(event)
    for key, content in known.templates.items():
        channels.get(key).prepare(content)[1].render(Context(event, person, known.defaults))


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_the_least_that_the_schema_asks_for_is_enough_for_the_words(name: str) -> None:
    known = known_events()[name]
    least = {field: known.example[field] for field in known.schema["required"]}
    check_payload(name, least)
    event = happening(name, least)
    person = given_person(event)
    for key, content in known.templates.items():
        channels.get(key).prepare(content)[1].render(Context(event, person, known.defaults))


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_the_quick_check_says_yes_to_nothing_that_the_schema_refuses(name: str) -> None:
    known = known_events()[name]
    assert known.fits(dict(known.example))
    strange: list[Any] = [None, True, 0, 1.5, "", "x" * 20_000, [], {}, {"phone": 1}, float("nan")]
    fields = [*known.schema["properties"], "unknown"]
    for payload in [*strange, *({**known.example, field: value} for field in fields for value in strange)]:
        assert known.validator.is_valid(payload) or not known.fits(payload), payload


def test_the_catalogue_is_served(admin: Persona, stranger: Persona) -> None:
    body = admin.client.get(CATALOGUE).json()
    assert {each["type"] for each in body["results"]} == PROMISED
    one = admin.client.get(f"{CATALOGUE}/auth.2fa.code.requested").json()
    assert (one["secret"], one["channels"], one["customised"]) == (["code"], ["sms", "email"], False)
    assert admin.client.get(f"{CATALOGUE}/no.such.event").status_code == 404


def test_a_tenant_wants_it_otherwise_and_nobody_else_does(sender: Persona, stranger: Persona) -> None:
    own = {"channels": ["email"], "priority": "critical", "templates": {"email": {"subject": "Do {{title}}"}}}
    answer = sender.client.put(f"{CATALOGUE}/task.assigned", own)
    assert (answer.status_code, answer.json()["customised"], answer.json()["channels"]) == (200, True, ["email"])
    send(sender)
    (record,) = records(sender)
    assert (record.channel, record.lane, record.content) == ("email", "critical", {"subject": "Do {{title}}"})
    assert stranger.client.get(f"{CATALOGUE}/task.assigned").json()["customised"] is False
    assert sender.client.patch(f"{CATALOGUE}/task.assigned", {"enabled": False}).json()["enabled"] is False
    assert send(sender, {**ASSIGNED, "clientEventId": "2"})["status"] == "ignored"
    assert sender.client.delete(f"{CATALOGUE}/task.assigned").status_code == 204
    assert send(sender, {**ASSIGNED, "clientEventId": "3"})["status"] == "processed"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"channels": ["pigeon"]}, "channels"),
        ({"channels": ["whatsapp"]}, "channels"),
        ({"priority": "soon"}, "priority"),
        ({"templates": {"email": {"subject": "{{"}}}, "templates.email.subject"),
        ({"templates": {"email": "words"}}, "templates.email"),
    ],
    ids=["unknown", "no words", "priority", "malformed", "no object"],
)
def test_bad_settings_are_refused_by_field(admin: Persona, body: dict[str, Any], field: str) -> None:
    answer = admin.client.put(f"{CATALOGUE}/task.assigned", body)
    assert answer.status_code == 400
    assert field in answer.json()["errors"]


def test_messages_about_events_wait_for_a_digest(sender: Persona) -> None:
    made = sender.client.post("/api/v1/users", {"external_user_id": "crm-17"}).json()
    chosen = sender.client.put(f"/api/v1/users/{made['id']}/preferences", {"digest": "hourly"})
    assert chosen.status_code == 200
    for _ in range(2):
        send(sender)
    assert {row.channel: row.provider_response for row in records(sender)} == {
        "email": "preference:digest:hourly",
        "inapp": "",
    }
    moment = timezone.now() + MARGIN - timedelta(seconds=10)
    with tenant_scope(sender.tenant_id):
        NotificationRecord.objects.filter(channel="email").update(due_at=moment)
    assert gather() == 1
    (digest,) = [row for row in records(sender) if row.created_by == "digest"]
    assert [each["subject"] for each in digest.context["messages"]] == ["New task: Prepare the offer"] * 2
