"""Unsubscribe links: signed, without a login, harmless to look at, one click, and a way back."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
from django.core.signing import Signer
from django.test import Client
from pytest_django import Settings

from notification_service.lib.scope import tenant_scope
from notifications.recipients.models import Suppression, SuppressionReason
from notifications.recipients.suppressions import NewSuppression, suppress
from notifications.recipients.unsubscribe import unsubscribe_headers, unsubscribe_url
from tenants.models import Tenant


@dataclass
class Message:
    tenant_id: UUID
    id: UUID
    channel: str = "email"
    recipient: str = "Ada@example.com"
    lane: str = "bulk"


@pytest.fixture
def message(tenant: Tenant) -> Message:
    return Message(tenant.id, uuid4())


def path(message: Message) -> str:
    return "/u/" + unsubscribe_url(message).rpartition("/u/")[2]


def suppressed(message: Message) -> list[tuple[str, str, UUID | None]]:
    with tenant_scope(message.tenant_id):
        return [(each.address, each.reason, each.source_record_id) for each in Suppression.objects.all()]


def test_bulk_email_carries_the_headers_of_one_click(message: Message, settings: Settings) -> None:
    settings.PUBLIC_URL = "https://notify.example.com"
    headers = unsubscribe_headers(message)
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert headers["List-Unsubscribe"].startswith("<https://notify.example.com/u/")
    assert headers["List-Unsubscribe"].endswith(">")
    assert len(headers["List-Unsubscribe"]) < 900, "RFC 5322: a line has at most 998 characters"
    for lane, channel in (("normal", "email"), ("critical", "email"), ("bulk", "sms")):
        assert unsubscribe_headers(Message(message.tenant_id, message.id, channel, lane=lane)) == {}


def test_looking_changes_nothing(message: Message) -> None:
    for _ in range(2):
        page = Client().get(path(message))
        assert page.status_code == 200
        assert page["Content-Type"].startswith("text/html")
        assert page["Cache-Control"] == "no-store"
        text = page.content.decode()
        assert "Unsubscribe from Acme?" in text
        assert "A•••@example.com" in text
    assert Client().head(path(message)).status_code == 200
    assert suppressed(message) == []


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "x/y"]
)
def test_one_click(message: Message, content_type: str) -> None:
    bodies = {"m": b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'}
    body = bodies.get(content_type[0], b"List-Unsubscribe=One-Click")
    strict = Client(enforce_csrf_checks=True)
    for _ in range(2):
        answer = strict.generic("POST", path(message), body, content_type=content_type)
        assert answer.status_code == 200
        assert "You are unsubscribed" in answer.content.decode()
    assert suppressed(message) == [("ada@example.com", "unsubscribed", message.id)]


def test_there_is_a_way_back(message: Message) -> None:
    client = Client()
    client.post(path(message), {"List-Unsubscribe": "One-Click"})
    assert "Subscribe again" in client.get(path(message)).content.decode()
    for _ in range(2):
        assert "Unsubscribe from Acme?" in client.post(path(message), {"action": "resubscribe"}).content.decode()
    assert suppressed(message) == []


def test_the_link_lifts_nothing_but_an_unsubscription(message: Message) -> None:
    with tenant_scope(message.tenant_id):
        suppress([NewSuppression("email", message.recipient, SuppressionReason.HARD_BOUNCE)], by="test")
    for form in ({"List-Unsubscribe": "One-Click"}, {"action": "resubscribe"}):
        text = Client().post(path(message), form).content.decode()
        assert "Nothing is sent to this address" in text
        assert "Subscribe again" not in text
    assert [reason for _, reason, _ in suppressed(message)] == ["hard_bounce"]


def test_only_we_can_write_a_link(message: Message) -> None:
    good = path(message)
    forged = Signer(key="guessed", salt="notifications.unsubscribe", sep=".").sign_object(["a", "b", "email", "c"])
    other_use = Signer(salt="another purpose", sep=".").sign_object(
        [message.tenant_id.hex, message.id.hex, "email", message.recipient]
    )
    for bad in (good[:-1], good + "x", "/u/x", "/u/" + forged, "/u/" + other_use, good.replace(".", "", 1)):
        for call in (Client().get, Client().post):
            answer = call(bad)
            assert (answer.status_code, "does not work" in answer.content.decode()) == (404, True), bad
    assert suppressed(message) == []


def test_a_link_of_a_tenant_that_is_gone(message: Message) -> None:
    message.tenant_id = uuid4()
    assert Client().post(path(message)).status_code == 404


def test_an_address_can_not_put_markup_on_the_page(message: Message) -> None:
    message.recipient = '"<b>x</b>"@<i>example.com'
    assert "<i>" not in Client().get(path(message)).content.decode()


def test_one_tenants_link_does_not_concern_another(message: Message, other_tenant: Tenant) -> None:
    Client().post(path(message))
    with tenant_scope(other_tenant.id):
        assert not Suppression.objects.exists()
