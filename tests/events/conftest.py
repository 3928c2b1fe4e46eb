"""A tenant that can send, and sentences about its events."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django import Settings

from notification_service.lib.ids import new_id
from notification_service.lib.scope import tenant_scope
from notification_service.local.kafka import EmbeddedKafka
from notification_service.local.ports import free_ports
from notifications.credentials.models import Credential
from notifications.events.happening import Happening
from notifications.events.kafka import _producer
from notifications.events.models import Event
from notifications.events.processing import process_turn
from notifications.records.models import NotificationRecord
from tests.conftest import Persona
from tests.events.kafka_client import Kafka
from tests.recipients.their_service import store, theirs, this_machine_is_allowed  # noqa: F401 - fixtures
from tests.records.conftest import engine, mail_program, mail_server, make_credential  # noqa: F401 - fixtures

EVENTS = "/api/v1/events"
ASSIGNED: dict[str, Any] = {
    "type": "task.assigned",
    "payload": {"user_id": "crm-17", "email": "ada@example.com", "name": "Ada", "title": "Prepare the offer"},
}


@pytest.fixture
def sender(admin: Persona, make_credential: Callable[..., Credential]) -> Persona:  # noqa: F811
    """An admin of a tenant that has a mail credential."""
    make_credential(admin.tenant)
    return admin


def send(who: Persona, body: Any = None, **changes: Any) -> dict[str, Any]:
    """Send an event and have it processed; return it as it stands then."""
    answer = who.client.post(EVENTS, {**(body or ASSIGNED), **changes})
    assert answer.status_code in (200, 201), answer.content
    process_turn(who.tenant_id)
    found: dict[str, Any] = who.client.get(f"{EVENTS}/{answer.json()['id']}").json()
    return found


def happening(event_type: str, payload: dict[str, Any]) -> Happening:
    """An event that is stored nowhere."""
    now = timezone.now()
    return Happening(new_id(), uuid4(), event_type, payload, {}, "", "test", None, None, "live", now)


def records(who: Persona) -> list[NotificationRecord]:
    """Every record of the tenant, oldest first."""
    with tenant_scope(who.tenant_id):
        return list(NotificationRecord.objects.order_by("id"))


def events(who: Persona) -> list[Event]:
    """Every event of the tenant, oldest first."""
    with tenant_scope(who.tenant_id):
        return list(Event.objects.order_by("id"))


@pytest.fixture(scope="session")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a Kafka is: the one that ``KAFKA_BOOTSTRAP_SERVERS`` named at the start of the tests, or a mock cluster."""
    if given := os.environ.get("TEST_KAFKA_BOOTSTRAP_SERVERS"):
        yield given
        return
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka"), free_ports(1)[0]).running() as kafka:
        yield kafka.url
        _producer.cache_clear()  # else it would go on asking for a broker that is gone


@pytest.fixture
def kafka(brokers: str, settings: Settings) -> Iterator[Kafka]:
    """Topics, a group and clients that no other test uses; the service is told of them."""
    name = f"t{uuid4().hex[:12]}"
    settings.KAFKA_BOOTSTRAP_SERVERS = brokers
    settings.KAFKA_TOPICS = [f"{name}-events"]
    settings.KAFKA_GROUP_ID = name
    settings.KAFKA_OUT_TOPIC = f"{name}-out"
    settings.KAFKA_DEAD_LETTER_TOPIC = f"{name}-dead"
    made = Kafka(brokers, settings.KAFKA_TOPICS[0])
    made.make(settings.KAFKA_TOPICS[0], settings.KAFKA_OUT_TOPIC, settings.KAFKA_DEAD_LETTER_TOPIC)
    yield made
    made.close()
