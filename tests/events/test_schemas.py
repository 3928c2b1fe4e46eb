"""Messages in the wire format of a schema registry: JSON Schema and Avro, read with the writer's schema."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import Settings

from notification_service.lib.scope import platform_scope
from notifications.events import schemas
from notifications.events.models import DeadLetter
from tests.conftest import Persona
from tests.events.conftest import events, records
from tests.events.kafka_client import Kafka
from tests.events.schema_registry import SchemaRegistry
from tests.events.test_kafka import DEAD, flat, structured

pytestmark = pytest.mark.django_db(transaction=True)

PERSON = {"type": "object", "properties": {"email": {"type": "string"}}, "required": ["email"]}
REWARD = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "event_type": {"const": "reward_issued"},
        "tenant_id": {"type": "string"},
        "value": {"type": "number"},
        "employee_details": {"$ref": "person.json"},
    },
    "required": ["event_type", "tenant_id", "value"],
}
TASK = {
    "type": "record",
    "name": "TaskAssigned",
    "fields": [
        {"name": "event_type", "type": "string"},
        {"name": "tenant_id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "event_id", "type": ["null", "string"], "default": None},
        {"name": "user_id", "type": "string"},
        {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {
            "name": "payload",
            "type": {
                "type": "record",
                "name": "Task",
                "fields": [
                    {"name": "title", "type": "string"},
                    {"name": "cost", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
                ],
            },
        },
    ],
}


def wire(schema_id: int, body: bytes) -> bytes:
    return b"\x00" + schema_id.to_bytes(4, "big") + body


@pytest.fixture
def registry(settings: Settings) -> Iterator[SchemaRegistry]:
    started = SchemaRegistry("reader:a-password")
    settings.SCHEMA_REGISTRY_URL = started.url
    settings.SCHEMA_REGISTRY_USERNAME, settings.SCHEMA_REGISTRY_PASSWORD = "reader", "a-password"
    yield started
    started.close()


@pytest.fixture
def reward(registry: SchemaRegistry) -> int:
    registry.register("person", PERSON)
    references = [{"name": "person.json", "subject": "person", "version": 1}]
    return registry.register("hr-events-value", REWARD, references=references)


def letters() -> list[DeadLetter]:
    with platform_scope("test"):
        return list(DeadLetter.objects.order_by("offset"))


def test_json_with_a_schema_is_read_and_its_schema_asked_for_once(
    sender: Persona, kafka: Kafka, registry: SchemaRegistry, reward: int
) -> None:
    wrapped = [wire(reward, json.dumps(flat(sender, n)).encode()) for n in range(3)]
    kafka.publish(*wrapped, structured(sender), partition=0)
    kafka.drain(kafka.consumer(), 4)
    assert sorted(event.type for event in events(sender)) == [*["reward_issued"] * 3, "task.assigned"]
    assert len(records(sender)) == 4
    assert registry.asked == [f"/schemas/ids/{reward}", "/subjects/person/versions/1"]


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        ({"value": "hunter2"}, "bad_schema", "$.value breaks 'type'"),
        ({"employee_details": {}}, "bad_schema", "$.employee_details breaks 'required'"),
        (b"{", "bad_schema", "no JSON after the header"),
    ],
    ids=["type", "reference", "no-json"],
)
def test_what_breaks_its_schema_is_buried_with_the_place_but_not_the_value(
    sender: Persona, kafka: Kafka, reward: int, body: Any, code: str, reason: str
) -> None:
    kafka.publish(wire(reward, body if isinstance(body, bytes) else json.dumps(flat(sender, **body)).encode()))
    kafka.drain(kafka.consumer(), 1)
    (letter,) = letters()
    assert (letter.code, reason in letter.reason) == (code, True), letter.reason
    assert "hunter2" not in letter.reason


def test_without_a_registry_the_reason_says_what_to_set_and_the_letter_is_taken_in_afterwards(
    sender: Persona, kafka: Kafka, registry: SchemaRegistry, reward: int, settings: Settings
) -> None:
    url, settings.SCHEMA_REGISTRY_URL = settings.SCHEMA_REGISTRY_URL, ""
    kafka.publish(wire(reward, json.dumps(flat(sender)).encode()))
    kafka.drain(kafka.consumer(), 1)
    (letter,) = letters()
    assert letter.code == "no_schema_registry"
    assert "SCHEMA_REGISTRY_URL" in letter.reason
    settings.SCHEMA_REGISTRY_URL = url
    with platform_scope("test"):
        DeadLetter.objects.update(tenant_id=sender.tenant_id)  # nobody could know whose it is
    registry.down = True
    assert sender.client.post(f"{DEAD}/{letter.id}/replay").status_code == 503
    registry.down = False
    assert sender.client.post(f"{DEAD}/{letter.id}/replay").status_code == 200
    assert [event.type for event in events(sender)] == ["reward_issued"]


def test_while_the_registry_is_away_the_consumer_waits(
    sender: Persona, kafka: Kafka, registry: SchemaRegistry, reward: int
) -> None:
    registry.down = True
    kafka.publish(wire(reward, json.dumps(flat(sender)).encode()), partition=0)
    reader = kafka.consumer()
    deadline = time.monotonic() + 20
    while not reader._writers.in_trouble:
        assert time.monotonic() < deadline
        assert reader.turn() == 0
    registry.down = False
    assert kafka.drain(reader, 1) == 1
    assert (len(events(sender)), letters()) == (1, [])


@pytest.mark.parametrize(
    ("message", "code"),
    [(b"\x00\x00\x01", "bad_schema"), (wire(999, b"{}"), "unknown_schema"), (wire(1, b"\x00"), "schema_type")],
    ids=["cut-off", "unknown", "protobuf"],
)
def test_what_can_not_be_read_says_why(
    sender: Persona, kafka: Kafka, registry: SchemaRegistry, message: bytes, code: str
) -> None:
    registry.register("app-events-value", 'syntax = "proto3";', "PROTOBUF")
    kafka.publish(message)
    kafka.drain(kafka.consumer(), 1)
    assert [letter.code for letter in letters()] == [code]


def test_avro_is_read(sender: Persona, kafka: Kafka, registry: SchemaRegistry) -> None:
    fastavro = pytest.importorskip("fastavro")
    schema_id = registry.register("app-events-value", TASK, "AVRO")
    payload = {"title": "Offer", "cost": Decimal("12.00")}
    value = structured(sender, event_id="a-1", timestamp=1_790_000_000_000, payload=payload)
    body = io.BytesIO()
    fastavro.schemaless_writer(body, TASK, value)
    kafka.publish(wire(schema_id, body.getvalue()), wire(schema_id, body.getvalue() + b"more"), partition=0)
    kafka.drain(kafka.consumer(), 2)
    (event,) = events(sender)
    assert (event.type, event.user_id, event.client_event_id) == ("task.assigned", "crm-1", "a-1")
    assert event.payload == {"title": "Offer", "cost": "12.00"}
    assert event.client_timestamp is not None
    assert event.client_timestamp.timestamp() == 1_790_000_000
    assert [(letter.code, "4 bytes are left over" in letter.reason) for letter in letters()] == [("bad_schema", True)]


def test_avro_without_its_library_says_what_to_install(
    registry: SchemaRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schemas, "fastavro", None)
    schema_id = registry.register("app-events-value", TASK, "AVRO")
    with pytest.raises(schemas.InvalidInput, match="install fastavro") as refused:
        schemas.unwrapped(wire(schema_id, b"\x00"))
    assert refused.value.error_code == "schema_type"
