"""Digests: what waits for one, how it becomes one, and that nothing is lost. HTTP in, a real mail server out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from threading import Barrier
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.utils import timezone

from notification_service.lib.scope import tenant_scope
from notifications.credentials.models import Credential
from notifications.recipients.digest_times import MARGIN, next_digest
from notifications.recipients.models import SuppressionReason
from notifications.recipients.suppressions import NewSuppression, suppress
from notifications.records import hooks
from notifications.records.digests import gather
from notifications.records.engine import Engine
from notifications.records.models import NotificationRecord
from notifications.records.tasks import gather_digests, sweep
from tenants.models import Role, Tenant
from tests.conftest import Persona
from tests.records.conftest import RECORDS, example, load
from tests.sandbox.conftest import Sandbox

pytestmark = pytest.mark.django_db(transaction=True)

USERS = "/api/v1/users"
SEND = "/api/v1/services/notifications/send"
DUBLIN = "Europe/Dublin"


@pytest.fixture(autouse=True)
def _sends(mail_server: Sandbox, tenant: Tenant, make_credential: Callable[..., Credential]) -> None:
    make_credential(tenant, mail_server.smtp_port)


@pytest.fixture
def ada(admin: Persona) -> str:
    """Somebody who wants her mail by the hour: the address of her row."""
    return person(admin, "crm-1", "hourly")


def person(admin: Persona, user_id: str, digest: str, **preferences: Any) -> str:
    made = admin.client.post(USERS, {"external_user_id": user_id, "time_zone": DUBLIN})
    assert made.status_code == 201, made.json()
    address = f"{USERS}/{made.json()['id']}"
    choose(admin, address, digest=digest, **preferences)
    return address


def choose(admin: Persona, address: str, **preferences: Any) -> None:
    answer = admin.client.put(f"{address}/preferences", preferences)
    assert answer.status_code == 200, answer.json()


def post(admin: Persona, subject: str = "Hi", **changes: Any) -> UUID:
    content = {"subject": subject, "body": f"<p>All about {subject}</p>"}
    body = example(**{"user_id": "crm-1", "content": content, "context": {}, **changes})
    answer = admin.client.post(RECORDS, body)
    assert answer.status_code == 201, answer.json()
    return UUID(answer.json()["id"])


def rows(who: Persona) -> list[NotificationRecord]:
    """Every record of the tenant, oldest first; digests, whose ids are of moments that the tests move, are last."""
    with tenant_scope(who.tenant_id):
        found = NotificationRecord.objects.order_by("id")
        return sorted(found, key=lambda row: row.created_by == "digest")


def let_come(who: Persona, *, ago: timedelta = timedelta(seconds=10)) -> None:
    """Let the moment come that everything gathered waits for."""
    with tenant_scope(who.tenant_id):
        waiting = NotificationRecord.objects.filter(provider_response__startswith="preference:digest:")
        waiting.update(due_at=timezone.now() + MARGIN - ago)


def states(who: Persona) -> list[tuple[str, str]]:
    return [(str(row.status), row.provider_response) for row in rows(who)]


def mails(server: Sandbox) -> list[EmailMessage]:
    return [
        message_from_bytes(server.request(f"/api/messages/{each['id']}/raw").body, policy=policy.default)
        for each in server.messages()
    ]


def drain(engine: Engine, who: Persona) -> None:
    for lane in ("normal", "bulk"):
        engine.drain(who.tenant_id, lane)


def test_three_become_one(admin: Persona, ada: str, mail_server: Sandbox, engine: Engine) -> None:
    ids = [post(admin, subject, metadata={"of": subject}) for subject in ("one", "two", "1 < 3 & so")]
    for row in rows(admin):
        assert (row.status, row.provider_response) == ("scheduled", "preference:digest:hourly")
        moment = next_digest("hourly", row.created_at, ZoneInfo(DUBLIN))
        assert row.due_at == moment + MARGIN
        assert row.expires_at - row.due_at >= timedelta(hours=1)
    gather_digests()
    drain(engine, admin)
    assert mail_server.messages() == [], "their moment has not come"

    let_come(admin)
    gather_digests()
    drain(engine, admin)
    (mail,) = mails(mail_server)
    assert (mail["Subject"], mail["To"]) == ("You have 3 new messages", "ada@example.com")
    page = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    for words in ("one", "All about one", "two", "All about two", "1 &lt; 3 &amp; so"):
        assert words in page
    assert "and 0 more" not in page
    assert "1 < 3 & so" in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]

    *gathered, digest = rows(admin)
    assert digest.status == "success"
    assert (digest.user_id, digest.lane, digest.mode, digest.created_by) == ("crm-1", "normal", "live", "digest")
    for record_id, row in zip(ids, gathered, strict=True):
        assert (row.id, row.status, row.provider_response) == (record_id, "cancelled", "digested")
        assert row.metadata == {"of": row.content["subject"], "digest_id": str(digest.id)}
    story = admin.client.get(f"{RECORDS}{ids[0]}/timeline/").json()
    steps = story["timeline"] if isinstance(story, dict) else story
    assert [step["event"] for step in steps] == ["accepted", "digested"]
    assert (steps[-1]["status"], steps[-1]["digest"]) == ("cancelled", str(digest.id))
    gather_digests()
    assert len(rows(admin)) == 4
    again = admin.client.post(f"{RECORDS}{digest.id}/resend/")
    assert (again.status_code, again.json()["status"]) == (201, "pending"), "no digest is gathered"


def test_one_alone_goes_as_itself(admin: Persona, ada: str, mail_server: Sandbox, engine: Engine) -> None:
    record_id = post(admin, "alone")
    let_come(admin)
    assert gather() == 0
    drain(engine, admin)
    assert [mail["Subject"] for mail in mails(mail_server)] == ["alone"]
    assert load(admin.tenant, record_id).status == "success"


def test_without_gathering_each_goes_by_itself(admin: Persona, ada: str, mail_server: Sandbox, engine: Engine) -> None:
    for subject in ("one", "two"):
        post(admin, subject)
    let_come(admin, ago=MARGIN + timedelta(seconds=1))
    assert gather() == 0, "too late: they are on their way"
    sweep()
    drain(engine, admin)
    assert sorted(mail["Subject"] for mail in mails(mail_server)) == ["one", "two"]


def test_what_can_not_wait_passes(admin: Persona, ada: str) -> None:
    assert admin.client.post("/api/v1/categories", {"key": "security", "required": True}).status_code == 201
    soon = (timezone.now() + timedelta(minutes=5)).isoformat()
    post(admin, metadata={"category": "security"})
    post(admin, lane="critical")
    post(admin, user_id="crm-2")
    post(admin, expires_at=soon)
    post(admin, content={"subject": "Hi", "cc": ["bob@example.com"]})
    files = [{"filename": "a.txt", "content_type": "text/plain", "content": "aGk="}]
    post(admin, content={"subject": "Hi", "attachments": files})
    post(admin, channel="inapp", recipient="crm-1", content={"title": "Hi"})
    assert states(admin) == [("pending", "")] * 7


@pytest.mark.parametrize("lane", ["normal", "bulk"])
def test_send_is_gathered_with_the_way_out(
    admin: Persona, ada: str, mail_server: Sandbox, engine: Engine, lane: str
) -> None:
    mail = {"subject": "Hi", "body": "There"}
    for _ in range(2):
        to = [{"user_id": "crm-1", "email": "ada@example.com"}]
        body = {"channels": ["email", "inapp"], "recipients": to, "lane": lane}
        content = {"email": mail, "inapp": {"title": "Hi"}}
        assert admin.client.post(SEND, {**body, "content": content}).status_code == 201
    assert [row.channel for row in rows(admin) if row.provider_response] == ["email", "email"]
    let_come(admin)
    assert gather() == 1
    drain(engine, admin)
    (found,) = mails(mail_server)
    assert bool(found["List-Unsubscribe"]) is (lane == "bulk")
    assert found["Subject"] == "You have 2 new messages"


def test_a_long_digest_says_how_many_more(admin: Persona, ada: str, mail_server: Sandbox, engine: Engine) -> None:
    to = [{"user_id": "crm-1", "email": "ada@example.com"}] * 53
    content = {"email": {"subject": "Hi", "body": "word " * 100}}
    body = {"channels": ["email"], "recipients": to, "content": content}
    assert admin.client.post(SEND, body).status_code == 201
    let_come(admin)
    assert gather() == 1
    *_, digest = rows(admin)
    assert (digest.context["count"], len(digest.context["messages"]), digest.context["more"]) == (53, 50, 3)
    assert {len(each["excerpt"]) for each in digest.context["messages"]} <= {199, 200}
    drain(engine, admin)
    (mail,) = mails(mail_server)
    assert "and 3 more" in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]


def test_nobodys_messages_mix(
    admin: Persona,
    ada: str,
    stranger: Persona,
    mail_server: Sandbox,
    make_credential: Callable[..., Credential],
    api_key_client: Callable[..., Any],
) -> None:
    """Not those of tenants, nor of people, nor of addresses, nor of modes."""
    make_credential(stranger.tenant, mail_server.smtp_port)
    person(stranger, "crm-1", "hourly")
    person(admin, "crm-2", "hourly")
    for who in (admin, stranger):
        for subject in ("one", "two"):
            post(who, f"{subject} of {who.tenant.slug}")
    post(admin, user_id="crm-2")
    post(admin, recipient="ada@home.example")
    test_key = api_key_client(admin.tenant, mode="test")
    assert test_key.post(RECORDS, example(user_id="crm-1")).status_code == 201
    let_come(admin)
    let_come(stranger)
    assert gather() == 2
    for who in (admin, stranger):
        (digest,) = [row for row in rows(who) if row.created_by == "digest"]
        shown = [each["subject"] for each in digest.context["messages"]]
        assert shown == [f"one of {who.tenant.slug}", f"two of {who.tenant.slug}"]
        assert (digest.tenant_id, digest.mode, digest.recipient) == (who.tenant_id, "live", "ada@example.com")
    assert sum(row.provider_response == "preference:digest:hourly" for row in rows(admin)) == 3


def test_two_sweepers_make_one(admin: Persona, ada: str) -> None:
    for number in range(6):
        post(admin, str(number))
    let_come(admin)
    together = Barrier(4)

    def run(_: int) -> int:
        try:
            together.wait(timeout=10)
            return gather()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(run, range(4))) == 1
    assert len(rows(admin)) == 7
    assert states(admin)[:6] == [("cancelled", "digested")] * 6


@pytest.fixture
def crash() -> Iterator[None]:
    before = list(hooks._callbacks)

    def fail(_: object) -> None:
        raise RuntimeError("in the middle")

    hooks.on_outcomes(fail)
    yield
    hooks._callbacks[:] = before


def test_a_crash_in_the_middle_changes_nothing(admin: Persona, ada: str, crash: None) -> None:
    for subject in ("one", "two"):
        post(admin, subject)
    let_come(admin)
    before = [(row.id, row.status, row.provider_response, row.due_at, row.metadata) for row in rows(admin)]
    assert gather() == 0
    assert [(row.id, row.status, row.provider_response, row.due_at, row.metadata) for row in rows(admin)] == before


def test_every_end_is_announced(admin: Persona, ada: str) -> None:
    heard: list[tuple[str, str]] = []
    before = list(hooks._callbacks)
    hooks.on_outcomes(lambda outcomes: heard.extend((str(o.status), o.result.response) for o in outcomes))
    try:
        for subject in ("one", "two"):
            post(admin, subject)
        let_come(admin)
        assert gather() == 1
    finally:
        hooks._callbacks[:] = before
    assert heard == [("cancelled", "digested")] * 2


@pytest.mark.parametrize(("digest", "status"), [("instant", "pending"), ("daily", "scheduled")])
def test_who_chooses_anew_has_it_that_way(admin: Persona, ada: str, digest: str, status: str) -> None:
    later = datetime(timezone.now().year + 1, 1, 1, 9, 30, tzinfo=UTC)
    if later - timezone.now() > timedelta(days=360):
        later -= timedelta(days=200)
    post(admin)
    post(admin, scheduled_at=later.isoformat())
    choose(admin, ada, digest=digest)
    now, then = rows(admin)
    mark = f"preference:digest:{digest}" if digest == "daily" else ""
    assert (now.status, now.provider_response) == (status, mark)
    assert (then.status, then.provider_response) == ("scheduled", mark)
    if digest == "instant":
        assert now.due_at <= timezone.now()
        assert then.due_at == later
    else:
        assert then.due_at == next_digest("daily", later, ZoneInfo(DUBLIN)) + MARGIN


def test_a_schedule_and_quiet_hours_are_heeded(admin: Persona) -> None:
    quiet = {"start": "22:00", "end": "07:15", "time_zone": DUBLIN}
    person(admin, "crm-1", "hourly", quiet_hours=quiet)
    day = (timezone.now() + timedelta(days=2)).astimezone(ZoneInfo(DUBLIN)).replace(second=0, microsecond=0)
    noon, night = day.replace(hour=12, minute=20), day.replace(hour=3, minute=20)
    post(admin, scheduled_at=noon.isoformat())
    post(admin, scheduled_at=night.isoformat())
    by_day, by_night = rows(admin)
    assert by_day.due_at == day.replace(hour=13, minute=0) + MARGIN
    assert by_night.due_at == day.replace(hour=7, minute=15) + MARGIN
    assert by_night.scheduled_at == night


def test_what_waits_can_be_changed_cancelled_and_erased(admin: Persona, ada: str) -> None:
    moved, cancelled, edited, other = (post(admin, subject) for subject in ("moved", "cancelled", "edited", "other"))
    soon = timezone.now() + timedelta(minutes=2)
    answer = admin.client.patch(f"{RECORDS}{moved}/", {"scheduled_at": soon.isoformat()})
    assert answer.status_code == 200, answer.json()
    assert admin.client.post(f"{RECORDS}{cancelled}/cancel/").status_code == 200
    change = {"content": {"subject": "better", "body": "Words"}}
    assert admin.client.patch(f"{RECORDS}{edited}/", change).status_code == 200
    let_come(admin)
    assert gather() == 1
    assert load(admin.tenant, moved).due_at == soon, "its sender has said when"
    *_, digest = rows(admin)
    assert [each["subject"] for each in digest.context["messages"]] == ["better", "other"]
    assert load(admin.tenant, other).status == "cancelled"
    third, fourth = post(admin), post(admin)
    assert admin.client.delete(f"{ada}?erase=true").status_code == 204
    let_come(admin)
    assert gather() == 0
    assert {load(admin.tenant, third).status, load(admin.tenant, fourth).status} == {"cancelled"}
    assert load(admin.tenant, digest.id).context == {}


def test_who_has_unsubscribed_meanwhile_gets_nothing(
    admin: Persona, ada: str, mail_server: Sandbox, engine: Engine
) -> None:
    for category in ("news", "news", "work"):
        post(admin, category, metadata={"category": category})
    with tenant_scope(admin.tenant_id):
        suppress([NewSuppression("email", "ada@example.com", SuppressionReason.UNSUBSCRIBED, "news")], by="test")
    let_come(admin)
    assert gather() == 0
    drain(engine, admin)
    assert [row.status for row in rows(admin)] == ["suppressed", "suppressed", "success"]
    assert [mail["Subject"] for mail in mails(mail_server)] == ["work"]


@pytest.mark.parametrize(
    ("subject", "expected"), [("{{ count }} Nachrichten", ["2 Nachrichten"]), ("For {{ nobody }}", ["one", "two"])]
)
def test_words_of_the_tenants_own(
    admin: Persona, ada: str, mail_server: Sandbox, engine: Engine, subject: str, expected: list[str]
) -> None:
    """The template is like every other of the service's: a tenant says it otherwise, or unusably."""
    words = {"subject": subject, "html": "<p>{{ messages[0].subject }}</p>"}
    body = {"slug": "digest.email", "name": "Digest", "channel": "email", "content": words, "publish": True}
    found = admin.client.post("/api/notifications/templates/", body)
    assert found.status_code == 201, found.json()
    for each in ("one", "two"):
        post(admin, each)
    let_come(admin)
    gather()
    drain(engine, admin)
    assert sorted(mail["Subject"] for mail in mails(mail_server)) == expected


def test_people_with_a_digest_are_those_of_the_tenant(
    ada: str, stranger: Persona, make_persona: Callable[..., Persona], make_credential: Callable[..., Credential]
) -> None:
    make_credential(stranger.tenant)
    employee = make_persona(stranger.tenant, Role.EMPLOYEE)
    assert employee.client.put("/api/v1/users/me/preferences", {"digest": "hourly"}).status_code == 200
    post(stranger)
    post(stranger, user_id=str(employee.user.id))
    assert [row.provider_response for row in rows(stranger)] == ["", "preference:digest:hourly"]
