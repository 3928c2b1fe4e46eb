"""Recipients of campaigns that are over go when their tenant says so; what was counted stays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from notification_service.lib.scope import tenant_scope
from notifications.campaigns import retention
from notifications.campaigns.models import CampaignRecipient, CampaignTally
from notifications.campaigns.tasks import housekeep
from tests.campaigns.conftest import act, change, create, look, people, rows, take_turns
from tests.conftest import Persona

pytestmark = pytest.mark.django_db(transaction=True)


def wants(persona: Persona, **days: int) -> None:
    """Set a tenant's ``retention_days``; ``every`` stands for ``*``."""
    chosen = {"*" if key == "every" else key: value for key, value in days.items()}
    answer = persona.client.patch("/api/v1/projects/me", {"retention_days": chosen})
    assert answer.status_code == 200, answer.json()


def over(persona: Persona, days: float, count: int = 5) -> UUID:
    """Return a campaign that was cancelled so many days ago, after all its messages had been written."""
    campaign_id = create(persona, recipients=people(count))
    act(persona, campaign_id, "launch")
    take_turns(persona, campaign_id)
    act(persona, campaign_id, "cancel")
    take_turns(persona, campaign_id)
    change(persona, campaign_id, finished_at=timezone.now() - timedelta(days=days))
    return campaign_id


def numbers(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if isinstance(value, int | dict | list)}


def test_recipients_go_and_the_report_stays(marketer: Persona, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    old, young, draft = over(marketer, 31), over(marketer, 29), create(marketer)
    report, progress = look(marketer, old, "report"), look(marketer, old)
    wants(marketer, campaigns=30)
    housekeep()
    assert [len(rows(marketer, each)) for each in (old, young, draft)] == [0, 5, 3]
    assert numbers(look(marketer, old, "report")) == numbers(report)
    assert report["recipients"] == report["cancelled"] == 5
    assert look(marketer, old) == progress
    with tenant_scope(marketer.tenant_id):
        counters = list(CampaignTally.objects.filter(campaign_id=old).values_list("name", "reason", "variant"))
    assert len(counters) == len(set(counters)), "one row a counter"
    assert look(marketer, old, "recipients")["results"] == []
    assert retention.delete_old(now=timezone.now()) == 0


@pytest.mark.parametrize(
    ("days", "stays"),
    [
        ({}, True),
        ({"every": 10}, False),
        ({"email": 30, "every": 10}, True),
        ({"campaigns": 30, "email": 10, "every": 10}, True),
        ({"campaigns": 10, "email": 30}, False),
        ({"sms": 10}, True),
    ],
)
def test_the_closest_word_counts(marketer: Persona, days: dict[str, int], stays: bool) -> None:
    campaign_id = over(marketer, 20)
    wants(marketer, **days)
    assert retention.delete_old(now=timezone.now()) == (0 if stays else 5)
    assert bool(rows(marketer, campaign_id)) == stays


def test_another_tenants_wish_is_not_ours(marketer: Persona, stranger: Persona) -> None:
    campaign_id = over(marketer, 100)
    wants(stranger, campaigns=1)
    assert retention.delete_old(now=timezone.now()) == 0
    assert len(rows(marketer, campaign_id)) == 5


def test_a_campaign_that_is_not_proved_to_be_over_is_left_alone(marketer: Persona) -> None:
    campaign_id = over(marketer, 100)
    change(marketer, campaign_id, next_turn_at=timezone.now())
    wants(marketer, campaigns=1)
    assert retention.delete_old(now=timezone.now()) == 0


def test_a_run_stops_when_its_time_is_over(marketer: Persona, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    campaign_id = over(marketer, 100)
    wants(marketer, campaigns=1)
    assert retention.delete_old(now=timezone.now(), seconds=0) == 2
    with tenant_scope(marketer.tenant_id):
        assert CampaignRecipient.objects.filter(campaign_id=campaign_id).count() == 3
    assert retention.delete_old(now=timezone.now()) == 3
