"""The admin: every page of every model answers, secrets and contents stay out of sight, nothing can be changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from notification_service.lib.scope import tenant_scope
from notifications.credentials.models import Credential
from notifications.credentials.services import create_credential
from notifications.records.intake import NewRecord, accept
from notifications.records.models import Attempt, IdempotencyKey, NotificationRecord, Receipt, RecordEvent
from notifications.records.services import cancel_record
from notifications.records.states import Status
from tenants.callers import system_caller
from tenants.isolation import tenant_models
from tenants.models import Tenant, User

PASSWORD = "correct horse battery staple"
ROOMS = {"credentials", "records"}
REGISTERED = [model for model in admin.site._registry if model._meta.app_label in ROOMS]


@pytest.fixture
def desk(db: None) -> Client:
    """A browser that a platform super admin is signed in with."""
    client = Client()
    client.force_login(User.objects.create_superuser("root@platform.example"))
    return client


@pytest.fixture
def rows(tenant: Tenant) -> dict[type[models.Model], models.Model]:
    """A row of each model of the two rooms, as the services leave them."""
    caller, now = system_caller(tenant.id, "test"), timezone.now()
    payload = {"host": "mail.acme.example", "username": "acme", "password": PASSWORD, "from_email": "no@acme.example"}
    with tenant_scope(tenant.id):
        credential = create_credential(caller, channel="email", payload=payload, name="Mail of Acme")
        record = accept(caller, NewRecord("email", "ada@example.com", {"subject": "Your code", "body": "4711-secret"}))
        receipt = Receipt.objects.create(
            tenant=tenant,
            provider="twilio",
            credential_id=credential.id,
            event_key="SM1:delivered",
            record_id=record.id,
            state="delivered",
            occurred_at=now,
            received_at=now,
        )
        attempt = Attempt.objects.create(
            tenant=tenant,
            record_id=record.id,
            number=1,
            provider="smtp",
            outcome=Status.RETRYING,
            failure_reason="provider_error",
            response="451 come back later",
            started_at=timezone.now(),
            finished_at=timezone.now(),
        )
        cancel_record(caller, record.id)
        event = RecordEvent.objects.get(record_id=record.id)
        key = IdempotencyKey.objects.create(
            tenant=tenant,
            key="order-1",
            request_hash=b"0" * 32,
            response={"content": {"body": "4711-secret"}},
            expires_at=now + timedelta(hours=1),
        )
        record.refresh_from_db()
    return {
        Credential: credential,
        NotificationRecord: record,
        Attempt: attempt,
        RecordEvent: event,
        IdempotencyKey: key,
        Receipt: receipt,
    }


def page(model: type[models.Model], name: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def test_every_model_of_the_two_rooms_is_registered() -> None:
    from django.apps import apps

    owned = {model for model in tenant_models(apps) if model._meta.app_label in ROOMS}
    assert owned == set(REGISTERED)


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model.__name__)
def test_list_and_detail_answer(
    desk: Client, rows: dict[type[models.Model], models.Model], model: type[models.Model]
) -> None:
    listed = desk.get(page(model, "changelist"))
    assert listed.status_code == 200
    assert str(rows[model].pk) in listed.text
    shown = desk.get(page(model, "change", rows[model].pk))
    assert shown.status_code == 200
    for text in (listed.text, shown.text):
        assert PASSWORD not in text
        assert "4711-secret" not in text


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model.__name__)
def test_nothing_is_added_changed_or_deleted(
    desk: Client, rows: dict[type[models.Model], models.Model], model: type[models.Model]
) -> None:
    row = rows[model].pk
    assert desk.post(page(model, "add"), {}).status_code == 403
    assert desk.post(page(model, "change", row), {}).status_code == 403
    assert desk.post(page(model, "delete", row), {"post": "yes"}).status_code == 403


def test_a_record_tells_its_story(desk: Client, rows: dict[type[models.Model], models.Model]) -> None:
    text = desk.get(page(NotificationRecord, "change", rows[NotificationRecord].pk)).text
    story = [text.index(word) for word in ("accepted → pending", "451 come back later", "cancelled → cancelled")]
    assert story == sorted(story)


def test_a_credential_shows_its_settings_with_the_secret_masked(
    desk: Client, rows: dict[type[models.Model], models.Model]
) -> None:
    text = desk.get(page(Credential, "change", rows[Credential].pk)).text
    assert "host: mail.acme.example" in text
    assert f"password: ••••{PASSWORD[-4:]}" in text


@pytest.mark.parametrize("term", ["acme", "ada@example.com", "tenant", "record"])
def test_records_are_found(desk: Client, rows: dict[type[models.Model], models.Model], term: str) -> None:
    record = rows[NotificationRecord]
    assert isinstance(record, NotificationRecord)
    term = {"tenant": str(record.tenant_id), "record": str(record.id)}.get(term, term)
    assert str(record.pk) in desk.get(page(NotificationRecord, "changelist"), {"q": term}).text


@pytest.mark.parametrize("term", ["globex", "ada@example", "01a1f945-17a8-70a7-a3c8-1a9deeb10f4a"])
def test_what_is_searched_for_and_not_there_is_not_found(
    desk: Client, rows: dict[type[models.Model], models.Model], term: str
) -> None:
    text = desk.get(page(NotificationRecord, "changelist"), {"q": term}).text
    assert str(rows[NotificationRecord].pk) not in text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status__exact": "cancelled"}, True),
        ({"status__exact": "success"}, False),
        ({"channel": "email"}, True),
        ({"failure_reason": "expired"}, False),
        ({"made": "hour"}, True),
    ],
)
def test_filters(
    desk: Client, rows: dict[type[models.Model], models.Model], query: dict[str, str], found: bool
) -> None:
    response = desk.get(page(NotificationRecord, "changelist"), query)
    assert response.status_code == 200
    assert (str(rows[NotificationRecord].pk) in response.text) is found


def test_a_list_of_ten_thousand_records_is_never_counted(
    desk: Client, rows: dict[type[models.Model], models.Model], tenant: Tenant
) -> None:
    now = timezone.now()
    with tenant_scope(tenant.id):
        NotificationRecord.objects.bulk_create(
            (
                NotificationRecord(
                    tenant=tenant,
                    channel="email",
                    recipient=f"user-{number}@example.com",
                    due_at=now,
                    expires_at=now,
                    created_at=now,
                    updated_at=now,
                )
                for number in range(10_000)
            ),
            batch_size=2000,
        )
    with CaptureQueriesContext(
        connection,
    ) as queries:
        first = desk.get(page(NotificationRecord, "changelist"))
        second = desk.get(page(NotificationRecord, "changelist"), {"p": 2})
    assert "user-9999@example.com" in first.text
    assert "user-9949@example.com" in second.text
    of_records = [query["sql"] for query in queries if "notification_record" in query["sql"]]
    assert len(of_records) == 2
    assert all("LIMIT 50" in sql for sql in of_records)
    assert not any("COUNT(" in sql or "DISTINCT" in sql for sql in of_records)


def test_who_is_no_staff_sees_nothing(
    admin: object, rows: object, make_member: Callable[..., User], tenant: Tenant
) -> None:
    client = Client()
    client.force_login(make_member(tenant, "owner"))
    response = client.get(page(NotificationRecord, "changelist"))
    assert response.status_code == 302
    assert "/admin/login/" in response["Location"]


def test_every_admin_page_reads_and_none_writes() -> None:
    for model in REGISTERED:
        registered: ModelAdmin[models.Model] = admin.site._registry[model]
        assert registered.actions is None
