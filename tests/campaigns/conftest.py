"""A tenant whose campaigns are really sent: a mail server, an engine, and somebody who takes the turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from notification_service.lib.scope import tenant_scope
from notifications.campaigns.models import Campaign, CampaignRecipient
from notifications.campaigns.turns import run_turn
from notifications.credentials.models import Credential
from notifications.records.engine import Engine
from notifications.records.models import NotificationRecord
from tests.batches.conftest import uploads_directory  # noqa: F401 - fixture
from tests.conftest import Persona
from tests.records.conftest import (  # noqa: F401 - fixtures
    _database_is_up,
    credential,
    engine,
    mail_program,
    mail_server,
    make_credential,
    sender,
)
from tests.sandbox.conftest import Sandbox

CAMPAIGNS = "/api/notifications/campaigns/"
CONTENT = {
    "subject": "Hi {{name}}",
    "body": '<p>Dear {{name}}, <a href="https://acme.example/offer?a=1&amp;b=2">look</a></p>',
}


def people(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Return recipients person0 … with their names."""
    return [
        {"recipient": f"person{n}@example.com", "context": {"name": f"Person {n}"}} for n in range(start, start + count)
    ]


def draft(**changes: Any) -> dict[str, Any]:
    """Return the body of a campaign by email; ``...`` takes a field out."""
    body = {"name": "Promo", "channel": "email", "content": CONTENT, "recipients": people(3), **changes}
    return {name: value for name, value in body.items() if value is not ...}


def create(persona: Persona, **changes: Any) -> UUID:
    """Create a campaign; returns its id."""
    answer = persona.client.post(CAMPAIGNS, draft(**changes))
    assert answer.status_code == 201, answer.json()
    return UUID(answer.json()["id"])


def act(persona: Persona, campaign_id: UUID, verb: str, body: Any = None, status: int = 200) -> Any:
    """Post a verb of a campaign."""
    answer = persona.client.post(f"{CAMPAIGNS}{campaign_id}/{verb}/", body)
    assert answer.status_code == status, answer.json()
    return answer.json()


def look(persona: Persona, campaign_id: UUID, what: str = "progress") -> Any:
    """Get a page of a campaign."""
    answer = persona.client.get(f"{CAMPAIGNS}{campaign_id}/{what}/")
    assert answer.status_code == 200, answer.json()
    return answer.json()


def load(persona: Persona, campaign_id: UUID) -> Campaign:
    """Return a campaign as the database has it."""
    with tenant_scope(persona.tenant_id):
        return Campaign.objects.get(id=campaign_id)


def change(persona: Persona, campaign_id: UUID, **fields: Any) -> None:
    """Set columns of a campaign, as time would."""
    with tenant_scope(persona.tenant_id):
        assert Campaign.objects.filter(id=campaign_id).update(**fields) == 1


def records(persona: Persona, campaign_id: UUID, **conditions: Any) -> list[NotificationRecord]:
    """Return the records of a campaign."""
    with tenant_scope(persona.tenant_id):
        return list(NotificationRecord.objects.filter(campaign_id=campaign_id, **conditions).order_by("id"))


def rows(persona: Persona, campaign_id: UUID, **conditions: Any) -> list[CampaignRecipient]:
    """Return the recipients of a campaign."""
    with tenant_scope(persona.tenant_id):
        return list(CampaignRecipient.objects.filter(campaign_id=campaign_id, **conditions).order_by("number", "id"))


def take_turns(persona: Persona, campaign_id: UUID, most: int = 50) -> None:
    """Take turns until none is due at once."""
    for _ in range(most):
        wait = run_turn(persona.tenant_id, campaign_id)
        if wait is None or wait > 0:
            return
    raise AssertionError("its turns do not end")


def finish(persona: Persona, campaign_id: UUID, engine: Engine, seconds: float = 60) -> dict[str, Any]:  # noqa: F811
    """Take turns and drain until the campaign is over; returns its progress."""
    deadline = time.monotonic() + seconds
    while True:
        take_turns(persona, campaign_id)
        engine.drain(persona.tenant_id, "bulk")
        change(persona, campaign_id, next_turn_at=timezone.now())
        take_turns(persona, campaign_id)
        progress: dict[str, Any] = look(persona, campaign_id)
        if progress["status"] in ("completed", "cancelled", "failed"):
            return progress
        assert time.monotonic() < deadline, progress


def caught(server: Sandbox, *, view: str = "summary") -> list[dict[str, Any]]:
    """Return all messages that the mail server holds, newest first."""
    found: list[dict[str, Any]] = []
    while page := server.messages(limit=1000, view=view, **({"before": found[-1]["id"]} if found else {})):
        found += page
    return found


def addresses(server: Sandbox) -> list[str]:
    """Return to whom the mail server got messages, in alphabetical order, as often as it did."""
    return sorted(message["to"] if isinstance(message["to"], str) else message["to"][0] for message in caught(server))


@pytest.fixture
def marketer(admin: Persona, mail_server: Sandbox, make_credential: Callable[..., Credential]) -> Persona:  # noqa: F811
    """An admin of ``acme``, which sends through the mail server."""
    make_credential(admin.tenant, mail_server.smtp_port)
    return admin
