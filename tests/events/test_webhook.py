"""The trigger from outside: with an API key, or signed by a source."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from rest_framework.test import APIClient

from notifications.events import sources
from tests.conftest import Persona
from tests.events.conftest import events, records

WEBHOOK = "/api/notifications/webhook/"
SOURCES = "/api/v1/events/sources"
BODY: dict[str, Any] = {
    "channel": "email",
    "recipient": "ada@example.com",
    "content": {"subject": "Parcel {{number}}"},
    "context": {"number": "17"},
}


def signed(source: dict[str, Any], body: dict[str, Any], *, at: float | None = None, secret: str = "") -> Any:
    raw, timestamp = json.dumps(body).encode(), str(int(at or time.time()))
    return APIClient().post(
        WEBHOOK,
        raw,
        content_type="application/json",
        HTTP_X_WEBHOOK_SOURCE=source["id"],
        HTTP_X_WEBHOOK_TIMESTAMP=timestamp,
        HTTP_X_WEBHOOK_SIGNATURE=sources.sign(secret or source["secret"], timestamp, raw),
    )


@pytest.fixture
def source(sender: Persona) -> dict[str, Any]:
    answer = sender.client.post(SOURCES, {"name": "Parcels"})
    assert answer.status_code == 201
    made: dict[str, Any] = answer.json()
    return made


def test_an_api_key_may_trigger(sender: Persona, api_key_client: Any) -> None:
    answer = api_key_client(sender.tenant).post(WEBHOOK, {**BODY, "tenant_id": str(sender.tenant_id)})
    assert answer.status_code == 201
    (record,), (event,) = records(sender), events(sender)
    assert answer.json() == {
        "event_id": str(event.id),
        "id": str(record.id),
        "status": "pending",
        "duplicate": False,
    }
    assert (record.event_id, record.context, event.type) == (event.id, {"number": "17"}, "notification.requested")


def test_a_signed_call_is_done_once(sender: Persona, source: dict[str, Any]) -> None:
    now = time.time()
    first, again = signed(source, BODY, at=now), signed(source, BODY, at=now)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert len(records(sender)) == 1
    own_id = {**BODY, "event_id": "parcel-17"}
    assert signed(source, own_id, at=now - 1).status_code == 201
    assert signed(source, own_id, at=now - 2).status_code == 200
    assert sender.client.get(f"{SOURCES}/{source['id']}").json()["last_used_at"]


def test_what_is_not_signed_rightly_is_refused(sender: Persona, stranger: Persona, source: dict[str, Any]) -> None:
    refusals = [
        signed(source, BODY, secret="evs_guess"),
        signed(source, BODY, at=time.time() - 301),
        signed(source, BODY, at=time.time() + 301),
        signed({**source, "id": "01a1f945-17a8-70a7-a3c8-1a9deeb10f4a"}, BODY),
        signed({**source, "id": "no id"}, BODY),
    ]
    sender.client.patch(f"{SOURCES}/{source['id']}", {"enabled": False})
    refusals.append(signed(source, BODY))
    assert [(each.status_code, each.json()["code"]) for each in refusals] == [(401, "invalid_signature")] * 6
    assert len({each.content for each in refusals}) == 1, "an answer must not say what was wrong"
    sender.client.patch(f"{SOURCES}/{source['id']}", {"enabled": True})
    other = signed(source, {**BODY, "tenant_id": str(stranger.tenant_id)})
    assert (other.status_code, other.json()["code"]) == (403, "wrong_tenant")
    assert records(sender) == records(stranger) == []


def test_a_new_secret_voids_the_old(sender: Persona, source: dict[str, Any]) -> None:
    changed = sender.client.patch(f"{SOURCES}/{source['id']}", {"rotate_secret": True}).json()
    assert signed(source, BODY).status_code == 401
    assert signed(changed, BODY).status_code == 201
    assert "secret" not in sender.client.get(f"{SOURCES}/{source['id']}").json()
    assert sender.client.delete(f"{SOURCES}/{source['id']}").status_code == 204
    assert signed(changed, BODY).status_code == 401


def test_bad_input_names_the_field_and_leaves_nothing(sender: Persona, stranger: Persona) -> None:
    bad = sender.client.post(WEBHOOK, {**BODY, "context": {}})
    assert (bad.status_code, list(bad.json()["errors"])) == (400, ["context.number"])
    assert sender.client.post(WEBHOOK, {**BODY, "recipient": "nobody"}).json()["errors"].keys() == {"recipient"}
    assert events(sender) == []
    assert APIClient().post(WEBHOOK, BODY).json()["code"] == "not_authenticated"
    assert stranger.client.get(SOURCES).json()["count"] == 0


def test_who_may_not_send_may_not_trigger(sender: Persona, api_key_client: Any) -> None:
    client = api_key_client(sender.tenant, scopes=["events:read"])
    assert client.post(WEBHOOK, BODY).status_code == 403
    assert client.get(SOURCES).status_code == 403
    assert sender.client.post(SOURCES, {"name": "A"}).status_code == 201
    assert sender.client.post(SOURCES, {"name": "A"}).status_code == 409
