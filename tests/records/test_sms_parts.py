"""A text message's record says how many parts it was sent in and what it cost."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from notification_service.lib.scope import tenant_scope
from notifications.credentials.services import create_credential
from notifications.records.engine import Engine
from tenants.callers import system_caller
from tests.conftest import Persona
from tests.records.conftest import RECORDS, load
from tests.sandbox.conftest import Sandbox

pytestmark = pytest.mark.django_db(transaction=True)

PAYLOAD = {"account_sid": "AC" + "1" * 32, "auth_token": "t", "from_phone": "+15005550006"}


@pytest.fixture
def text(admin: Persona, mail_server: Sandbox) -> Callable[..., UUID]:
    """Send a text message through the sandbox's Twilio; returns the record's id."""
    with tenant_scope(admin.tenant_id):
        payload = {**PAYLOAD, "base_url": f"{mail_server.url}/twilio"}
        create_credential(system_caller(admin.tenant_id, "test"), channel="sms", provider="twilio", payload=payload)

    def make(body: str, recipient: str = "+353861234567") -> UUID:
        answer = admin.client.post(RECORDS, {"channel": "sms", "recipient": recipient, "content": {"body": body}})
        assert answer.status_code == 201, answer.json()
        assert (answer.json()["segments"], answer.json()["encoding"]) == (None, None)
        return UUID(answer.json()["id"])

    return make


@pytest.mark.parametrize(
    ("body", "segments", "encoding"),
    [("Hello", 1, "GSM-7"), ("a" * 161, 2, "GSM-7"), ("ж" * 71, 2, "UCS-2")],
    ids=["short", "long", "cyrillic"],
)
def test_parts_are_stored_when_it_is_sent(
    admin: Persona, engine: Engine, text: Callable[..., UUID], body: str, segments: int, encoding: str
) -> None:
    record_id = text(body)
    engine.drain(admin.tenant_id, "normal")
    record = load(admin.tenant, record_id)
    assert (record.status, record.segments, record.encoding) == ("success", segments, encoding)
    shown = admin.client.get(f"{RECORDS}{record_id}/").json()
    assert (shown["segments"], shown["encoding"], shown["price"]) == (segments, encoding, None)


def test_other_channels_have_none_in_the_same_batch(
    admin: Persona, engine: Engine, text: Callable[..., UUID], posted: Callable[..., Any]
) -> None:
    sms, mail = text("Hello"), posted()
    engine.drain(admin.tenant_id, "normal")
    assert [load(admin.tenant, each).segments for each in (sms, mail)] == [1, None]
    assert load(admin.tenant, mail).encoding == ""


def test_a_price_is_shown_as_it_was_charged(admin: Persona, text: Callable[..., UUID]) -> None:
    record_id = text("Hello")
    with tenant_scope(admin.tenant_id):
        type(load(admin.tenant, record_id)).objects.filter(id=record_id).update(
            price=Decimal("10.500000"), price_currency="EUR"
        )
    shown = admin.client.get(f"{RECORDS}{record_id}/").json()
    assert (shown["price"], shown["price_currency"]) == ("10.5", "EUR")
