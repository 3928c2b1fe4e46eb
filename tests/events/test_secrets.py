"""Secrets of events arrive at the person, and are in clear nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.credentials.models import Credential
from notifications.events import secrets
from notifications.events.models import Event
from notifications.events.tasks import sweep
from notifications.records.engine import Engine
from tests.conftest import Persona
from tests.events.conftest import events, records, send
from tests.sandbox.conftest import Sandbox

LINK = "https://app.example.com/reset/7f3a9c<b>"
RESET: dict[str, Any] = {
    "type": "user.password.reset.requested",
    "payload": {"email": "ada@example.com", "name": "Ada", "reset_link": LINK, "api_key": "k-9182736455"},
}


def everything_stored() -> str:
    """The text of every row of every table of ours."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = [row[0] for row in cursor.fetchall()]
        found = []
        for table in tables:
            cursor.execute(f'SELECT t::text FROM "{table}" AS t')
            found += [row[0] for row in cursor.fetchall()]
    return "\n".join(found)


@pytest.mark.django_db(transaction=True)
def test_a_secret_reaches_the_mailbox_and_no_table(
    admin: Persona,
    make_credential: Callable[..., Credential],
    engine: Engine,
    mail_server: Sandbox,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make_credential(admin.tenant, mail_server.smtp_port)
    html = {"subject": "Reset", "html": "<p>{{reset_link}}</p>"}
    path = "/api/v1/events/catalogue/user.password.reset.requested"
    assert admin.client.put(path, {"templates": {"email": html}}).status_code == 200
    found = send(admin, RESET)
    assert found["payload"]["reset_link"] == "*secret:reset_link*"
    with platform_scope("test"):
        stored = everything_stored()
    assert "7f3a9c" not in stored
    assert "k-9182736455" not in stored
    engine.drain(admin.tenant_id, "critical")
    (message,) = mail_server.messages()
    assert LINK in message["text"]
    assert "https://app.example.com/reset/7f3a9c&lt;b&gt;" in message["html"]
    with platform_scope("test"):
        assert "7f3a9c" not in everything_stored()
        assert events(admin)[0].secrets_encrypted is not None
    sweep()
    assert events(admin)[0].secrets_encrypted is None
    assert "7f3a9c" not in caplog.text


def test_secrets_stay_while_a_message_waits_for_them(sender: Persona) -> None:
    send(sender, RESET)
    sweep()
    assert events(sender)[0].secrets_encrypted is not None
    with platform_scope("test"):
        Event.objects.update(received_at=timezone.now() - timedelta(days=4))
    sweep()
    assert events(sender)[0].secrets_encrypted is None
    assert len(records(sender)) == 1


def test_a_secret_can_not_be_moved_to_another_event(sender: Persona) -> None:
    send(sender, RESET)
    (event,) = events(sender)
    assert secrets.opened(event) == {"reset_link": LINK, "api_key": "k-9182736455"}
    with tenant_scope(sender.tenant_id):
        other = Event(tenant_id=sender.tenant_id, secrets_encrypted=event.secrets_encrypted)
    assert secrets.opened(other) == {}


def test_what_is_secret_is_found_at_any_depth() -> None:
    payload = {"user": {"password": "one"}, "codes": [{"token_type": "x", "secret": "two\nlines"}], "token": "address"}
    clean, taken = secrets.take_out("x", payload)
    assert clean["user"] == {"password": "*secret:user.password*"}
    assert clean["codes"] == [{"token_type": "x", "secret": "*secret:codes.0.secret*"}]
    assert clean["token"] == "address"
    assert taken == {"user.password": "one", "codes.0.secret": "two lines"}


def test_a_marker_that_somebody_wrote_reveals_nothing() -> None:
    assert secrets._fill("*secret:other* {{x}}", {"code": "1"}, markup=False) == "•••• {{x}}"
