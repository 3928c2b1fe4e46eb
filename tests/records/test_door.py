"""The fast door accepts what the long way accepts, with the same answer, and refuses nothing itself."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

from notification_service.asgi import application
from notification_service.lib.rate_limit import Limit
from notification_service.lib.scope import tenant_scope
from notifications.recipients.models import Category, Preference, SuppressionReason
from notifications.recipients.suppressions import NewSuppression, suppress
from notifications.records.door import RecordsDoor
from notifications.records.models import IdempotencyKey, NotificationRecord
from tenants import caller_cache
from tenants.caller_cache import callers
from tenants.limits import PLAN_LIMITS, PlanLimits
from tenants.models import Plan, Tenant
from tests.conftest import Persona

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/api/notifications/records/"
FRESH, LIVES = caller_cache._FRESH, caller_cache._LIVES
GOOD = {
    "channel": "email",
    "recipient": "Ada@Example.com",
    "content": {"subject": "Hi {{name}}", "body": "<b>{{name}}</b>"},
    "context": {"name": "Ada"},
    "metadata": {"order": 7},
}
CHANGING = {"id", "created_at", "updated_at", "expires_at", "next_attempt_at"}


class Doors:
    """The ASGI application, asked by a signed-in persona; tells whether the fast door answered."""

    def __init__(self, persona: Persona, monkeypatch: pytest.MonkeyPatch) -> None:
        self.authorization = persona.client._credentials["HTTP_AUTHORIZATION"]
        self.answered_fast: list[bool] = []
        real = RecordsDoor.__call__

        async def spy(door: RecordsDoor, request: Any) -> Any:
            reply = await real(door, request)
            self.answered_fast.append(reply is not None)
            return reply

        monkeypatch.setattr(RecordsDoor, "__call__", spy)

    def post(self, *bodies: Any, together: bool = False, **headers: str) -> list[tuple[int, dict[str, str], Any]]:
        """Post bodies one after the other on one event loop, or all at once."""

        async def run() -> list[tuple[int, dict[str, str], Any]]:
            try:
                if together:
                    return list(await asyncio.gather(*(self._post(body, headers) for body in bodies)))
                return [await self._post(body, headers) for body in bodies]
            finally:
                await _lifespan_end()

        return asyncio.run(run())

    async def _post(self, body: Any, headers: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {
            "host": "localhost",
            "content-type": "application/json",
            "content-length": str(len(raw)),
            "authorization": self.authorization,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": PATH,
            "raw_path": PATH.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        incoming = iter([{"type": "http.request", "body": raw, "more_body": False}])
        outgoing: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            for message in incoming:
                return message
            await asyncio.sleep(3600)
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            outgoing.append(message)

        await application(scope, receive, send)
        answer = b"".join(message.get("body", b"") for message in outgoing[1:])
        got = {name.decode().lower(): value.decode() for name, value in outgoing[0]["headers"]}
        return outgoing[0]["status"], got, json.loads(answer)


async def _lifespan_end() -> None:
    messages = iter([{"type": "lifespan.shutdown"}])

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: dict[str, Any]) -> None:
        """Nobody listens."""

    await application({"type": "lifespan"}, receive, send)


@pytest.fixture
def doors(sender: Persona, monkeypatch: pytest.MonkeyPatch) -> Doors:
    """The doors, at which callers are known for as long as a test takes."""
    callers.clear()
    monkeypatch.setattr(caller_cache, "_FRESH", 3600.0)
    monkeypatch.setattr(caller_cache, "_LIVES", 3600.0)
    return Doors(sender, monkeypatch)


def stored(tenant: Tenant) -> int:
    with tenant_scope(tenant.id):
        return NotificationRecord.objects.count()


def test_the_second_request_goes_fast_and_answers_the_same(doors: Doors, tenant: Tenant) -> None:
    (status, headers, slow), (fast_status, fast_headers, fast) = doors.post(GOOD, GOOD)
    assert doors.answered_fast == [False, True]
    assert status == fast_status == 201
    assert slow.keys() == fast.keys()
    assert {k: v for k, v in slow.items() if k not in CHANGING} == {k: v for k, v in fast.items() if k not in CHANGING}
    assert fast_headers["location"] == f"{PATH}{fast['id']}/"
    assert fast_headers["x-request-id"]
    assert headers["content-type"].startswith(fast_headers["content-type"])
    with tenant_scope(tenant.id):
        one, two = NotificationRecord.objects.order_by("id")
        for field in NotificationRecord._meta.concrete_fields:
            if field.name not in CHANGING | {"due_at"}:
                assert getattr(one, field.attname) == getattr(two, field.attname), field.name
        assert two.expires_at - two.due_at == one.expires_at - one.due_at


@pytest.mark.parametrize(
    "changed",
    [
        {"channel": "pigeon"},
        {"recipient": "nobody"},
        {"context": {}},
        {"context": {"name": "a\x00b"}},
        {"content": {"subject": "{{"}},
        {"lane": "express"},
        {"scheduled_at": "tomorrow"},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"metadata": []},
    ],
)
def test_what_is_refused_is_refused_by_the_long_way(doors: Doors, tenant: Tenant, changed: dict[str, Any]) -> None:
    doors.post(GOOD)  # now the caller is known
    ((status, _, body),) = doors.post({**GOOD, **changed})
    assert doors.answered_fast[-1] is False
    assert status == 400
    assert {"detail", "code", "errors"} <= body.keys()
    assert stored(tenant) == 1


@pytest.mark.parametrize("raw", [b"{", b"[]", b"", b'{"channel": 1}', b"[" * 500])
def test_malformed_bodies_go_the_long_way(doors: Doors, raw: bytes) -> None:
    doors.post(GOOD)
    ((status, _, body),) = doors.post(raw)
    assert (status, doors.answered_fast[-1]) == (400, False)
    assert "detail" in body


def test_requests_that_arrive_together_are_all_written(doors: Doors, tenant: Tenant) -> None:
    doors.post(GOOD)
    answers = doors.post(*({**GOOD, "recipient": f"r{n}@example.com"} for n in range(40)), together=True)
    assert {status for status, _, _ in answers} == {201}
    assert sum(doors.answered_fast) >= 39, "only the request that renews the caller goes the long way"
    assert len({body["id"] for _, _, body in answers}) == 40
    assert stored(tenant) == 41


def test_an_idempotency_key_means_once_at_both_doors(doors: Doors, tenant: Tenant) -> None:
    doors.post(GOOD)
    answers = doors.post(*[GOOD] * 8, together=True, idempotency_key="k1")
    assert {status for status, _, _ in answers} == {201}
    assert len({body["id"] for _, _, body in answers}) == 1
    assert stored(tenant) == 2
    ((status, headers, again),) = doors.post(GOOD, idempotency_key="k1")
    assert (status, headers["idempotent-replayed"], again["id"]) == (201, "true", answers[0][2]["id"])
    ((status, _, body),) = doors.post({**GOOD, "recipient": "other@example.com"}, idempotency_key="k1")
    assert (status, body["code"]) == (422, "idempotency_key_reused")
    with tenant_scope(tenant.id):
        assert IdempotencyKey.objects.count() == 1


def test_a_tenant_over_its_limit_is_told_so(doors: Doors, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLAN_LIMITS, Plan.FREE, PlanLimits(Limit(20, 3600.0), None))
    Tenant.objects.filter(id=tenant.id).update(plan=Plan.FREE)
    answers = doors.post(*[GOOD] * 30, together=True)
    statuses = [status for status, _, _ in answers]
    assert set(statuses) == {201, 429}
    refused = next(answer for answer in answers if answer[0] == 429)
    assert refused[2]["code"] == "throttled"
    assert int(refused[1]["retry-after"]) >= 1
    assert stored(tenant) == statuses.count(201)


def test_who_loses_the_right_is_refused_within_a_second(
    doors: Doors, tenant: Tenant, sender: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller_cache, "_FRESH", FRESH)
    monkeypatch.setattr(caller_cache, "_LIVES", LIVES)
    doors.post(GOOD, GOOD)
    sender.user.is_active = False
    sender.user.save()
    now = time.monotonic()
    monkeypatch.setattr("tenants.caller_cache.time.monotonic", lambda: now + 1.0)
    ((status, _, _),) = doors.post(GOOD)
    assert status == 401


def test_without_the_database_nothing_is_promised(doors: Doors, tenant: Tenant) -> None:
    doors.post(GOOD)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE notification_record RENAME TO notification_record_gone")
    try:
        ((status, _, body),) = doors.post(GOOD)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE notification_record_gone RENAME TO notification_record")
    assert (status, body["code"]) == (500, "internal_error")
    assert stored(tenant) == 1


def test_a_database_that_was_restarted_leaves_nobody_in_doubt(doors: Doors, tenant: Tenant) -> None:
    def cut() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
                " WHERE application_name = 'notification_service intake' AND datname = current_database()"
            )
            assert cursor.fetchone()[0] > 0
        connection.close()

    async def scenario() -> list[int]:
        try:
            statuses = [(await doors._post(GOOD, {}))[0] for _ in range(3)]
            await asyncio.to_thread(cut)
            return statuses + [(await doors._post(GOOD, {}))[0] for _ in range(3)]
        finally:
            await _lifespan_end()

    assert asyncio.run(scenario()) == [201] * 6
    assert doors.answered_fast == [False, *[True] * 5]
    assert stored(tenant) == 6


@override_settings(ALLOWED_HOSTS=["api.example.com"])
def test_other_hosts_are_no_business_of_the_fast_door(doors: Doors, make_tenant: Callable[..., Tenant]) -> None:
    ((status, _, body),) = doors.post(GOOD)
    assert (status, body["code"]) == (400, "malformed")


def test_a_suppressed_recipient_goes_the_long_way_and_is_not_sent_to(doors: Doors, tenant: Tenant) -> None:
    doors.post(GOOD)
    with tenant_scope(tenant.id):
        suppress([NewSuppression("email", "ada@example.com", SuppressionReason.HARD_BOUNCE)], by="test")
        suppress([NewSuppression("email", "news@example.com", SuppressionReason.MANUAL, "news")], by="test")
    recipients = ["Ada@Example.com", "bob@example.com", "news@example.com"]
    answers = doors.post(*({**GOOD, "recipient": each} for each in recipients), together=True)
    assert [(status, body["status"]) for status, _, body in answers] == [
        (201, "suppressed"),
        (201, "pending"),
        (201, "pending"),
    ]
    assert stored(tenant) == 4
    for _ in range(2):
        ((status, _, body),) = doors.post(GOOD, idempotency_key="k")
        assert (status, body["status"]) == (201, "suppressed")
    assert stored(tenant) == 5


def test_templates_go_the_long_way(doors: Doors, sender: Persona) -> None:
    template = {"name": "Hi", "slug": "hi", "channel": "email", "content": {"subject": "Hi {{name}}"}}
    assert sender.client.post("/api/notifications/templates/", template).status_code == 201
    doors.post(GOOD)
    body = {name: value for name, value in GOOD.items() if name != "content"}
    ((status, _, answer),) = doors.post({**body, "template": "hi", "locale": "de"})
    assert (status, doors.answered_fast[-1], answer["template"], answer["locale"]) == (201, False, "hi", "de")
    ((status, _, answer),) = doors.post({**GOOD, "template": "hi"})
    assert (status, doors.answered_fast[-1], list(answer["errors"])) == (400, False, ["template"])
    ((status, _, _),) = doors.post({**GOOD, "metadata": {"template": "a word like any other"}})
    assert (status, doors.answered_fast[-1]) == (201, True)


def test_who_may_have_chosen_goes_the_long_way(doors: Doors, tenant: Tenant, sender: Persona) -> None:
    """An inbox is its owner's: what they have chosen counts, whichever way a message is addressed to them."""
    message = {"channel": "inapp", "recipient": "42", "content": {"title": "Hi"}, "metadata": {"category": "news"}}
    doors.post(message)
    ((status, _, body),) = doors.post(message)
    assert (status, body["status"], body["user_id"], doors.answered_fast[-1]) == (201, "pending", "42", True)
    with tenant_scope(tenant.id):
        Preference.objects.create(tenant_id=tenant.id, user_id="42", switches={"news": {"inapp": False}})
        Category.objects.create(tenant_id=tenant.id, key="gossip", default_on=False)
    ((status, _, body),) = doors.post(message)
    assert (status, body["status"], body["provider_response"]) == (201, "suppressed", "preference:news:inapp")
    other = {**message, "recipient": "43"}
    for category, expected in (("news", ("pending", True)), ("gossip", ("suppressed", False))):
        ((status, _, body),) = doors.post({**other, "metadata": {"category": category}})
        assert (status, body["status"], doors.answered_fast[-1]) == (201, *expected)
