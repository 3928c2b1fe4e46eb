"""The table of a campaign's life holds, whatever is asked of it and in whatever order."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notification_service.lib.scope import tenant_scope
from notifications.campaigns.models import Campaign, CampaignRecipient
from notifications.campaigns.states import FINAL, TRANSITIONS, CampaignStatus
from notifications.campaigns.tallies import totals
from notifications.campaigns.turns import run_turn
from notifications.records.engine import Engine
from notifications.records.models import NotificationRecord
from notifications.records.states import WAITING
from tests.campaigns.conftest import CAMPAIGNS, addresses, change, create, people
from tests.conftest import Persona
from tests.sandbox.conftest import Sandbox

VERBS = ("launch", "schedule", "pause", "resume", "cancel")
#: What else happens meanwhile.
EVENTS = ("turn", "drain")


def test_every_status_can_be_reached_and_what_is_final_is_left_by_nothing() -> None:
    reached = {CampaignStatus.DRAFT} | {target for targets in TRANSITIONS.values() for target in targets}
    assert reached == set(CampaignStatus) == set(TRANSITIONS)
    assert {CampaignStatus.COMPLETED, CampaignStatus.CANCELLED, CampaignStatus.FAILED} == FINAL


@pytest.mark.django_db(transaction=True)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(VERBS + EVENTS), max_size=14))
def test_whatever_is_asked_nobody_gets_two_and_the_numbers_add_up(
    marketer: Persona, engine: Engine, mail_server: Sandbox, steps: list[str]
) -> None:
    engine.drain(marketer.tenant_id, "bulk")  # what the example before has left due is none of this one's mails
    mail_server.request("/api/messages", "DELETE")
    campaign_id = create(marketer, recipients=people(3))
    was = "draft"
    for step in steps:
        if step == "turn":
            change(marketer, campaign_id, next_turn_at=timezone.now())
            run_turn(marketer.tenant_id, campaign_id)
        elif step == "drain":
            engine.drain(marketer.tenant_id, "bulk")
        else:
            body = {"at": (timezone.now() + timedelta(hours=1)).isoformat()} if step == "schedule" else None
            answer = marketer.client.post(f"{CAMPAIGNS}{campaign_id}/{step}/", body)
            assert answer.status_code in (200, 409), answer.json()
        now = marketer.client.get(f"{CAMPAIGNS}{campaign_id}/").json()["status"]
        assert now == was or _leads(was, now), f"{was} → {now}"
        was = now
        with tenant_scope(marketer.tenant_id):
            due = NotificationRecord.objects.filter(
                campaign_id=campaign_id, status__in=WAITING, due_at__lte=timezone.now() + timedelta(days=1)
            ).count()
        assert due == 0 or now == "sending"
    with tenant_scope(marketer.tenant_id):
        counted = totals(campaign_id)
        staged = CampaignRecipient.objects.filter(campaign_id=campaign_id, state="staged").count()
        assert counted.of("staged") == 3 == counted.handled + staged
        waiting = NotificationRecord.objects.filter(campaign_id=campaign_id, status__in=WAITING).count()
        assert counted.waiting == waiting
        Campaign.objects.filter(id=campaign_id).update(next_turn_at=None)
    found = addresses(mail_server)
    assert len(found) == len(set(found)) == counted.of("success")


def _leads(before: str, after: str) -> bool:
    """Whether a status is reached from another; one turn may take several steps."""
    onward = TRANSITIONS[CampaignStatus(before)]
    return after in onward or any(after in TRANSITIONS[step] for step in onward)
