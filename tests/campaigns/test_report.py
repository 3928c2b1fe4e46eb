"""The report adds up, and its file is one that a spreadsheet opens without running anything."""

from __future__ import annotations

import csv
import io
from random import Random
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.urls import reverse

from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.campaigns import progress, tallies
from notifications.campaigns.models import Campaign, CampaignRecipient, CampaignTally
from notifications.campaigns.progress import Progress
from notifications.campaigns.tasks import tick, turn
from notifications.records.engine import Engine
from tenants import limits
from tenants.models import AuditLog, Tenant, User
from tenants.models.tenant import Plan
from tests.campaigns.conftest import CAMPAIGNS, act, addresses, create, finish, load, look, people, records, take_turns
from tests.conftest import Persona
from tests.records.conftest import tokens
from tests.sandbox.conftest import Sandbox


def table(persona: Persona, campaign_id: UUID) -> list[dict[str, str]]:
    """Return the lines of a campaign's file."""
    answer: Any = persona.client.get(look(persona, campaign_id, "report")["csv"])
    assert "attachment" in answer["Content-Disposition"]
    return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))


@pytest.mark.django_db(transaction=True)
def test_five_thousand_get_it_once_each_and_the_report_adds_up(
    marketer: Persona, engine: Engine, mail_server: Sandbox
) -> None:
    Tenant.objects.filter(id=marketer.tenant_id).update(plan=Plan.PROFESSIONAL)
    limits.forget(marketer.tenant_id)
    chance = Random(7)
    distinct = [one["recipient"] for one in people(5_000)]
    refused = [f"fail-permanent+{n}@example.com" for n in range(20)]
    suppressed = chance.sample(distinct, 40)
    for address in suppressed:
        body = {"channel": "email", "address": address}
        assert marketer.client.post("/api/notifications/suppressions/", body).status_code == 201
    twice = [address.upper().replace("EXAMPLE.COM", "example.com") for address in chance.sample(distinct, 300)]
    to = [{"recipient": address, "context": {"name": "N"}} for address in [*distinct, *refused, *twice]]
    chance.shuffle(to)
    campaign_id = create(marketer, recipients=to[:3_000])
    act(marketer, campaign_id, "recipients", {"recipients": to[3_000:]}, status=201)
    act(marketer, campaign_id, "launch")
    take_turns(marketer, campaign_id)
    act(marketer, campaign_id, "pause")
    engine.drain(marketer.tenant_id, "bulk")
    assert addresses(mail_server) == []
    act(marketer, campaign_id, "resume")
    done = finish(marketer, campaign_id, engine, seconds=180)
    expected = {address.lower() for address in set(distinct) - set(suppressed)}
    found = [address.lower() for address in addresses(mail_server)]
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert (done["total"], done["duplicates"], done["withheld"], done["failed"]) == (5_020, 300, 40, 20)
    assert done["sent"] + done["failed"] + done["withheld"] == done["total"]
    report = look(marketer, campaign_id, "report")
    assert (report["sent"], report["suppressions"]) == (4_960, {"manual": 40})
    assert sum(report["failures"].values()) == 20
    lines = table(marketer, campaign_id)
    assert len(lines) == 5_020
    told = [line["status"] for line in lines]
    assert (told.count("success"), told.count("failed"), told.count("suppressed")) == (4_960, 20, 40)
    with tenant_scope(marketer.tenant_id):
        tallies.fold(campaign_id, above=0)
    assert look(marketer, campaign_id, "report") == report


def test_no_cell_of_the_file_is_a_formula(sender: Persona) -> None:
    to = [{"recipient": "ada@example.com", "context": {"name": "A"}, "user_id": "=HYPERLINK(1)"}]
    campaign_id = create(sender, recipients=to)
    (line,) = table(sender, campaign_id)
    assert (line["recipient"], line["user_id"], line["state"]) == ("ada@example.com", "'=HYPERLINK(1)", "staged")


@pytest.mark.django_db(transaction=True)
def test_who_listens_hears_of_each_turn_and_can_stop_nothing(
    marketer: Persona, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Progress] = []

    def broken(now: Progress) -> None:
        raise ValueError("no socket")

    monkeypatch.setattr(progress, "_callbacks", [broken, heard.append])
    campaign_id = create(marketer)
    act(marketer, campaign_id, "launch")
    finish(marketer, campaign_id, engine)
    told = [(now.status, now.recorded) for now in heard if now.campaign_id == campaign_id]
    assert told[0] == ("sending", 0)
    assert told[-1] == ("completed", 3)
    assert len(told) > 3


@pytest.mark.django_db(transaction=True)
def test_a_token_that_was_lost_is_replaced_by_the_tick(marketer: Persona) -> None:
    campaign_id = create(marketer)
    act(marketer, campaign_id, "launch")
    assert tokens("bulk") == 1, "one token, however often somebody wakes it"
    tick()
    assert tokens("bulk") == 1
    turn(str(marketer.tenant_id), str(campaign_id))
    assert len(records(marketer, campaign_id)) == 3
    assert load(marketer, campaign_id).next_turn_at is not None


@pytest.mark.django_db(transaction=True)
def test_what_is_forgotten_is_gone(marketer: Persona) -> None:
    campaign_id = create(marketer)
    assert marketer.client.delete(f"{CAMPAIGNS}{campaign_id}/").status_code == 204
    take_turns(marketer, campaign_id)
    with platform_scope("test"):
        assert [model.objects.count() for model in (Campaign, CampaignRecipient, CampaignTally)] == [0, 0, 0]


def test_staff_pause_resume_and_cancel(sender: Persona) -> None:
    campaign_id = create(sender)
    act(sender, campaign_id, "launch")
    client = Client()
    client.force_login(User.objects.create_superuser("root@example.com"))
    page = reverse("admin:campaigns_campaign_changelist")
    assert "0.0 % of 3" in client.get(page).content.decode()
    for action, status in (("pause", "paused"), ("resume", "sending"), ("pause", "paused"), ("cancel", "cancelled")):
        body = {"action": action, "_selected_action": [str(campaign_id)]}
        assert client.post(page, body).status_code == 302
        assert load(sender, campaign_id).status == status
    answer = client.post(page, {"action": "pause", "_selected_action": [str(campaign_id)]}, follow=True)
    assert "can not become paused" in answer.content.decode()
    with tenant_scope(sender.tenant_id):
        assert AuditLog.objects.filter(action="campaign.cancelled", actor_label="root@example.com").exists()
