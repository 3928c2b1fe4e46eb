"""Emails with copies, header fields and attachments, from the API to the mail server."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from notification_service.lib.ids import new_id
from notification_service.lib.scope import tenant_scope
from notifications.providers.base import Receipt as Report
from notifications.recipients.models import Suppression
from notifications.records import queue
from notifications.records.engine import Engine
from notifications.records.receipts import take_in
from notifications.records.states import DeliveryState
from tests.conftest import Persona
from tests.records.conftest import RECORDS, example, load
from tests.sandbox.conftest import Sandbox

CONTENT: dict[str, Any] = {
    "subject": "Invoice {{name}}",
    "html": '<img src="cid:logo">',
    "cc": ["bob@example.com"],
    "bcc": ["eve@example.com"],
    "headers": {"X-Order": "{{name}}"},
    "attachments": [
        {"filename": "invoice.pdf", "content": b64encode(b"%PDF" * 1000).decode()},
        {"filename": "logo.png", "content": b64encode(b"PNG").decode(), "content_id": "logo"},
    ],
}


@pytest.mark.django_db(transaction=True)
def test_everything_arrives(posted: Callable[..., UUID], engine: Engine, admin: Persona, mail_server: Sandbox) -> None:
    posted(content=CONTENT, context={"name": "7"})
    assert engine.drain(admin.tenant.id, "normal") == 1
    caught = mail_server.messages()
    assert sorted(each["to"] for each in caught) == ["ada@example.com", "bob@example.com", "eve@example.com"]
    for message in caught:
        assert (message["cc"], message["bcc"]) == (["bob@example.com"], ["eve@example.com"])
        assert message["headers"]["X-Order"] == "7"
        assert "Bcc" not in message["headers"]
        assert sorted((file["filename"], file["size"]) for file in message["attachments"]) == [
            ("invoice.pdf", 4000),
            ("logo.png", 3),
        ]


@pytest.mark.django_db(transaction=True)
def test_the_api_shows_sizes_and_keeps_contents_to_itself(sender: Persona) -> None:
    made = sender.client.post(RECORDS, example(content=CONTENT)).json()
    shown = [
        {"filename": "invoice.pdf", "content_type": "application/pdf", "size": 4000},
        {"filename": "logo.png", "content_type": "image/png", "content_id": "logo", "size": 3},
    ]
    assert made["content"]["attachments"] == shown
    for answer in (sender.client.get(f"{RECORDS}{made['id']}/").json(), *sender.client.get(RECORDS).json()["results"]):
        assert answer["content"] == {**made["content"], "attachments": shown}
    assert load(sender.tenant, made["id"]).content["attachments"][0]["content"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"headers": {"Bcc": "x@y.test"}}, "headers.Bcc"),
        ({"cc": ["nobody"]}, "cc"),
        ({"attachments": [{"filename": "a", "content": "?"}]}, "attachments.0.content"),
    ],
    ids=["header", "copy", "attachment"],
)
def test_what_is_wrong_is_named(sender: Persona, content: dict[str, Any], field: str) -> None:
    answer = sender.client.post(RECORDS, example(content={"subject": "x", **content}))
    assert answer.status_code == 400
    assert any(name.startswith(field) for name in answer.json()["errors"]), answer.json()


@pytest.mark.django_db
def test_too_much_names_the_field(sender: Persona, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notifications.channels.email.EmailChannel.max_attached", 100)
    answer = sender.client.post(RECORDS, example(content=CONTENT))
    assert answer.status_code == 400
    assert "at most 100" in answer.json()["errors"]["attachments"][0]


@pytest.mark.django_db(transaction=True)
def test_a_claim_takes_no_more_than_fits_into_memory(sender: Persona, monkeypatch: pytest.MonkeyPatch) -> None:
    large = {"subject": "x", "attachments": [{"filename": "a", "content": b64encode(os.urandom(80_000)).decode()}]}
    for content in (large, large, large, {"subject": "small"}):
        assert sender.client.post(RECORDS, example(content=content)).status_code == 201
    monkeypatch.setattr(queue, "_CLAIM", queue._CLAIM.replace(str(queue._MOST_OCTETS), "240000"))
    sizes = []
    for _ in range(4):
        with tenant_scope(sender.tenant.id):
            sizes.append(len(queue.claim(sender.tenant.id, "normal", token=new_id(), limit=10)))
    assert sizes == [2, 2, 0, 0]


@pytest.mark.django_db(transaction=True)
def test_what_happens_to_a_copy_is_not_the_fate_of_the_record(sender: Persona) -> None:
    made = sender.client.post(RECORDS, example(content=CONTENT)).json()
    credential_id = new_id()

    def report(address: str, state: Any, *, suppress: bool) -> Report:
        return Report("m1", state, datetime.now(UTC), UUID(made["id"]), address=address, suppress=suppress)

    with tenant_scope(sender.tenant.id):
        take_in("sendgrid", credential_id, [report("Bob@example.com", "bounced", suppress=True)])
        assert [each.address for each in Suppression.objects.all()] == ["bob@example.com"]
    assert load(sender.tenant, made["id"]).delivery_state == DeliveryState.NONE
    with tenant_scope(sender.tenant.id):
        take_in("sendgrid", credential_id, [report("Ada@example.com", "delivered", suppress=False)])
    assert load(sender.tenant, made["id"]).delivery_state == DeliveryState.DELIVERED
    steps = sender.client.get(f"{RECORDS}{made['id']}/timeline/").json()["timeline"]
    assert [step.get("copy") for step in steps if step["event"] in ("bounced", "delivered")] == [
        "Bob@example.com",
        None,
    ]
