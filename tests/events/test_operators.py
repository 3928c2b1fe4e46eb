"""What operators see: admin pages without secrets, letters taken in again, figures."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from notification_service.lib.scope import platform_scope
from notifications.events import lag
from notifications.events.dead_letters import Letter, bury
from notifications.events.models import DeadLetter
from tenants.models import User
from tests.conftest import Persona
from tests.events.conftest import events, send
from tests.events.test_rules import TRANSACTION, rule

TOKEN = "a-token-for-metrics"
MODELS = [model for model in admin.site._registry if model._meta.app_label == "events"]


@pytest.fixture
def desk(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root@platform.example"))
    return client


def letter(who: Persona, message: bytes) -> DeadLetter:
    with platform_scope("test"):
        bury([Letter("hr-events", 1, 7, "key", message, "unknown_tenant", "There was no such tenant.", None)])
        return DeadLetter.objects.get()


def test_every_page_answers_and_shows_no_secret(sender: Persona, desk: Client) -> None:
    rule(sender, delaySeconds=60)
    send(sender, TRANSACTION)
    reset = {"email": "ada@example.com", "reset_link": "https://x.example/7f3a9c"}
    send(sender, {"type": "user.password.reset.requested", "payload": reset})
    sender.client.post("/api/v1/events/sources", {"name": "Parcels"})
    letter(sender, b'{"password": "hunter2-hunter2"}')
    assert len(MODELS) == 9
    for model in MODELS:
        name = f"admin:events_{model._meta.model_name}"
        page = desk.get(reverse(f"{name}_changelist"))
        assert page.status_code == 200, name
        texts = [page.content.decode()]
        with platform_scope("test"):
            row: Any = model._default_manager.first()
        if row is not None:
            one = desk.get(reverse(f"{name}_change", args=[row.pk]))
            assert one.status_code == 200, name
            texts.append(one.content.decode())
        assert not [text for text in texts if "7f3a9c" in text or "hunter2" in text], name


def test_staff_take_a_letter_in_again(sender: Persona, desk: Client) -> None:
    message = b'{"event_type": "task.assigned", "tenant_id": "%s", "payload": {"title": "X"}}'
    buried = letter(sender, message % str(sender.tenant_id).encode())
    form = {"action": "replay", "_selected_action": [str(buried.id)]}
    answer = desk.post(reverse("admin:events_deadletter_changelist"), form, follow=True)
    assert answer.status_code == 200
    (event,) = events(sender)
    assert str(event.id) in answer.content.decode()
    again = desk.post(reverse("admin:events_deadletter_changelist"), form, follow=True)
    assert "taken in already" in again.content.decode()


def test_lag_and_counts_are_among_the_metrics(db: None, client: Client, settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN
    lag.tell({("hr-events", 0): 12})
    lag.count({"new": 3, "dead": 1})
    text = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).content.decode()
    assert 'notifications_kafka_lag{partition="0",topic="hr-events"} 12.0' in text
    assert 'notifications_kafka_messages_total{kind="dead"} 1.0' in text
    lag.forget([("hr-events", 0)])
    assert lag.lags() == {}
