"""Rules: what they match, whom they tell, what waits because of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from notification_service.lib.ids import new_id
from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.events.models import Event, Rule, Step, Throttle
from notifications.events.processing import process_turn
from notifications.events.rules import schedule, steps
from notifications.events.rules.matching import rules_changed
from notifications.events.tasks import housekeep, process, sweep
from notifications.records.models import NotificationRecord
from tests.conftest import Persona
from tests.events.conftest import EVENTS, events, records, send

RULES = "/api/v1/rules"
TRANSACTION: dict[str, Any] = {
    "type": "pending_transaction",
    "payload": {"userId": "user_44", "amount": 5000, "currency": "NGN", "email": "ada@example.com"},
}
LARGE: dict[str, Any] = {
    "name": "Large transactions",
    "description": "{{amount}} {{currency}} wait for you.",
    "condition": 'amount > 1000 AND currency == "NGN"',
    "eventTypes": ["pending_transaction"],
    "channels": ["inapp"],
}


def rule(who: Persona, **changes: Any) -> dict[str, Any]:
    answer = who.client.post(RULES, {**LARGE, **changes})
    assert answer.status_code == 201, answer.content
    made: dict[str, Any] = answer.json()
    return made


def waiting(who: Persona) -> list[Step]:
    with tenant_scope(who.tenant_id):
        return list(Step.objects.filter(status="waiting").order_by("id"))


def pass_time(who: Persona, **span: float) -> int:
    """Let what waits be due, and take it."""
    with tenant_scope(who.tenant_id):
        for step in Step.objects.filter(status="waiting", due_at__lte=timezone.now() + timedelta(**span)):
            step.due_at = timezone.now() - timedelta(seconds=1)
            step.save()
    taken = 0
    while now := steps.take_steps(who.tenant_id):
        taken += now
    return taken


@pytest.fixture
def people(sender: Persona) -> Callable[..., None]:
    def make(*ids: str, role: str = "finance") -> None:
        for name in ids:
            body = {"externalUserId": name, "email": f"{name}@example.com", "roles": [role], "status": "active"}
            answer = sender.client.post("/api/v1/users", body)
            assert answer.status_code == 201, answer.content

    return make


def test_a_rule_that_matches_makes_messages_and_says_why(sender: Persona) -> None:
    made = rule(sender)
    assert (made["version"], made["active"], made["priority"], made["targetRoles"]) == (1, True, 0, [])
    found = send(sender, TRANSACTION)
    (reaction,) = found["reactions"]
    assert (reaction["by"], reaction["matched"], reaction["rule_id"]) == ("Large transactions", True, made["id"])
    (record,) = records(sender)
    assert (record.channel, record.recipient, record.lane) == ("inapp", "user_44", "normal")
    assert found["status"] == "processed"
    small = send(sender, {**TRANSACTION, "payload": {"amount": 5, "currency": "NGN"}})
    assert (small["status"], small["reactions"][0]["why"]) == ("ignored", "The condition does not hold.")
    missing = send(sender, {**TRANSACTION, "payload": {"currency": "NGN"}})
    assert "amount" in missing["reactions"][0]["why"]


@pytest.mark.parametrize("kept", [False, True], ids=["content", "template"])
def test_words_may_name_the_link_by_which_one_unsubscribes(sender: Persona, kept: bool) -> None:
    words: Any = {"subject": "{{amount}}", "html": '<a href="{{unsubscribe_url}}">No more</a>'}
    if kept:
        template = {"name": "Amounts", "channel": "email", "content": words}
        words = sender.client.post("/api/notifications/templates/", template).json()["slug"]
    made = rule(sender, channels=["email"], templates={"email": words})
    tried = sender.client.post(f"{RULES}/{made['id']}/test", {"event": TRANSACTION}).json()
    assert "/u/" in tried["would_send"][0]["content"]["html"]
    send(sender, TRANSACTION)
    (record,) = records(sender)
    assert (record.channel, record.recipient) == ("email", "ada@example.com")


def test_a_rule_stands_before_the_catalogue(sender: Persona) -> None:
    rule(sender, name="Mine", eventTypes=["task.assigned"], condition="", channels=["email"])
    found = send(sender)
    assert [each["by"] for each in found["reactions"]] == ["Mine"]
    (record,) = records(sender)
    assert record.content["subject"] == "New task: {{title}}"


def test_rules_are_asked_in_order_until_one_stops(sender: Persona) -> None:
    rule(sender, name="Second", priority=1)
    rule(sender, name="First", priority=9)
    rule(sender, name="Last", priority=-1)
    rule(sender, name="Off", priority=5, active=False)
    rule(sender, name="Over", priority=5, validUntil="2020-01-01T00:00:00Z")
    found = send(sender, TRANSACTION)
    assert [each["by"] for each in found["reactions"]] == ["First", "Second", "Last"]
    (second,) = [each for each in sender.client.get(RULES).json()["results"] if each["name"] == "Second"]
    sender.client.patch(f"{RULES}/{second['id']}", {"stopProcessing": True})
    found = send(sender, TRANSACTION, clientEventId="2")
    assert [each["by"] for each in found["reactions"]] == ["First", "Second"]


def test_roles_users_conditions_and_addresses_are_told(sender: Persona, people: Callable[..., None]) -> None:
    people("ada", "ben")
    people("cleo", role="sales")
    targets = {"users": ["cleo"], "addresses": {"email": ["desk@example.com"]}, "person": True}
    rule(sender, targetRoles=["finance"], targets=targets, channels=["email"])
    send(sender, TRANSACTION)
    process(str(sender.tenant_id))
    told = {record.recipient for record in records(sender)}
    expected = {"ada@example.com", "ben@example.com", "cleo@example.com", "desk@example.com"}
    assert told == expected
    (event,) = events(sender)
    (reaction,) = event.reactions
    assert len(reaction["records"]) == reaction["count"] == len(records(sender))
    assert "waiting" not in reaction


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ({"users": ["ada", "cleo"]}, {"ada@example.com", "cleo@example.com"}),
        ({"roles": ["sales"]}, {"cleo@example.com"}),
        ({"where": {"email": "ben@example.com"}}, {"ben@example.com"}),
        ({"addresses": {"email": ["desk@example.com"]}}, {"desk@example.com"}),
    ],
    ids=["users", "roles", "where", "addresses"],
)
def test_each_kind_of_target_is_told_alone(
    sender: Persona, people: Callable[..., None], targets: dict[str, Any], expected: set[str]
) -> None:
    people("ada", "ben")
    people("cleo", role="sales")
    rule(sender, targetRoles=targets.get("roles", []), targets=targets, channels=["email"])
    send(sender, TRANSACTION)
    process(str(sender.tenant_id))
    assert {record.recipient for record in records(sender)} == expected


def test_a_crowd_is_told_in_pages(
    sender: Persona, people: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "PAGE", 2)
    people(*(f"person{n}" for n in range(5)))
    rule(sender, targetRoles=["finance"], channels=["email"])
    send(sender, TRANSACTION)
    assert [steps.take_steps(sender.tenant_id) for _ in range(4)] == [1, 1, 1, 0]
    assert len({record.recipient for record in records(sender)}) == len(records(sender)) == 5


def test_a_delay_is_a_row_and_can_be_cancelled(sender: Persona) -> None:
    rule(sender, delaySeconds=600, cancelKey="tx-{{userId}}")
    paid = {"name": "Paid", "description": "Thank you.", "eventTypes": ["paid"], "condition": "", "channels": ["email"]}
    rule(sender, **paid, cancels="tx-{{userId}}")
    send(sender, TRANSACTION)
    (step,) = waiting(sender)
    assert (step.kind, step.cancel_key) == ("send", "tx-user_44")
    assert timedelta(seconds=590) < step.due_at - timezone.now() <= timedelta(seconds=600)
    assert pass_time(sender, seconds=60) == 0
    send(sender, {"type": "paid", "payload": {"userId": "user_44", "email": "a@example.com"}})
    assert waiting(sender) == []
    assert pass_time(sender, days=1) == 0
    send(sender, TRANSACTION, clientEventId="again")
    assert sender.client.post(f"{RULES}/cancel", {"cancelKey": "tx-user_44"}).json() == {"cancelled": 1}
    send(sender, TRANSACTION, clientEventId="third")
    assert pass_time(sender, seconds=601) == 1
    assert [record.channel for record in records(sender)] == ["email", "inapp"]
    assert "waiting" not in events(sender)[-1].reactions[0]


def test_a_digest_is_one_message_for_each_key(sender: Persona) -> None:
    words = {"inapp": {"title": "{{count}} transactions", "body": "The first: {{events.0.amount}}"}}
    digest = {"key": "{{userId}}", "seconds": 3600}
    rule(sender, digest=digest, templates=words)
    for number in range(5):
        payload = {**TRANSACTION["payload"], "amount": 2000 + number, "userId": f"u{number % 2}"}
        send(sender, {**TRANSACTION, "payload": payload})
    assert [(step.kind, step.key, step.state["count"]) for step in waiting(sender)] == [
        ("digest", "u0", 3),
        ("digest", "u1", 2),
    ]
    assert records(sender) == []
    assert pass_time(sender, seconds=3601) == 2
    first, second = sorted(records(sender), key=lambda record: record.recipient)
    assert (first.recipient, first.context["count"], first.context["events"][0]["amount"]) == ("u0", 3, 2000)
    assert (second.recipient, second.context["count"]) == ("u1", 2)
    assert not any("waiting" in reaction for event in events(sender) for reaction in event.reactions)
    send(sender, TRANSACTION)
    assert len(waiting(sender)) == 1, "the next one opens a new digest"


def test_a_throttle_lets_so_many_pass(sender: Persona) -> None:
    rule(sender, throttle={"key": "{{userId}}", "limit": 2, "seconds": 86_400 * 300})
    for number in range(4):
        send(sender, TRANSACTION, clientEventId=f"n{number}")
    pass_time(sender)
    assert len(records(sender)) == 2
    housekeep()
    with tenant_scope(sender.tenant_id):
        assert Throttle.objects.get().count == 4
        Throttle.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        Step.objects.update(finished_at=timezone.now() - timedelta(days=91))
    housekeep()
    with tenant_scope(sender.tenant_id):
        assert (Throttle.objects.count(), Step.objects.count()) == (0, 0)
    assert [("Throttled." in event.reactions[0]["why"]) for event in events(sender)] == [False, False, True, True]


def escalating(who: Persona, people: Callable[..., None]) -> None:
    people("ada", "ben")
    levels = [
        {"after_seconds": 600, "channels": ["email"]},
        {"after_seconds": 600, "channels": ["email"], "targets": {"addresses": {"email": ["boss@example.com"]}}},
    ]
    rule(who, targetRoles=["finance"], escalation=levels)


def test_who_has_not_read_is_told_again_elsewhere(sender: Persona, people: Callable[..., None]) -> None:
    escalating(sender, people)
    send(sender, TRANSACTION)
    pass_time(sender)
    with tenant_scope(sender.tenant_id):
        NotificationRecord.objects.filter(recipient="ada").update(status="success", delivery_state="read")
    assert pass_time(sender, seconds=60) == 0
    assert pass_time(sender, seconds=601) == 1
    assert [record.recipient for record in records(sender)] == ["ada", "ben", "ben@example.com"]
    assert pass_time(sender, seconds=601) == 1
    assert records(sender)[-1].recipient == "boss@example.com"
    assert waiting(sender) == []


def test_an_escalation_ends_when_everybody_has_read(sender: Persona, people: Callable[..., None]) -> None:
    escalating(sender, people)
    send(sender, TRANSACTION)
    pass_time(sender)
    with tenant_scope(sender.tenant_id):
        NotificationRecord.objects.update(status="success", delivery_state="acknowledged")
    assert pass_time(sender, seconds=601) == 1
    assert len(records(sender)) == 2
    assert waiting(sender) == []
    with tenant_scope(sender.tenant_id):
        assert Step.objects.get(kind="escalation").detail == "Everybody was reached."


def test_whoever_reads_the_first_message_late_is_told_no_more(sender: Persona, people: Callable[..., None]) -> None:
    escalating(sender, people)
    send(sender, TRANSACTION)
    pass_time(sender)
    assert pass_time(sender, seconds=601) == 1
    assert len(records(sender)) == 4, "both by mail"
    with tenant_scope(sender.tenant_id):
        NotificationRecord.objects.filter(channel="inapp").update(status="success", delivery_state="read")
    assert pass_time(sender, seconds=601) == 1
    assert len(records(sender)) == 4, "the boss need not know"
    assert waiting(sender) == []


def test_what_waits_keeps_the_version_that_it_began_with(sender: Persona) -> None:
    made = rule(sender, delaySeconds=600, templates={"inapp": {"title": "Old words"}})
    send(sender, TRANSACTION)
    changed = sender.client.patch(f"{RULES}/{made['id']}", {"templates": {"inapp": {"title": "New words"}}}).json()
    assert changed["version"] == 2
    same = sender.client.patch(f"{RULES}/{made['id']}", {"description": "Only said otherwise"}).json()
    assert same["version"] == 2
    pass_time(sender, seconds=601)
    assert [record.content["title"] for record in records(sender)] == ["Old words"]


@pytest.mark.django_db(transaction=True)
def test_steps_are_taken_once_by_whoever_is_first(sender: Persona) -> None:
    rule(sender, delaySeconds=1)
    for number in range(3):
        send(sender, TRANSACTION, clientEventId=f"n{number}")
    with tenant_scope(sender.tenant_id):
        Step.objects.update(due_at=timezone.now())
    with tenant_scope(sender.tenant_id):
        assert list(Step.objects.select_for_update().order_by("id")[:1])
        taken: list[int] = []
        other = threading.Thread(target=lambda: taken.append(steps.take_steps(sender.tenant_id)))
        other.start()
        other.join(30)
    assert taken == [2]
    assert steps.take_steps(sender.tenant_id) == 1
    assert len(records(sender)) == 3


def test_a_rule_by_the_clock_speaks_once_each_time(sender: Persona, people: Callable[..., None]) -> None:
    people("ada")
    morning = {"name": "Morning", "description": "Good morning.", "eventTypes": [], "condition": ""}
    made = rule(sender, **morning, schedule="0 9 * * *", targetRoles=["finance"])
    assert made["nextRunAt"] > timezone.now().isoformat()
    assert schedule.run_due(sender.tenant_id) == 0
    with tenant_scope(sender.tenant_id):
        Rule.objects.update(next_run_at=timezone.now() - timedelta(hours=50))
    assert schedule.tenants_with_due() == [sender.tenant_id]
    sweep()
    process(str(sender.tenant_id))
    assert schedule.run_due(sender.tenant_id) == 0
    pass_time(sender)
    assert [(event.type, event.source) for event in events(sender)] == [("rule.scheduled", "schedule")]
    assert [record.recipient for record in records(sender)] == ["ada"]
    send(sender, TRANSACTION)
    assert len(records(sender)) == 1, "it speaks by the clock alone"


@pytest.mark.parametrize(
    ("zone", "after", "expected"),
    [
        ("Europe/Dublin", "2026-03-28T12:00", ["2026-03-29T08:00", "2026-03-30T08:00"]),
        ("Europe/Dublin", "2026-10-24T12:00", ["2026-10-25T09:00", "2026-10-26T09:00"]),
        ("Africa/Lagos", "2026-03-28T12:00", ["2026-03-29T08:00", "2026-03-30T08:00"]),
    ],
)
def test_nine_is_nine_whatever_the_clocks_do(zone: str, after: str, expected: list[str]) -> None:
    moment, found = datetime.fromisoformat(after).replace(tzinfo=UTC), []
    for _ in expected:
        moment = schedule.next_run("0 9 * * *", ZoneInfo(zone), moment)
        found.append(moment.strftime("%Y-%m-%dT%H:%M"))
    assert found == expected


def test_the_clock_is_the_tenants_and_follows_it_to_another_zone(sender: Persona) -> None:
    project = "/api/v1/projects/me"
    assert sender.client.patch(project, {"timezone": "Asia/Kolkata"}).status_code == 200
    made = rule(sender, eventTypes=[], condition="", schedule="0 9 * * *", targetRoles=["finance"])
    assert datetime.fromisoformat(made["nextRunAt"]).astimezone(UTC).strftime("%H:%M") == "03:30"
    sweep()
    assert sender.client.get(f"{RULES}/{made['id']}").json()["nextRunAt"] == made["nextRunAt"], "nothing has changed"
    assert sender.client.patch(project, {"timezone": "Africa/Lagos"}).status_code == 200
    sweep()
    moved = sender.client.get(f"{RULES}/{made['id']}").json()
    assert datetime.fromisoformat(moved["nextRunAt"]).astimezone(UTC).strftime("%H:%M") == "08:00"
    assert moved["version"] == made["version"]


def test_half_past_two_happens_once_when_the_clocks_change() -> None:
    zone = ZoneInfo("Europe/Berlin")
    for day in (datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)):
        first = schedule.next_run("30 2 * * *", zone, day)
        second = schedule.next_run("30 2 * * *", zone, first)
        assert timedelta(hours=22) < second - first < timedelta(hours=26)


def test_a_trial_tells_all_and_sends_nothing(sender: Persona, people: Callable[..., None]) -> None:
    people("ada")
    made = rule(sender, targetRoles=["finance"], channels=["email"], delaySeconds=60, cancelKey="tx-{{userId}}")
    trial = sender.client.post(f"{RULES}/{made['id']}/test", TRANSACTION).json()
    assert trial["matched"] is True
    assert [(each["condition"], each["value"]) for each in trial["trace"]] == [
        ("amount > 1000", True),
        ('currency == "NGN"', True),
    ]
    (would,) = trial["would_send"]
    assert (would["recipient"], would["content"]["text"]) == ("ada@example.com", "5000 NGN wait for you.")
    assert (trial["later"]["delay_seconds"], trial["later"]["cancel_key"]) == (60, "tx-user_44")
    other = sender.client.post(f"{RULES}/{made['id']}/test", {"event": {"type": "x", "payload": {}}}).json()
    assert (other["matched"], other["would_send"]) == (False, [])
    assert (records(sender), events(sender), waiting(sender)) == ([], [], [])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"condition": "amount >"}, "condition"),
        ({"channels": ["pigeon"]}, "channels"),
        ({"templates": {"email": {"subject": "{{"}}}, "templates.email.subject"),
        ({"templates": {"inapp": {"title": "{% if a %}b{% endif %}", "body": "c"}}}, "templates.inapp.title"),
        ({"targets": {"everybody": True}}, "targets.everybody"),
        ({"targets": {"where": {"shoe_size": 9}}}, "targets.where.shoe_size"),
        ({"targets": {"addresses": {"pigeon": ["x"]}}}, "targets.addresses.pigeon"),
        ({"digest": {"seconds": 0}}, "digest.seconds"),
        ({"escalation": [{"after_seconds": 5}]}, "escalation.0.channels"),
        ({"schedule": "every day"}, "schedule"),
        ({"lane": "soon"}, "lane"),
        ({"sound": "no spaces please"}, "sound"),
        ({"priority": "high"}, "priority"),
        ({"digest": {"key": "{{user"}}, "digest.key"),
        ({"throttle": {"key": "{{}}"}}, "throttle.key"),
        ({"cancelKey": "{{a"}, "cancelKey"),
        ({"cancels": "{{ }}"}, "cancels"),
        ({"templates": {"email": "no-such-template"}}, "templates.email"),
        (
            {"escalation": [{"after_seconds": 5, "channels": ["sms"], "templates": {"sms": "no-such-template"}}]},
            "escalation.0.templates.sms",
        ),
        ({"validFrom": "2030-01-02T00:00:00Z", "validUntil": "2030-01-01T00:00:00Z"}, "validUntil"),
        ({"condition": "shout(name)"}, "condition"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_rules_are_refused_by_field(sender: Persona, change: dict[str, Any], field: str) -> None:
    for address in (RULES, f"{RULES}/validate"):
        answer = sender.client.post(address, {**LARGE, **change})
        assert answer.status_code == 400, address
        assert field in answer.json()["errors"]
    assert sender.client.post(f"{RULES}/validate", LARGE).json() == {"valid": True}


def test_a_rule_can_be_switched_off_although_its_template_is_gone(sender: Persona) -> None:
    template = {"slug": "gone", "name": "Gone", "channel": "email", "content": {"subject": "Hi"}}
    made = sender.client.post("/api/notifications/templates/", template)
    assert made.status_code == 201, made.content
    stored = rule(sender, templates={"email": "gone"})
    assert sender.client.delete(f"/api/notifications/templates/{made.json()['id']}/").status_code == 204
    answer = sender.client.patch(f"{RULES}/{stored['id']}", {"active": False})
    assert (answer.status_code, answer.json()["active"]) == (200, False)
    assert "templates.email" in sender.client.patch(f"{RULES}/{stored['id']}", {"sound": "a.mp3"}).json()["errors"]


def test_rules_are_their_tenants(sender: Persona, stranger: Persona) -> None:
    made = rule(sender)
    assert stranger.client.get(RULES).json()["count"] == 0
    assert stranger.client.get(f"{RULES}/{made['id']}").status_code == 404
    assert stranger.client.delete(f"{RULES}/{made['id']}").status_code == 404
    assert stranger.client.post(EVENTS, TRANSACTION).status_code == 201
    assert sender.client.post(RULES, LARGE).json()["code"] == "name_taken"
    put = sender.client.put(f"{RULES}/{made['id']}", {"name": "Other"}).json()
    assert (put["name"], put["condition"], put["version"]) == ("Other", "", 2)
    assert sender.client.get(f"{RULES}/{made['id']}/steps").json()["count"] == 0
    assert sender.client.delete(f"{RULES}/{made['id']}").status_code == 204
    assert send(sender, TRANSACTION)["status"] == "ignored"


def test_a_plan_allows_so_many_rules(sender: Persona) -> None:
    for number in range(5):
        rule(sender, name=f"Rule {number}")
    assert sender.client.post(RULES, {**LARGE, "name": "One more"}).json()["code"] == "too_many_rules"


def test_a_hundred_rules_over_five_hundred_events_take_few_queries(
    sender: Persona, django_assert_max_num_queries: Any
) -> None:
    made = rule(sender)
    with platform_scope("copies of a rule"):
        original = Rule.objects.get(id=made["id"])
        version = original.versions.get()
        for number in range(99):
            original.pk, original.name = None, f"Copy {number}"
            original._state.adding = True
            original.pk = new_id()
            original.save()
            version.pk, version.rule_id = new_id(), original.pk
            version._state.adding = True
            version.save()
    rules_changed(sender.tenant_id)
    batch = [{**TRANSACTION, "payload": {**TRANSACTION["payload"], "amount": 5}} for _ in range(200)]
    assert sender.client.post(f"{EVENTS}/batch", batch).json()["accepted"] == 200
    with django_assert_max_num_queries(30):
        assert process_turn(sender.tenant_id) == 200
    with tenant_scope(sender.tenant_id):
        assert Event.objects.filter(status="ignored").count() == 200
