"""Events from Kafka: both shapes, once each, nothing lost, nothing in the way; and news back."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import TopicPartition
from django.core.management import CommandError, call_command
from django.db import OperationalError
from pytest_django import Settings

from notification_service.lib.heartbeat import silence
from notification_service.lib.ids import id_time
from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.events import consumer as consumer_module
from notifications.events import kafka as kafka_module
from notifications.events import lag, outbox
from notifications.events.consumer import EventConsumer, place_id
from notifications.events.dead_letters import replay_as_staff
from notifications.events.models import DeadLetter, OutboxMessage
from notifications.records.engine import Engine
from tenants.callers import system_caller
from tenants.models import Tenant, TenantStatus
from tests.conftest import Persona
from tests.events.conftest import events, records
from tests.events.kafka_client import Kafka
from tests.sandbox.conftest import Sandbox

pytestmark = pytest.mark.django_db(transaction=True)
DEAD = "/api/v1/events/dead-letters"


def flat(who: Persona, number: int = 1, **changes: Any) -> dict[str, Any]:
    person = {"phone": "+353861234567", "name": "John", "email": f"john{number}@example.com"}
    return {
        "event_type": "reward_issued",
        "tenant_id": str(who.tenant_id),
        "employee_details": person,
        "value": 100,
        **changes,
    }


def structured(who: Persona, number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "event_type": "task.assigned",
        "tenant_id": str(who.tenant_id),
        "user_id": f"crm-{number}",
        "timestamp": "2026-12-03T10:30:00Z",
        "payload": {"title": "Offer"},
        "metadata": {"trace": "t-1"},
        **changes,
    }


def letters() -> list[DeadLetter]:
    with platform_scope("test"):
        return list(DeadLetter.objects.order_by("offset"))


def test_both_shapes_become_messages(sender: Persona, kafka: Kafka) -> None:
    kafka.publish(flat(sender), structured(sender), partition=0)
    assert kafka.drain(kafka.consumer(), 2) == 2
    reward, task = sorted(events(sender), key=lambda event: event.type)
    assert (reward.type, reward.source, reward.payload["value"]) == ("reward_issued", kafka.topic, 100)
    assert (task.user_id, task.metadata, task.payload) == ("crm-1", {"trace": "t-1"}, {"title": "Offer"})
    assert {(record.channel, record.recipient) for record in records(sender)} == {
        ("email", "john1@example.com"),
        ("inapp", "crm-1"),
    }
    assert {record.event_id for record in records(sender)} == {reward.id, task.id}


@pytest.mark.parametrize("timestamp", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", 1e300, "yesterday"])
def test_times_that_could_not_be_read_again_are_not_stored(sender: Persona, kafka: Kafka, timestamp: Any) -> None:
    kafka.publish(structured(sender, timestamp=timestamp), structured(sender, event_id="good"), partition=0)
    kafka.drain(kafka.consumer(), 2)
    assert [(letter.code, letter.reason[:10]) for letter in letters()] == [("invalid", "timestamp:")]
    (listed,) = sender.client.get("/api/v1/events").json()["results"]
    assert listed["clientEventId"] == "good"


def test_offsets_are_committed_after_the_rows(sender: Persona, kafka: Kafka) -> None:
    kafka.publish(*(flat(sender, n) for n in range(5)), partition=0)
    reader = kafka.consumer()
    kafka.drain(reader, 5)
    (committed,) = reader._consumer.committed([TopicPartition(kafka.topic, 0)], timeout=10)
    assert committed.offset == 5


def test_messages_that_come_again_change_nothing(sender: Persona, kafka: Kafka, settings: Settings) -> None:
    kafka.publish(flat(sender), structured(sender, event_id="e-1"), structured(sender, event_id="e-1"), partition=0)
    kafka.drain(kafka.consumer(), 3)
    before = {event.id for event in events(sender)}
    assert len(before) == 2
    settings.KAFKA_GROUP_ID = uuid4().hex  # a group that has committed nothing reads everything again
    assert kafka.drain(kafka.consumer(), 3) == 3
    assert {event.id for event in events(sender)} == before
    assert len(records(sender)) == 2
    assert lag.counts() == {"new": 2, "duplicate": 4}


def test_a_crash_before_the_commit_of_offsets_loses_nothing(
    sender: Persona, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.publish(*(flat(sender, n) for n in range(4)), partition=0)
    first = kafka.consumer()
    with monkeypatch.context() as crash:
        crash.setattr(EventConsumer, "_commit", lambda self, messages: None)
        kafka.drain(first, 4)
    first.close()
    kafka._consumers.clear()
    assert kafka.drain(kafka.consumer(), 4) == 4
    assert (len(events(sender)), len(records(sender))) == (4, 4)


def test_while_the_database_is_away_nothing_is_committed_and_nothing_lost(
    sender: Persona, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = consumer_module.store, []

    def store(messages: Any) -> Any:
        calls.append(len(messages))
        if len(calls) < 3:
            raise OperationalError("the database is away")
        return real(messages)

    monkeypatch.setattr(consumer_module, "store", store)
    kafka.publish(*(flat(sender, n) for n in range(3)), partition=0)
    reader = kafka.consumer()
    assert kafka.drain(reader, 3) >= 3
    assert len(calls) >= 3
    assert len(events(sender)) == 3
    kafka.publish(flat(sender, 9), partition=0)
    assert kafka.drain(reader, 1) == 1, "it reads on"


POISON: list[tuple[bytes, str]] = [
    (b"{not json", "not_json"),
    (b"[1]", "not_json"),
    (b"", "empty"),
    (b'{"event_type": "x"}', "invalid"),
    (b'{"tenant_id": "TENANT"}', "invalid"),
    (b'{"event_type": "x", "tenant_id": "01a1f945-17a8-70a7-a3c8-1a9deeb10f4a"}', "unknown_tenant"),
    (b'{"event_type": "reward_issued", "tenant_id": "TENANT", "value": "much"}', "bad_payload"),
    (b'{"event_type": "x", "tenant_id": "TENANT", "y": "a\\u0000b"}', "invalid"),
    (b'{"event_type": "x", "tenant_id": "TENANT", "y": ' + b"[" * 100 + b"]" * 100 + b"}", "invalid"),
    (b'{"event_type": "x", "tenant_id": "TENANT", "timestamp": "soon"}', "invalid"),
    (b'{"event_type": "x", "tenant_id": "TENANT", "y": "' + b"y" * 300_000 + b'"}', "too_large"),
]


def test_poison_is_buried_with_its_reason_and_stands_in_nobodys_way(
    sender: Persona, kafka: Kafka, settings: Settings
) -> None:
    bad = [message.replace(b"TENANT", str(sender.tenant_id).encode()) for message, _ in POISON]
    kafka.publish(flat(sender, 1), *bad, flat(sender, 2), partition=0)
    kafka.drain(kafka.consumer(), len(bad) + 2)
    assert len(events(sender)) == 2
    buried = letters()
    assert [letter.code for letter in buried] == [code for _, code in POISON]
    assert all(letter.reason and letter.published_at for letter in buried)
    dead = kafka.read(settings.KAFKA_DEAD_LETTER_TOPIC, len(bad))
    assert sorted(message.value() or b"" for message in dead) == sorted(bad)
    headers = dict(dead[0].headers() or [])
    assert headers["topic"] == kafka.topic.encode()
    assert {"partition", "offset", "code", "reason"} <= headers.keys()


def test_a_dead_letter_is_seen_by_its_tenant_alone_and_replayed_after_the_fix(
    sender: Persona, stranger: Persona, kafka: Kafka
) -> None:
    secret = {"reset_link": 7, "temporary_password": "hunter2-hunter2"}
    kafka.publish(structured(sender, event_type="user.password.reset.requested", payload=secret), partition=0)
    kafka.drain(kafka.consumer(), 1)
    (shown,) = sender.client.get(DEAD).json()["results"]
    assert (shown["code"], shown["topic"], shown["offset"]) == ("bad_payload", kafka.topic, 0)
    assert "payload.reset_link" in shown["reason"]
    assert "hunter2" not in json.dumps(shown)
    assert stranger.client.get(DEAD).json()["count"] == 0
    assert stranger.client.post(f"{DEAD}/{shown['id']}/replay").status_code == 404
    again = sender.client.post(f"{DEAD}/{shown['id']}/replay")
    assert (again.status_code, again.json()["code"]) == (400, "bad_payload")


def test_a_letter_of_an_unknown_tenant_is_replayed_by_staff_once_there_is_one(kafka: Kafka) -> None:
    message = {"event_type": "task.assigned", "tenant_id": "crm-tenant-9", "user_id": "u", "payload": {"title": "X"}}
    kafka.publish(message, partition=0)
    kafka.drain(kafka.consumer(), 1)
    (letter,) = letters()
    assert (letter.code, letter.tenant_id) == ("unknown_tenant", None)
    tenant = Tenant.objects.create(slug="nine", name="Nine", status=TenantStatus.TRIAL, external_id="crm-tenant-9")
    accepted = replay_as_staff(system_caller(None, "test"), letter.id)
    assert accepted.event.tenant_id == tenant.id
    assert letters()[0].event_id == accepted.event.id


def test_a_message_that_breaks_us_is_buried_alone(
    sender: Persona, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = consumer_module.accept_events

    def accept(batch: Any, **options: Any) -> Any:
        if any(new.user_id == "crm-3" for new in batch):
            raise RuntimeError("a bug of ours")
        return real(batch, **options)

    monkeypatch.setattr(consumer_module, "accept_events", accept)
    kafka.publish(*(structured(sender, n) for n in range(8)), partition=0)
    kafka.drain(kafka.consumer(), 8)
    assert len(events(sender)) == 7
    (letter,) = letters()
    assert (letter.code, letter.offset) == ("internal", 3)
    answer = sender.client.post(f"{DEAD}/{letter.id}/replay")
    assert (answer.status_code, answer.json()["user_id"]) == (200, "crm-3")
    assert sender.client.post(f"{DEAD}/{letter.id}/replay").json()["code"] == "already_replayed"
    assert len(events(sender)) == 8


def test_two_consumers_share_the_partitions_and_one_takes_over(sender: Persona, kafka: Kafka) -> None:
    first, second = kafka.consumer(), kafka.consumer()
    deadline = time.monotonic() + 30
    while len(second._consumer.assignment()) != 2 or len(first._consumer.assignment()) != 2:
        assert time.monotonic() < deadline, "the partitions were not shared"
        first.turn()
        second.turn()
    for partition in range(4):
        kafka.publish(*(flat(sender, 10 * partition + n) for n in range(5)), partition=partition)
    read = 0
    while read < 20:
        assert time.monotonic() < deadline
        read += first.turn() + second.turn()
    second.close()
    kafka._consumers.remove(second)
    for partition in range(4):
        kafka.publish(flat(sender, 100 + partition), partition=partition)
    assert kafka.drain(first, 4, seconds=30) == 4
    assert (len(events(sender)), len(records(sender))) == (24, 24)


def test_it_says_that_it_lives_and_how_far_behind_it_is(sender: Persona, kafka: Kafka) -> None:
    kafka.publish(*(flat(sender, n) for n in range(10)), partition=2)
    reader = kafka.consumer(batch=4)
    kafka.drain(reader, 1)
    reader._told_at = 0.0
    reader._tell()
    assert 0 < lag.lags()[kafka.topic, "2"] <= 9
    kafka.drain(reader, 6)
    reader._told_at = 0.0
    reader._tell()
    assert lag.lags()[kafka.topic, "2"] == 0
    assert (silence("consumer") or 0.0) < 5


def test_stopping_finishes_the_batch_in_hand(sender: Persona, kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    kafka.publish(*(flat(sender, n) for n in range(3)), partition=0)
    reader = EventConsumer([kafka.topic])
    real = consumer_module.store

    def store(messages: Any) -> Any:
        reader.stop()
        time.sleep(0.2)  # the reader has turned to leaving by now
        return real(messages)

    monkeypatch.setattr(consumer_module, "store", store)
    watchdog = threading.Timer(30, reader.stop)
    watchdog.start()
    reader.run()
    watchdog.cancel()
    read = len(events(sender))
    assert read >= 1
    left = kafka.drain(kafka.consumer(), 3 - read)
    assert read + left == 3
    assert len(events(sender)) == 3


def test_a_place_has_one_id_and_a_topic_made_anew_has_others() -> None:
    first = place_id("hr-events", 0, 7, 1_790_000_000_123)
    assert first == place_id("hr-events", 0, 7, 1_790_000_000_123)
    others = [("hr-events", 0, 8), ("hr-events", 1, 7), ("app-events", 0, 7)]
    assert len({first, *(place_id(*place, 1_790_000_000_123) for place in others)}) == 4
    assert place_id("hr-events", 0, 7, 1_790_000_000_124) != first
    later = [place_id("hr-events", 0, offset, 1_790_000_000_123) for offset in (8, 2**28, 2**39)]
    assert [first, *later] == sorted([first, *later]), "events of one millisecond stand in their order"
    assert {(each.version, each.variant) for each in later} == {(7, first.variant)}
    assert (first.version, int(id_time(first).timestamp())) == (7, 1_790_000_000)


def test_news_of_outcomes_goes_out_in_order(
    admin: Persona, kafka: Kafka, mail_server: Sandbox, make_credential: Any, engine: Engine, settings: Settings
) -> None:
    make_credential(admin.tenant, mail_server.smtp_port)
    kafka.publish(*(flat(admin, n) for n in range(3)), partition=0)
    kafka.drain(kafka.consumer(), 3)
    engine.drain(admin.tenant_id, "normal")
    with tenant_scope(admin.tenant_id):
        assert OutboxMessage.objects.count() == 3
    assert outbox.publish() == 3
    assert outbox.publish() == 0
    news = kafka.read(settings.KAFKA_OUT_TOPIC, 3)
    bodies = [json.loads(message.value() or b"") for message in news]
    assert {body["event"] for body in bodies} == {"notification.success"}
    assert {body["notification_id"] for body in bodies} == {str(record.id) for record in records(admin)}
    assert {body["event_id"] for body in bodies} == {str(event.id) for event in events(admin)}
    assert [(message.key() or b"").decode() for message in news] == [body["notification_id"] for body in bodies]


def test_news_waits_while_kafka_is_away(sender: Persona, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:1"
    monkeypatch.setattr(outbox, "_FLUSH_SECONDS", 0.5)
    with tenant_scope(sender.tenant_id):
        OutboxMessage.objects.create(tenant_id=sender.tenant_id, key="k", value={"event": "x"})
    with pytest.raises(outbox.KafkaException):
        outbox.publish()
    kafka_module._producer.cache_clear()  # it would go on trying
    with tenant_scope(sender.tenant_id):
        assert OutboxMessage.objects.count() == 1


def test_without_kafka_no_news_is_kept(
    admin: Persona, mail_server: Sandbox, make_credential: Any, engine: Engine
) -> None:
    make_credential(admin.tenant, mail_server.smtp_port)
    body = {"channel": "email", "recipient": "a@example.com", "content": {"subject": "Hi"}}
    assert admin.client.post("/api/notifications/records/", body).status_code == 201
    engine.drain(admin.tenant_id, "normal")
    assert {record.status for record in records(admin)} == {"success"}
    with tenant_scope(admin.tenant_id):
        assert OutboxMessage.objects.count() == 0


def test_a_large_batch_is_written_side_by_side_each_event_once(
    sender: Persona, stranger: Persona, kafka: Kafka
) -> None:
    for partition in range(4):
        kafka.publish(*(structured(who, n) for n in range(40) for who in (sender, stranger)), partition=partition)
    assert kafka.drain(kafka.consumer(), 320) == 320
    assert (len(events(sender)), len(events(stranger)), len(records(sender))) == (160, 160, 160)
    assert lag.counts() == {"new": 320}


@pytest.mark.skipif(not os.environ.get("KAFKA_SASL_MECHANISM"), reason="needs a broker that asks for a login")
def test_who_is_refused_ends_and_says_so(kafka: Kafka, settings: Settings) -> None:
    settings.KAFKA_SASL_PASSWORD = "wrong"
    with pytest.raises(CommandError, match=r"Kafka refuses: .*_AUTHENTICATION"):
        call_command("consume_events")


def test_a_configuration_that_can_not_be_is_no_traceback(kafka: Kafka, settings: Settings) -> None:
    settings.KAFKA_SECURITY_PROTOCOL, settings.KAFKA_SSL_CA = "SSL", "/nowhere/ca.pem"
    with pytest.raises(CommandError, match=r"Kafka refuses: .*ssl\.ca\.location"):
        call_command("consume_events")
