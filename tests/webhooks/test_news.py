"""What happens in the other rooms reaches webhooks, in the transactions in which it happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.utils import timezone

from notification_service.lib.redis import attempt
from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.credentials.models import Credential
from notifications.providers.base import Receipt as Report
from notifications.records import receipts
from notifications.records.engine import Engine
from notifications.records.models import NotificationRecord
from notifications.webhooks import services
from notifications.webhooks.models import WebhookDelivery
from notifications.webhooks.tasks import quotas
from tests.campaigns.conftest import act, create, finish, marketer  # noqa: F401 - fixture
from tests.conftest import Persona
from tests.records.conftest import (  # noqa: F401 - fixtures
    credential,
    engine,
    mail_program,
    mail_server,
    make_credential,
    posted,
)
from tests.webhooks.conftest import ENDPOINTS, deliveries

URL = "https://crm.acme.example/webhooks"


@pytest.fixture
def endpoint(admin: Persona) -> dict[str, Any]:
    found: dict[str, Any] = admin.client.post(ENDPOINTS, {"url": URL}).json()
    return found


def told(who: Persona) -> list[tuple[str, dict[str, Any]]]:
    return [(row.event_type, json.loads(row.body)["data"]) for row in deliveries(who)]


@pytest.mark.django_db(transaction=True)
def test_sent_and_failed(
    admin: Persona,
    posted: Callable[..., UUID],  # noqa: F811
    engine: Engine,  # noqa: F811
    endpoint: dict[str, Any],
) -> None:
    good, bad = posted(), posted(recipient="fail-permanent@example.com")
    engine.drain(admin.tenant_id, "normal")
    found = {data["notificationId"]: (kind, data) for kind, data in told(admin)}
    kind, data = found[str(good)]
    assert (kind, data["status"], data["channel"]) == ("notification.delivered", "delivered", "email")
    assert data["deliveredAt"].endswith("Z")
    kind, data = found[str(bad)]
    assert (kind, data["status"]) == ("notification.failed", "failed")
    assert data["failureReason"]
    assert len(found) == len(told(admin)) == 2


def _inbox_message(admin: Persona) -> str:
    sent = {"channel": "inapp", "recipient": str(admin.user.pk), "content": {"title": "Hello"}}
    answer = admin.client.post("/api/notifications/records/", sent)
    assert answer.status_code == 201, answer.json()
    return str(answer.json()["id"])


@pytest.mark.django_db(transaction=True)
def test_read_and_acknowledged(admin: Persona, engine: Engine, endpoint: dict[str, Any]) -> None:  # noqa: F811
    record = _inbox_message(admin)
    engine.drain(admin.tenant_id, "normal")
    for _ in range(2):
        assert admin.client.patch(f"/api/v1/users/me/notifications/{record}/read").status_code == 200
    assert admin.client.put(f"/api/v1/notifications/{record}/acknowledge").status_code == 200
    found = told(admin)
    kinds = [kind for kind, data in found if data["notificationId"] == record]
    assert kinds == ["notification.delivered", "notification.read", "notification.acknowledged"]
    assert {data["userId"] for _, data in found} == {str(admin.user.pk)}, "whose inbox it is"


def test_reports_of_providers(admin: Persona, credential: Credential, endpoint: dict[str, Any]) -> None:  # noqa: F811
    with tenant_scope(admin.tenant_id):
        sent = {"channel": "email", "recipient": "ada@example.com", "content": {"subject": "Hi", "body": "Hi"}}
        record = UUID(admin.client.post("/api/notifications/records/", sent).json()["id"])
        NotificationRecord.objects.filter(id=record).update(status="success", provider="sendgrid")
        for state in ("delivered", "delivered", "bounced"):
            report = Report("", state, timezone.now(), record_id=record)
            receipts.take_in("sendgrid", credential.id, [report])
    assert [kind for kind, _ in told(admin)] == ["notification.delivered", "notification.bounced"]


def test_people_who_are_new(admin: Persona, endpoint: dict[str, Any]) -> None:
    body = {"external_user_id": "crm-17", "email": "ada@example.com"}
    user = admin.client.post("/api/v1/users", body).json()
    ((kind, data),) = told(admin)
    assert (kind, data["userId"], data["id"]) == ("user.registered", "crm-17", user["id"])
    assert "ada@example.com" not in deliveries(admin)[0].body
    exported = admin.client.get(f"/api/v1/users/{user['id']}/export").json()
    assert len(exported["webhooks"]) == 1
    assert admin.client.delete(f"/api/v1/users/{user['id']}?erase=true").status_code == 204
    assert deliveries(admin) == [], "erased"


def test_quotas(admin: Persona, endpoint: dict[str, Any]) -> None:
    counter = f"tenant:{admin.tenant_id}:notifications:live:{timezone.now():%Y-%m}"
    for used in (3_999, 4_000, 4_500, 5_000, 5_000):
        attempt(lambda client, used=used: client.set(counter, used))  # type: ignore[misc]
        quotas()
    ((first, warned), (second, exceeded)) = told(admin)
    assert (first, second) == ("quota.warning", "quota.exceeded")
    assert (warned["used"], warned["percent"], exceeded["used"], exceeded["quota"]) == (4_000, 80, 5_000, 5_000)


def test_an_event_that_is_rolled_back_is_not_told(admin: Persona, endpoint: dict[str, Any]) -> None:
    with tenant_scope(admin.tenant_id):
        assert services.publish("campaign.completed", {"campaignId": "x"}) == 1
        transaction.set_rollback(True)
    assert told(admin) == []


def test_old_deliveries_are_forgotten(admin: Persona, endpoint: dict[str, Any]) -> None:
    with tenant_scope(admin.tenant_id):
        services.publish("campaign.completed", {"campaignId": "x"})
        services.publish("campaign.completed", {"campaignId": "y"})
        first = WebhookDelivery.objects.order_by("id").first()
        assert first is not None
        WebhookDelivery.objects.filter(id=first.id).update(status="delivered")
    with platform_scope("a test"):
        assert services.forget_old(timezone.now() - timedelta(days=1)) == 0
        assert services.forget_old(timezone.now() + timedelta(seconds=1)) == 1
    assert len(deliveries(admin)) == 1, "what is still to be made stays"


def test_chat_messages(admin: Persona, endpoint: dict[str, Any]) -> None:
    answer = admin.client.post("/api/messages/send/", {"recipient_id": "a-colleague", "text": "Between us"})
    assert answer.status_code == 201
    ((kind, data),) = told(admin)
    assert (kind, data["messageId"]) == ("message.created", answer.json()["id"])
    assert data["conversationId"] == answer.json()["conversation_id"]
    assert "Between us" not in deliveries(admin)[0].body


@pytest.mark.django_db(transaction=True)
def test_campaigns(
    marketer: Persona,  # noqa: F811
    engine: Engine,  # noqa: F811
) -> None:
    marketer.client.post(ENDPOINTS, {"url": URL, "event_types": ["campaign.completed"]})
    campaign = create(marketer)
    act(marketer, campaign, "launch")
    finish(marketer, campaign, engine)
    ((kind, data),) = told(marketer)
    assert (kind, data["campaignId"], data["channel"]) == ("campaign.completed", str(campaign), "email")
    assert data["recipients"] == data["sent"] > 0 == data["failed"] == data["suppressed"]
    assert data["completedAt"].endswith("Z")
