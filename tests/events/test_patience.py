"""Events about people of whom a tenant's own service knows more, and does not answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from notification_service.lib.redis import attempt
from notification_service.lib.scope import tenant_scope
from notifications.events.intake import accept_events
from notifications.events.models import Event
from notifications.events.patience import asked_next
from notifications.events.processing import process_turn
from notifications.events.shapes import NewEvent
from notifications.events.tasks import sweep
from tests.conftest import Persona
from tests.events.conftest import EVENTS, events, records, send
from tests.events.test_rules import pass_time, rule, waiting
from tests.recipients.their_service import ADA, Theirs

Store = Callable[..., dict[str, Any]]

SENT = {"type": "parcel.sent", "payload": {"user_id": "crm-1", "number": 7}}
RULE: dict[str, Any] = {
    "name": "Parcel {{number}}",
    "description": "",
    "condition": "number > 0",
    "eventTypes": ["parcel.sent"],
    "channels": ["email", "inapp"],
}

pytestmark = pytest.mark.django_db(transaction=True)


def time_passes(who: Persona, **span: float) -> None:
    """Let all that is known of events have happened so much earlier, the service be asked again, and work on it."""
    earlier = {name: F(name) - timedelta(**span) for name in ("received_at", "processed_at")}
    with tenant_scope(who.tenant_id):
        Event.objects.update(**earlier)
    attempt(lambda client: client.delete(f"tenant:{who.tenant_id}:user_service:open"))
    sweep()
    process_turn(who.tenant_id)


def the_event(who: Persona) -> dict[str, Any]:
    (event,) = events(who)
    found: dict[str, Any] = who.client.get(f"{EVENTS}/{event.id}").json()
    return found


@pytest.fixture
def told(sender: Persona, store: Store) -> Persona:
    """A tenant with a service that does not answer yet, and a rule."""
    store()
    rule(sender, **RULE)
    return sender


def test_an_event_waits_until_the_service_says_who_that_is(told: Persona, theirs: Theirs) -> None:
    event = send(told, SENT)
    assert event["status"] == "waiting"
    assert event["detail"] == "Your user service did not say who 'crm-1' is. It is asked again."
    assert [reaction["by"] for reaction in event["reactions"]] == ["user_service"]
    assert records(told) == [], "not the half of it"
    asked = len(theirs.asked)
    time_passes(told, seconds=1)
    assert len(theirs.asked) == asked, "it is left alone for a while"
    time_passes(told, seconds=30)
    assert len(theirs.asked) > asked
    assert the_event(told)["status"] == "waiting"
    theirs.knows("/users/crm-1", ADA)
    time_passes(told, minutes=6)
    assert (the_event(told)["status"], the_event(told)["detail"]) == ("processed", "")
    assert sorted(record.recipient for record in records(told)) == ["ada@example.com", "crm-1"]
    time_passes(told, minutes=6)
    assert len(records(told)) == 2, "once"


def test_what_comes_by_kafka_waits_too(told: Persona, theirs: Theirs) -> None:
    news = [NewEvent("parcel.sent", {"user_id": "crm-1", "number": number}) for number in (1, 2)]
    news.append(NewEvent("parcel.sent", {"user_id": "ben", "email": "ben@example.com", "number": 3}))
    with tenant_scope(told.tenant_id):
        accept_events(news, process=True)
    assert [event.status for event in events(told)] == ["waiting", "waiting", "processed"]
    assert {record.user_id for record in records(told)} == {"ben"}
    theirs.knows("/users/crm-1", ADA)
    time_passes(told, minutes=1)
    assert [event.status for event in events(told)] == ["processed"] * 3
    assert len(records(told)) == 6


def test_in_the_end_what_is_known_has_to_do(told: Persona) -> None:
    send(told, SENT)
    time_passes(told, hours=23)
    assert the_event(told)["status"] == "waiting"
    time_passes(told, hours=2)
    event = the_event(told)
    assert event["status"] == "processed"
    (reaction,) = event["reactions"]
    assert [record["channel"] for record in reaction["records"]] == ["inapp"]
    assert [(skip["channel"], skip["code"]) for skip in reaction["skipped"]] == [("email", "user_service")]


def test_what_lacks_nothing_does_not_wait(sender: Persona, store: Store) -> None:
    store()
    rule(sender, **{**RULE, "channels": ["inapp"]})
    assert send(sender, SENT)["status"] == "processed"
    assert send(sender, {"type": "nobody.listens", "payload": {"user_id": "crm-1"}})["status"] == "ignored"


def test_words_about_the_person_are_waited_for(sender: Persona, store: Store, theirs: Theirs) -> None:
    store()
    words = {"inapp": {"title": "Hi {{user.name}}", "body": "A parcel."}}
    rule(sender, **{**RULE, "channels": ["inapp"], "templates": words})
    assert send(sender, SENT)["status"] == "waiting"
    theirs.knows("/users/crm-1", ADA)
    time_passes(sender, minutes=1)
    (record,) = records(sender)
    assert record.context["user"]["name"] == "Ada"


def test_secrets_are_kept_while_an_event_waits(sender: Persona, store: Store, theirs: Theirs) -> None:
    store()
    payload = {"user_id": "crm-1", "code": "839201", "expires_in_minutes": 5}
    event = send(sender, {"type": "auth.2fa.code.requested", "payload": payload})
    assert event["status"] == "waiting", event
    sweep()
    theirs.knows("/users/crm-1", ADA)
    time_passes(sender, minutes=1)
    assert "ada@example.com" in {record.recipient for record in records(sender)}
    with tenant_scope(sender.tenant_id):
        assert Event.objects.get().secrets_encrypted is not None


@pytest.mark.parametrize("later", [{"delay_seconds": 60}, {"digest": {"seconds": 60, "key": "{{user_id}}"}}])
def test_a_step_waits(sender: Persona, store: Store, theirs: Theirs, later: dict[str, Any]) -> None:
    store()
    rule(sender, **RULE, **later)
    send(sender, SENT)
    assert pass_time(sender, minutes=2) == 1
    (step,) = waiting(sender)
    assert timedelta(seconds=20) < step.due_at - timezone.now() <= timedelta(seconds=31)
    assert records(sender) == []
    theirs.knows("/users/crm-1", ADA)
    attempt(lambda client: client.delete(f"tenant:{sender.tenant_id}:user_service:open"))
    assert pass_time(sender, minutes=2) == 1
    assert waiting(sender) == []
    assert sorted(record.recipient for record in records(sender)) == ["ada@example.com", "crm-1"]


def test_it_is_asked_more_and_more_rarely() -> None:
    since = now = timezone.now()
    asked = [round(((now := asked_next(since, now)) - since).total_seconds()) for _ in range(8)]
    assert asked == [30, 60, 120, 240, 480, 780, 1080, 1380]
