"""A tenant's own user service: who is known only there, and what becomes of it when that does not answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from notification_service.lib.redis import attempt
from notification_service.lib.scope import tenant_scope
from notifications.credentials.models import Credential
from notifications.events.processing import process_turn
from notifications.recipients import user_service
from notifications.recipients.models import UserService
from notifications.recipients.people import Person
from notifications.recipients.user_service import FAILURES_TO_OPEN, ask_about
from tests.conftest import Persona
from tests.recipients.their_service import ADA, ADDRESS, SECRET, Theirs
from tests.records.conftest import credential, make_credential  # noqa: F401 - fixtures

pytestmark = pytest.mark.usefixtures("this_machine_is_allowed")

WORDS = {"title": "Hi {{user.name}}", "body": "A parcel."}


def found(persona: Persona, *user_ids: str) -> dict[str, Person]:
    with tenant_scope(persona.tenant_id):
        return ask_about(user_ids).people


def test_the_setting(admin: Persona, stranger: Persona, store: Callable[..., dict[str, Any]]) -> None:
    assert admin.client.get(ADDRESS).status_code == 404
    body = store()
    assert (body["secret"], body["enabled"]) == ("••••eirs", True)
    assert admin.client.get(ADDRESS).json() == body
    with tenant_scope(admin.tenant_id):
        assert SECRET.encode() not in bytes(UserService.objects.get().secret_encrypted)
    assert stranger.client.get(ADDRESS).status_code == 404
    assert store(secret=body["secret"], enabled=False)["enabled"] is False
    with tenant_scope(admin.tenant_id):
        assert user_service.masked_secret(UserService.objects.get()) == body["secret"]
    assert admin.client.delete(ADDRESS).status_code == 204
    assert admin.client.get(ADDRESS).status_code == 404


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "https://crm.example.com/users/"}, "url"),
        ({"url": "ftp://crm.example.com/{user_id}"}, "url"),
        ({"url": "https://{user_id}.example.com/"}, "url"),
        ({"url": "https://me:pw@crm.example.com/{user_id}"}, "url"),
        ({"url": "https://[::1/{user_id}"}, "url"),
        ({"url": "https://10.0.0.1/{user_id}"}, "url"),
        ({"url": "https://[::ffff:169.254.169.254]/{user_id}"}, "url"),
        ({"url": "https://crm.example.com/{user_id}/{user_id}"}, "url"),
        ({"secret": "two\nlines"}, "secret"),
        ({"secret": "••••"}, "secret"),
        ({"secret": ""}, "secret"),
    ],
)
def test_what_is_refused_names_its_field(admin: Persona, changes: dict[str, Any], field: str) -> None:
    answer = admin.client.put(ADDRESS, {"url": "https://crm.example.com/{user_id}", "secret": SECRET, **changes})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


def test_the_secret_does_not_follow_to_another_host(admin: Persona, store: Callable[..., dict[str, Any]]) -> None:
    mask = store()["secret"]
    answer = admin.client.put(ADDRESS, {"url": "https://elsewhere.example.com/{user_id}", "secret": mask})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["secret"])


def test_it_is_asked_once_in_five_minutes(admin: Persona, theirs: Theirs, store: Callable[..., dict[str, Any]]) -> None:
    store()
    theirs.knows("/users/crm%2F1%20x", ADA)
    theirs.knows("/users/nobody", (404, b""))
    for _ in range(2):
        people = found(admin, "crm/1 x", "nobody")
        assert list(people) == ["crm/1 x"]
    ada = people["crm/1 x"]
    assert (ada.user_id, ada.name, ada.email, ada.phone) == ("crm/1 x", "Ada", "ada@example.com", "+353861234567")
    assert (ada.time_zone, ada.roles, ada.metadata) == ("Europe/Dublin", ("staff",), {"city": "Cork"})
    assert theirs.asked == [("/users/crm%2F1%20x", f"Bearer {SECRET}"), ("/users/nobody", f"Bearer {SECRET}")]
    lifetimes = attempt(lambda client: [client.ttl(key) for key in client.scan_iter("*:user_service:0:*")])
    lifetimes += attempt(lambda client: [client.ttl(key) for key in client.scan_iter("*:user_service:1:*")])
    assert len(lifetimes) == 2
    assert all(290 < int(each) <= 300 for each in lifetimes)
    store()
    found(admin, "nobody")
    assert len(theirs.asked) == 3, "a new setting forgets the old answers"


def test_who_may_not_be_written_to_and_what_is_no_good(
    admin: Persona, theirs: Theirs, store: Callable[..., dict[str, Any]]
) -> None:
    store()
    theirs.knows("/users/1", {**ADA, "status": "disabled"})
    theirs.knows("/users/2", {**ADA, "status": "asleep"})
    theirs.knows("/users/3", {**ADA, "email": "nobody"})
    people = found(admin, "1", "2", "3")
    assert list(people) == ["3"]
    assert (people["3"].email, people["3"].name) == ("", "Ada")


@pytest.mark.parametrize(
    "answer",
    [(500, b"oops"), (200, b"[]"), (200, b"{"), (302, b""), (200, b'{"name": "' + b"x" * 300_000 + b'"}')],
    ids=["error", "no object", "no json", "redirect", "too large"],
)
def test_failures_are_not_remembered_as_answers(
    admin: Persona, theirs: Theirs, store: Callable[..., dict[str, Any]], answer: tuple[int, bytes]
) -> None:
    store()
    theirs.knows("/users/1", answer, ADA)
    assert found(admin, "1") == {}
    assert list(found(admin, "1")) == ["1"]


def test_a_service_that_fails_is_left_alone(
    admin: Persona, theirs: Theirs, store: Callable[..., dict[str, Any]]
) -> None:
    store()
    theirs.knows("/users/good", ADA)
    assert list(found(admin, "good")) == ["good"]
    for number in range(FAILURES_TO_OPEN):
        assert found(admin, f"bad-{number}") == {}
    asked = len(theirs.asked)
    assert list(found(admin, "good", "bad")) == ["good"]
    assert len(theirs.asked) == asked
    store()
    found(admin, "bad")
    assert len(theirs.asked) == asked + 1


def test_a_service_that_hangs_holds_nobody_up_for_long(
    admin: Persona, theirs: Theirs, store: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_service, "TIMEOUT", 0.3)
    store()

    theirs.knows("/users/slow", ADA)
    theirs.delay = 10.0
    started = time.monotonic()
    assert found(admin, "slow") == {}
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("networks", [[], ["10.0.0.0/8"]], ids=str)
def test_it_can_not_point_into_our_own_network(
    admin: Persona,
    theirs: Theirs,
    store: Callable[..., dict[str, Any]],
    settings: Settings,
    networks: list[str],
) -> None:
    store()
    settings.OUTBOUND_ALLOWED_NETWORKS = networks
    theirs.knows("/users/1", ADA)
    assert found(admin, "1") == {}
    assert theirs.asked == []


def test_disabled_or_another_tenants_it_is_not_asked(
    admin: Persona, stranger: Persona, theirs: Theirs, store: Callable[..., dict[str, Any]]
) -> None:
    store()
    assert found(stranger, "1") == {}
    store(enabled=False)
    assert found(admin, "1") == {}
    assert theirs.asked == []


def test_a_send_reaches_who_is_only_known_there(
    admin: Persona, theirs: Theirs, store: Callable[..., dict[str, Any]]
) -> None:
    store()
    theirs.knows("/users/crm-1", ADA)
    body = {"channel": "inapp", "content": {"title": "Hi {{user.name}}"}, "to": {"user_id": "crm-1"}}
    answer = admin.client.post("/api/v1/services/notifications/send", body)
    assert answer.status_code == 201, answer.json()
    record = admin.client.get(f"/api/notifications/records/{answer.json()['id']}/").json()
    assert (record["recipient"], record["context"]["user"]["name"]) == ("crm-1", "Ada")
    assert admin.client.get("/api/v1/users").json()["results"] == [], "nothing is kept here"


def test_a_service_that_does_not_answer_is_no_word_that_somebody_is_unknown(
    admin: Persona,
    theirs: Theirs,
    store: Callable[..., dict[str, Any]],
    credential: Credential,  # noqa: F811
) -> None:
    store()
    theirs.knows("/users/nobody", (404, b""))
    theirs.knows("/users/crm-1", (500, b""))
    admin.client.post("/api/v1/users", {"external_user_id": "here", "email": "here@example.com"})
    call = {"channels": ["email"], "content": {"subject": "Hi", "body": "x"}}

    def send(*user_ids: str) -> Any:
        recipients = [{"user_id": user_id} for user_id in user_ids]
        return admin.client.post("/api/v1/services/notifications/send", {**call, "recipients": recipients})

    answer = send("here", "crm-1", "nobody")
    assert answer.status_code == 201, answer.json()
    assert [skip["reason"] for skip in answer.json()["skipped"]] == ["user_service", "unknown_user"]
    alone = send("crm-1", "nobody")
    assert (alone.status_code, alone.json()["code"], alone["Retry-After"]) == (503, "unavailable", "30")
    assert send("nobody").status_code == 400
    record = {"channel": "email", "user_id": "crm-1", "content": call["content"]}
    assert admin.client.post("/api/notifications/records/", record).status_code == 503
    theirs.knows("/users/crm-1", ADA)
    assert send("crm-1").status_code == 201


@pytest.mark.django_db(transaction=True)
def test_an_event_reaches_who_is_only_known_there(
    admin: Persona, theirs: Theirs, store: Callable[..., dict[str, Any]]
) -> None:
    store()
    theirs.knows("/users/crm-1", ADA)
    told = {"name": "Told", "eventTypes": ["parcel.sent"], "channels": ["inapp"], "templates": {"inapp": WORDS}}
    assert admin.client.post("/api/v1/rules", told).status_code == 201
    for payload in ({"user_id": "crm-1"}, {"user_id": "crm-2", "email": "ben@example.com"}):
        sent = admin.client.post("/api/v1/events", {"type": "parcel.sent", "payload": payload})
        assert sent.status_code == 201, sent.json()
    process_turn(admin.tenant_id)
    rows = admin.client.get("/api/notifications/records/").json()["results"]
    details = [admin.client.get(f"/api/notifications/records/{row['id']}/").json() for row in rows]
    assert {row["recipient"]: row["context"].get("user", {}).get("name") for row in details}["crm-1"] == "Ada"
    assert [path for path, _ in theirs.asked] == ["/users/crm-1"], "whoever comes with an address is not asked about"
