"""A receiver, an endpoint that points at it, and a dispatcher."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models import F
from pytest_django import Settings

from notification_service.lib.scope import tenant_scope
from notifications.webhooks import services
from notifications.webhooks.dispatcher import Dispatcher
from notifications.webhooks.models import WebhookDelivery, WebhookEndpoint
from tests.conftest import Persona
from tests.webhooks.receiver import Receiver

ENDPOINTS = "/api/v1/webhooks/endpoints"
DELIVERIES = "/api/v1/webhooks/deliveries"
DOOR = "/api/v1/projects/me/webhook"


@pytest.fixture(autouse=True)
def _on_premises(settings: Settings) -> None:
    settings.OUTBOUND_ALLOWED_NETWORKS = ["127.0.0.0/8"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    started = Receiver()
    started.start()
    yield started
    started.hangs = False
    started.stop()


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    started = Dispatcher()
    yield started
    started.close()


@pytest.fixture
def make_endpoint(admin: Persona, receiver: Receiver) -> Callable[..., dict[str, Any]]:
    """Make an endpoint of ``acme`` through the API, at the receiver unless it is told otherwise."""

    def make(**changes: Any) -> dict[str, Any]:
        answer = admin.client.post(ENDPOINTS, {"url": receiver.url(), **changes})
        assert answer.status_code == 201, answer.json()
        found: dict[str, Any] = answer.json()
        return found

    return make


@pytest.fixture
def deliver(admin: Persona, dispatcher: Dispatcher) -> Callable[..., None]:
    """Make the due deliveries of an endpoint, and wait until that is done."""

    def run(endpoint: dict[str, Any], wait: float | None = None) -> None:
        dispatcher.serve(admin.tenant_id, UUID(endpoint["id"]), wait=wait)

    return run


def publish(who: Persona, *keys: str, kind: str = "user.registered") -> int:
    """Tell of one thing for each key."""
    with tenant_scope(who.tenant_id):
        return sum(services.publish(kind, {"userId": key, "n": n}, key=key) for n, key in enumerate(keys))


def deliveries(who: Persona) -> list[WebhookDelivery]:
    """Every delivery of the tenant, the oldest first."""
    with tenant_scope(who.tenant_id):
        return list(WebhookDelivery.objects.order_by("id"))


def load(who: Persona, endpoint: dict[str, Any]) -> WebhookEndpoint:
    with tenant_scope(who.tenant_id):
        return WebhookEndpoint.objects.get(id=endpoint["id"])


def time_passes(who: Persona, **span: float) -> None:
    """Let everything that waits have happened so much earlier."""

    def earlier(*fields: str) -> dict[str, Any]:
        return {field: F(field) - timedelta(**span) for field in fields}

    with tenant_scope(who.tenant_id):
        WebhookDelivery.objects.update(**earlier("due_at", "not_before", "failing_since"))
        WebhookEndpoint.objects.update(**earlier("probe_at", "not_before", "failing_since", "last_success_at"))
