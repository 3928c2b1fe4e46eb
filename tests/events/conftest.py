"""A tenant that can send, and sentences about its events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from notification_service.lib.scope import tenant_scope
from notifications.credentials.models import Credential
from notifications.events.models import Event
from notifications.events.processing import process_turn
from notifications.records.models import NotificationRecord
from tests.conftest import Persona
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


def records(who: Persona) -> list[NotificationRecord]:
    """Every record of the tenant, oldest first."""
    with tenant_scope(who.tenant_id):
        return list(NotificationRecord.objects.order_by("id"))


def events(who: Persona) -> list[Event]:
    """Every event of the tenant, oldest first."""
    with tenant_scope(who.tenant_id):
        return list(Event.objects.order_by("id"))
