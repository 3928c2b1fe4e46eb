"""Rows by the thousand: written once however often, suppressed where they must be, sent like any other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError
from django.utils import timezone

from notification_service.lib.ids import new_id
from notification_service.lib.scope import tenant_scope
from notifications.credentials.models import Credential
from notifications.records.bulk import Row, Shared, Written, write_rows
from notifications.records.engine import Engine
from notifications.records.models import NotificationRecord
from tests.conftest import Persona
from tests.sandbox.conftest import Sandbox

CONTENT = {"subject": "Hi {{name}}", "text": "Welcome, {{name}}."}


def shared(**changes: Any) -> Shared:
    now = timezone.now()
    return Shared("email", **{"due_at": now, "expires_at": now + timedelta(hours=1), "content": CONTENT, **changes})


def row(number: int, **changes: Any) -> Row:
    return Row(new_id(), f"person{number}@example.com", {"name": f"Person {number}"}, **changes)


@pytest.mark.django_db(transaction=True)
def test_rows_become_records_and_are_sent(
    admin: Persona, make_credential: Callable[..., Credential], engine: Engine, mail_server: Sandbox
) -> None:
    make_credential(admin.tenant, mail_server.smtp_port)
    tenant_id, batch_id = admin.tenant_id, uuid4()
    with tenant_scope(tenant_id):
        assert write_rows(shared(batch_id=batch_id), [row(n) for n in range(30)]) == Written(30, 0)
    engine.drain(tenant_id, "bulk")
    assert len(mail_server.messages()) == 30
    with tenant_scope(tenant_id):
        assert set(NotificationRecord.objects.filter(batch_id=batch_id).values_list("status", flat=True)) == {"success"}


def test_a_row_written_twice_is_written_once(sender: Persona) -> None:
    rows = [row(n) for n in range(3)]
    with tenant_scope(sender.tenant_id):
        assert write_rows(shared(), rows[:2]) == Written(2, 0)
        assert write_rows(shared(), rows) == Written(1, 0)
        assert NotificationRecord.objects.count() == 3
        assert write_rows(shared(), []) == Written(0, 0)


def test_who_must_not_be_written_to_is_recorded_with_the_reason(sender: Persona) -> None:
    barred = {"channel": "email", "address": "Person1@example.com"}
    assert sender.client.post("/api/notifications/suppressions/", barred).status_code == 201
    rows = [row(0), row(1), row(2, withheld="preference:news")]
    with tenant_scope(sender.tenant_id):
        assert write_rows(shared(), rows) == Written(1, 2)
        rows_of = NotificationRecord.objects.order_by("id")
        found = list(rows_of.values_list("status", "failure_reason", "provider_response"))
    assert found == [
        ("pending", "", ""),
        ("suppressed", "suppressed", "manual"),
        ("suppressed", "suppressed", "preference:news"),
    ]


def test_a_category_is_suppressed_alone(sender: Persona) -> None:
    barred = {"channel": "email", "address": "person1@example.com", "category": "news"}
    assert sender.client.post("/api/notifications/suppressions/", barred).status_code == 201
    with tenant_scope(sender.tenant_id):
        assert write_rows(shared(), [row(1), row(1, metadata={"category": "news"})]) == Written(1, 1)
        assert write_rows(shared(metadata={"category": "news"}), [row(1), row(1, metadata={})]) == Written(1, 1)


def test_rows_have_times_and_contents_of_their_own(sender: Persona) -> None:
    later = timezone.now() + timedelta(hours=3)
    rows = [row(0), row(1, due_at=later, content={"text": "Other"}, locale="de", user_id="u1")]
    with tenant_scope(sender.tenant_id):
        write_rows(shared(), rows)
        first, second = NotificationRecord.objects.order_by("id")
    assert (first.content, second.content, second.locale, second.user_id) == (CONTENT, {"text": "Other"}, "de", "u1")
    assert second.due_at == later
    assert abs((second.expires_at - second.due_at) - timedelta(hours=1)) < timedelta(seconds=1)


def test_another_tenant_can_not_be_written_for(sender: Persona, stranger: Persona) -> None:
    with tenant_scope(stranger.tenant_id):
        write_rows(shared(), [row(1)])
    with tenant_scope(sender.tenant_id):
        assert NotificationRecord.objects.count() == 0
    with pytest.raises(DatabaseError), tenant_scope(sender.tenant_id):
        write_rows(shared(), [row(1, user_id="\x00")])
