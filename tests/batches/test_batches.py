"""``send-batch``, ``send-chunk`` and ``batches``: partial acceptance, exact counts, chunks that count once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from notification_service.lib.ids import new_id
from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.batches import holding, services
from notifications.batches.models import Batch
from notifications.batches.staging import START
from notifications.credentials.models import Credential
from notifications.recipients.models import Preference
from notifications.records import hooks, queue
from notifications.records.engine import Engine
from notifications.records.models import NotificationRecord
from notifications.records.outcomes import hold, write_outcomes
from tenants.callers import system_caller
from tests.batches.conftest import SERVICES
from tests.conftest import Persona
from tests.sandbox.conftest import Sandbox

CONTENT = {"subject": "Hi {{name}}", "text": "Dear {{name}}."}


def items(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"recipient": f"person{n}@example.com", "context": {"name": f"Person {n}"}} for n in range(start, start + count)
    ]


def send(client: APIClient, some: list[Any], **fields: Any) -> Any:
    return client.post(f"{SERVICES}/send-batch", {"channel": "email", "content": CONTENT, "items": some, **fields})


def chunk(client: APIClient, number: int, some: list[Any], **fields: Any) -> Any:
    body = {"channel": "email", "content": CONTENT, "chunk": number, "items": some, **fields}
    return client.post(f"{SERVICES}/send-chunk", body)


def batch_of(persona: Persona, batch_id: str) -> dict[str, Any]:
    answer = persona.client.get(f"{SERVICES}/batches/{batch_id}")
    assert answer.status_code == 200
    return dict(answer.json())


@pytest.mark.django_db(transaction=True)
def test_a_batch_is_sent_and_counted(
    admin: Persona, make_credential: Callable[..., Credential], engine: Engine, mail_server: Sandbox
) -> None:
    make_credential(admin.tenant, mail_server.smtp_port)
    some = [*items(12), {"recipient": "fail-permanent@example.com", "context": {"name": "X"}}]
    answer = send(admin.client, some)
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert (body["accepted"], body["rejected"], body["notifications"], body["errors"]) == (13, 0, 13, [])
    assert answer["Location"] == f"{SERVICES}/batches/{body['batch_id']}"
    counts = batch_of(admin, body["batch_id"])["counts"]
    assert counts == {"total": 13, "in_progress": 13, "success": 0, "failed": 0, "suppressed": 0, "cancelled": 0}
    engine.drain(admin.tenant_id, "normal")
    batch = batch_of(admin, body["batch_id"])
    assert batch["counts"] == {
        "total": 13,
        "in_progress": 0,
        "success": 12,
        "failed": 1,
        "suppressed": 0,
        "cancelled": 0,
    }
    assert batch["completed"]
    assert len(mail_server.messages()) == 12


def test_what_is_right_is_accepted_and_the_rest_is_named(sender: Persona) -> None:
    wrong: list[Any] = [
        {"recipient": "nobody", "context": {"name": "A"}},
        {"recipient": "ada@example.com"},
        {"context": {"name": "A"}},
        "ada@example.com",
        {"recipient": "ada@example.com", "colour": "red"},
        {"recipient": "ada@example.com", "context": ["name"]},
        {"recipient": "ada@example.com", "channel": "pigeon"},
        {"recipient": "ada@example.com", "channel": "sms", "content": {"body": "Hi"}},
        {"recipient": "ada@example.com", "context": {"name": "A\0"}},
        {"recipient": "ada@example.com", "content": {"subject": "{{"}},
        {"recipient": "ada@example.com", "lane": "fast"},
        {"recipient": "ada@example.com", "scheduled_at": "tomorrow"},
        {"recipient": "ada@example.com", "context": {"name": "A"}, "scheduled_at": "2099-01-01T00:00:00Z"},
        {"recipient": "ada@example.com", "context": {"name": "x" * 300_000}},
    ]
    answer = send(sender.client, [*wrong, *items(3)])
    assert answer.status_code == 201
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (3, len(wrong))
    assert [(error["index"], error["field"]) for error in body["errors"]] == list(
        enumerate(
            [
                "recipient",
                "context.name",
                "recipient",
                "",
                "colour",
                "context",
                "channel",
                "channel",
                "",
                "content.subject",
                "lane",
                "scheduled_at",
                "scheduled_at",
                "",
            ]
        )
    )
    assert body["errors"][7]["code"] == "no_credential"
    batch = batch_of(sender, body["batch_id"])
    assert (batch["counts"]["total"], batch["rejected"], batch["status"]) == (3, len(wrong), "closed")


def test_if_nothing_is_right_there_is_no_batch(sender: Persona) -> None:
    answer = send(sender.client, [{"recipient": "nobody"}])
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["items.0.recipient"]
    assert send(sender.client, []).status_code == 400
    assert sender.client.get(f"{SERVICES}/batches").json()["results"] == []


def test_items_have_their_own_words_and_share_the_others(sender: Persona) -> None:
    own: list[dict[str, Any]] = [
        {"email": "a@example.com", "content": {"text": "Own {{x}}"}, "context": {"x": 1}, "metadata": {"k": 2}},
        {"recipient": "b@example.com", "lane": "critical", "user_id": "u1", "locale": "de"},
        {"channel": "inapp", "user_id": "u2", "content": {"title": "Hi {{name}}"}},
    ]
    later = (timezone.now() + timedelta(days=2)).isoformat()
    answer = send(
        sender.client, own, context={"name": "All"}, metadata={"category": "news"}, scheduled_at=later, lane="bulk"
    )
    assert answer.json()["accepted"] == 3, answer.content
    with tenant_scope(sender.tenant_id):
        rows = {row.recipient: row for row in NotificationRecord.objects.all()}
    first, second, third = rows["a@example.com"], rows["b@example.com"], rows["u2"]
    assert (first.content, first.context, first.metadata) == ({"text": "Own {{x}}"}, {"name": "All", "x": 1}, {"k": 2})
    assert (second.content, second.lane, second.user_id, second.locale) == (CONTENT, "critical", "u1", "de")
    assert (second.metadata, second.status) == ({"category": "news"}, "scheduled")
    assert (third.channel, third.content, third.lane) == ("inapp", {**own[2]["content"], "priority": "normal"}, "bulk")
    assert {str(row.batch_id) for row in rows.values()} == {answer.json()["batch_id"]}


def test_push_goes_to_each_device_of_a_person(sender: Persona, api_key_client: Callable[..., APIClient]) -> None:
    for device in ("phone", "tablet"):
        body = {"device_id": device, "platform": "ios", "token": f"token-of-{device}", "user_id": "u1"}
        assert sender.client.post("/api/notifications/devices/", body).status_code == 201
    client = api_key_client(sender.tenant, mode="test")
    some = [{"user_id": "u1"}, {"user_id": "u2"}, {"token": "another-token"}]
    body = send(client, some, channel="push", content={"title": "Hi"}).json()
    assert (body["accepted"], body["notifications"]) == (2, 3)
    assert [(error["index"], error["code"]) for error in body["errors"]] == [(1, "no_device")]


def test_ten_thousand_at_once(sender: Persona) -> None:
    sender.tenant.plan = "enterprise"
    sender.tenant.save()
    answer = send(sender.client, items(10_000))
    assert answer.json()["accepted"] == 10_000
    assert batch_of(sender, answer.json()["batch_id"])["counts"]["total"] == 10_000
    assert send(sender.client, items(10_001)).status_code == 400


def test_the_quota_counts_every_notification(sender: Persona) -> None:
    assert send(sender.client, items(4_990)).status_code == 201
    answer = send(sender.client, items(11))
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
    assert send(sender.client, items(10)).status_code == 201


def test_a_call_with_a_key_is_carried_out_once(sender: Persona) -> None:
    body = {"channel": "email", "content": CONTENT, "items": items(2)}
    answers = [sender.client.post(f"{SERVICES}/send-batch", body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[1]["Idempotent-Replayed"] == "true"
    with tenant_scope(sender.tenant_id):
        assert NotificationRecord.objects.count() == 2


def test_chunks_fill_a_batch(sender: Persona) -> None:
    first = chunk(sender.client, 1, items(3))
    assert (first.status_code, first.json()["status"], first.json()["chunk"]) == (201, "open", 1)
    batch_id = first.json()["batch_id"]
    second = chunk(sender.client, 2, [*items(2, 3), {"recipient": "nobody"}], batch_id=batch_id)
    assert (second.json()["accepted"], second.json()["rejected"]) == (2, 1)
    batch = batch_of(sender, batch_id)
    assert (batch["counts"]["total"], batch["rejected"], batch["status"], batch["completed"]) == (5, 1, "open", False)
    last = chunk(sender.client, 3, [], batch_id=batch_id, final=True)
    assert (last.status_code, last.json()["status"]) == (201, "closed")
    late = chunk(sender.client, 4, items(1), batch_id=batch_id)
    assert (late.status_code, late.json()["code"]) == (409, "batch_closed")


def test_nothing_at_all_is_an_item_that_is_wrong(sender: Persona) -> None:
    answer = send(sender.client, [None, *items(1)])
    assert (answer.status_code, answer.json()["accepted"]) == (201, 1)
    assert [(each["index"], each["detail"]) for each in answer.json()["errors"]] == [(0, "Must be an object.")]


def test_the_same_chunk_gets_the_same_answer(sender: Persona) -> None:
    batch_id = chunk(sender.client, 1, items(1)).json()["batch_id"]
    answers = [chunk(sender.client, 2, items(2, 1), batch_id=batch_id, final=True) for _ in range(3)]
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert [answer.get("Idempotent-Replayed") for answer in answers] == [None, "true", "true"]
    other = chunk(sender.client, 2, items(3, 1), batch_id=batch_id, final=True)
    assert (other.status_code, other.json()["code"]) == (422, "chunk_reused")
    assert batch_of(sender, batch_id)["counts"]["total"] == 3


def test_the_chunk_that_opened_a_batch_may_come_again_with_its_id(sender: Persona) -> None:
    """Who repeats it knows the batch by now; the first time there was none to name."""
    first = chunk(sender.client, 1, items(2))
    again = chunk(sender.client, 1, items(2), batch_id=first.json()["batch_id"])
    assert (again.status_code, again.json()) == (201, first.json())
    assert again["Idempotent-Replayed"] == "true"
    assert batch_of(sender, first.json()["batch_id"])["counts"]["total"] == 2
    assert chunk(sender.client, 1, items(3), batch_id=first.json()["batch_id"]).status_code == 422


def test_a_chunk_that_was_refused_may_come_again(sender: Persona) -> None:
    batch_id = chunk(sender.client, 1, items(1)).json()["batch_id"]
    assert chunk(sender.client, 2, [{"recipient": "nobody"}], batch_id=batch_id).status_code == 400
    assert chunk(sender.client, 2, [], batch_id=batch_id).status_code == 400
    assert chunk(sender.client, 2, items(1, 5), batch_id=batch_id).status_code == 201
    assert chunk(sender.client, 3, items(1), batch_id=str(uuid4())).status_code == 404


def test_reading_a_batch_counts_nothing(sender: Persona) -> None:
    batch_id = send(sender.client, items(20)).json()["batch_id"]
    with CaptureQueriesContext(connection) as queries:
        batch_of(sender, batch_id)
    assert not [query for query in queries.captured_queries if "notification_record" in query["sql"]]
    assert not [query for query in queries.captured_queries if "count(" in query["sql"].lower()]


def test_the_notifications_of_a_batch_come_by_cursor(sender: Persona) -> None:
    batch_id = send(sender.client, items(5)).json()["batch_id"]
    send(sender.client, items(2))
    seen: list[str] = []
    address = f"{SERVICES}/batches/{batch_id}/notifications?page_size=2"
    while address:
        page = sender.client.get(address).json()
        seen += [row["recipient"] for row in page["results"]]
        address = page["next"]
    assert sorted(seen) == sorted(item["recipient"] for item in items(5))
    listed = sender.client.get(f"{SERVICES}/batches/{batch_id}/notifications", {"status": "failed"}).json()
    assert listed["results"] == []


def test_cancelling_ends_what_waits(sender: Persona) -> None:
    batch_id = send(sender.client, items(7)).json()["batch_id"]
    other = send(sender.client, items(2)).json()["batch_id"]
    answer = sender.client.post(f"{SERVICES}/batches/{batch_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert answer.json()["counts"]["cancelled"] == 7
    assert answer.json()["completed"]
    assert sender.client.post(f"{SERVICES}/batches/{batch_id}/cancel").status_code == 409
    assert batch_of(sender, other)["counts"]["cancelled"] == 0
    assert chunk(sender.client, 9, items(1), batch_id=batch_id).status_code == 409


def test_a_long_batch_is_cancelled_to_its_end(sender: Persona, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "CHUNK", 3)
    batch_id = send(sender.client, items(11)).json()["batch_id"]
    answer = sender.client.post(f"{SERVICES}/batches/{batch_id}/cancel").json()
    assert answer["counts"]["cancelled"] == 6
    assert services.settle_batch(sender.tenant_id, UUID(batch_id), after=START, chunks=10) is None
    assert batch_of(sender, batch_id)["counts"]["cancelled"] == 11


@pytest.mark.django_db(transaction=True)
def test_what_comes_back_for_another_try_is_cancelled_too(sender: Persona) -> None:
    batch_id = send(sender.client, items(3)).json()["batch_id"]
    tenant_id = sender.tenant_id
    with tenant_scope(tenant_id):
        claimed = queue.claim(tenant_id, "normal", token=new_id(), limit=2)
    assert sender.client.post(f"{SERVICES}/batches/{batch_id}/cancel").json()["counts"]["in_progress"] == 2
    with tenant_scope(tenant_id):
        outcomes = [hold(each, response="later", now=timezone.now()) for each in claimed]
        hooks.announce(write_outcomes(tenant_id, outcomes))
    counts = batch_of(sender, batch_id)["counts"]
    assert (counts["cancelled"], counts["in_progress"]) == (3, 0)
    with platform_scope("test"):
        assert services.unsettled() == [(tenant_id, UUID(batch_id))]


@pytest.mark.django_db(transaction=True)
def test_news_of_a_credential_lets_nothing_go_that_is_held(sender: Persona) -> None:
    """What waited for a usable credential when the batch was paused waits for the batch, too."""
    batch_id = UUID(send(sender.client, items(3)).json()["batch_id"])
    tenant_id = sender.tenant_id
    with tenant_scope(tenant_id):
        NotificationRecord.objects.update(failure_reason="auth_error", due_at=timezone.now() + timedelta(minutes=5))
        was = set(NotificationRecord.objects.values_list("id", "due_at"))
        services.hold_batch(system_caller(tenant_id, "test"), batch_id, held=True)
        assert queue.release_held(tenant_id, "email") == []
        assert not NotificationRecord.objects.filter(due_at__lt=timezone.now() + timedelta(days=1000)).exists()
        services.hold_batch(system_caller(tenant_id, "test"), batch_id, held=False)
        assert set(NotificationRecord.objects.values_list("id", "due_at")) == was


def test_one_that_is_cancelled_by_hand_is_counted(sender: Persona) -> None:
    batch_id = send(sender.client, items(3)).json()["batch_id"]
    one = sender.client.get(f"{SERVICES}/batches/{batch_id}/notifications").json()["results"][0]["id"]
    assert sender.client.post(f"/api/notifications/records/{one}/cancel/").status_code == 200
    assert batch_of(sender, batch_id)["counts"]["cancelled"] == 1


def test_people_are_found_and_their_wishes_heeded(sender: Persona) -> None:
    for user_id, name in (("u1", "ada"), ("u2", "eve")):
        body = {"external_user_id": user_id, "email": f"{name}@example.com", "name": name.title()}
        assert sender.client.post("/api/v1/users", body).status_code == 201
    with tenant_scope(sender.tenant_id):
        Preference.objects.create(tenant=sender.tenant, user_id="u2", switches={"news": {"email": False}})
    some = [{"user_id": "u1"}, {"user_id": "u2"}, {"user_id": "u3"}]
    answer = send(sender.client, some, context={"name": "x"}, metadata={"category": "news"}).json()
    assert [(error["index"], error["code"]) for error in answer["errors"]] == [(2, "no_address")]
    with tenant_scope(sender.tenant_id):
        found = NotificationRecord.objects.order_by("id").values_list("recipient", "status", "provider_response")
        assert list(found) == [
            ("ada@example.com", "pending", ""),
            ("eve@example.com", "suppressed", "preference:news:email"),
        ]
    assert batch_of(sender, answer["batch_id"])["counts"]["suppressed"] == 1


def test_counters_find_back_to_the_records(sender: Persona) -> None:
    """What nobody announced (an operator's own statement) is found when the counters stand still for a while."""
    batch_id = send(sender.client, items(3)).json()["batch_id"]
    with tenant_scope(sender.tenant_id):
        record = NotificationRecord.objects.filter(batch_id=batch_id).first()
        assert record
        NotificationRecord.objects.filter(id=record.id).update(status="cancelled")
    assert services.recount_idle() == 0
    with tenant_scope(sender.tenant_id):
        Batch.objects.update(moved_at=timezone.now() - timedelta(minutes=5))
    assert services.recount_idle() == 1
    counts = batch_of(sender, batch_id)["counts"]
    assert (counts["cancelled"], counts["in_progress"], counts["total"]) == (1, 2, 3)
    assert services.recount_idle() == 0


def test_strangers_find_nothing(sender: Persona, stranger: Persona) -> None:
    batch_id = chunk(sender.client, 1, items(1)).json()["batch_id"]
    assert stranger.client.get(f"{SERVICES}/batches").json()["results"] == []
    assert stranger.client.get(f"{SERVICES}/batches/{batch_id}").status_code == 404
    assert stranger.client.get(f"{SERVICES}/batches/{batch_id}/notifications").status_code == 404
    assert stranger.client.post(f"{SERVICES}/batches/{batch_id}/cancel").status_code == 404
    assert chunk(stranger.client, 2, items(1), batch_id=batch_id).status_code == 404
