"""Clocks: windows, recipients' time zones, throttles, schedules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from notifications.campaigns.timing import first_moment, moment_in, next_opening, openings
from notifications.campaigns.turns import run_turn
from tenants import limits
from tests.campaigns.conftest import CAMPAIGNS, act, change, create, draft, load, look, people, records, take_turns
from tests.conftest import Persona

DUBLIN, AUCKLAND = ZoneInfo("Europe/Dublin"), ZoneInfo("Pacific/Auckland")
OFFICE = {"start": "09:00", "end": "18:00", "days": [1, 2, 3, 4, 5]}


def at(text: str, zone: ZoneInfo = DUBLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("moment", "opens"),
    [
        ("2026-11-20T12:00", "2026-11-20T12:00"),  # a Friday
        ("2026-11-20T08:59", "2026-11-20T09:00"),
        ("2026-11-20T18:00", "2026-11-23T09:00"),
        ("2026-11-22T12:00", "2026-11-23T09:00"),
        ("2026-03-29T12:00", "2026-03-30T09:00"),  # the day on which the clocks go forward
    ],
)
def test_the_next_opening_of_an_office(moment: str, opens: str) -> None:
    assert next_opening(OFFICE, DUBLIN, at(moment)) == at(opens)


def test_a_window_may_go_on_past_midnight() -> None:
    night = {"start": "22:00", "end": "02:00", "days": [5]}
    assert next_opening(night, DUBLIN, at("2026-11-21T01:00")) == at("2026-11-21T01:00")
    assert next_opening(night, DUBLIN, at("2026-11-21T02:00")) == at("2026-11-27T22:00")


_MINUTES = st.integers(0, 24 * 60 - 1).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")


@given(
    start=_MINUTES,
    end=_MINUTES,
    days=st.sets(st.integers(1, 7), min_size=1),
    moment=st.integers(0, 366 * 24 * 60).map(
        lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    ),
    zone=st.sampled_from(["UTC", "Europe/Dublin", "Pacific/Auckland", "America/St_Johns", "Asia/Kolkata"]),
)
def test_an_opening_is_never_past_and_stays_what_it_is(
    start: str, end: str, days: set[int], moment: datetime, zone: str
) -> None:
    window = {"start": start, "end": end, "days": sorted(days)}
    opens = next_opening(window, ZoneInfo(zone), moment)
    assert moment <= opens <= moment + timedelta(days=9)
    assert next_opening(window, ZoneInfo(zone), opens) == opens


def test_everybody_lives_by_their_own_clock_or_all_by_one() -> None:
    nine = datetime(2026, 11, 20, 9, tzinfo=UTC)
    assert moment_in(nine, AUCKLAND) == at("2026-11-20T09:00", AUCKLAND)
    assert first_moment(nine) <= moment_in(nine, ZoneInfo("Pacific/Kiritimati"))
    noon_in_dublin = at("2026-11-20T12:00")
    zones = ["", "Pacific/Auckland", "America/New_York"]
    found = openings(zones, default_zone="Europe/Dublin", local_start=nine, window=None, now=noon_in_dublin)
    assert found.zones == ("", "Pacific/Auckland")
    assert found.next_at == at("2026-11-20T09:00", ZoneInfo("America/New_York"))
    alike = openings(zones, default_zone="Europe/Dublin", local_start=None, window=OFFICE, now=noon_in_dublin)
    assert alike.zones == tuple(zones)


def test_scheduled_it_waits_for_its_time(sender: Persona) -> None:
    campaign_id = create(sender)
    begins = timezone.now() + timedelta(hours=2)
    answer = act(sender, campaign_id, "schedule", {"at": begins.isoformat()})
    assert (answer["status"], answer["local_start"]) == ("scheduled", None)
    take_turns(sender, campaign_id)
    assert records(sender, campaign_id) == []
    assert load(sender, campaign_id).next_turn_at == begins
    later = begins + timedelta(hours=1)
    assert act(sender, campaign_id, "schedule", {"at": later.isoformat()})["status"] == "scheduled"
    change(sender, campaign_id, scheduled_at=timezone.now(), next_turn_at=timezone.now())
    take_turns(sender, campaign_id)
    assert look(sender, campaign_id)["recorded"] == 3


def test_a_scheduled_campaign_is_paused_and_resumed_as_such(sender: Persona) -> None:
    campaign_id = create(sender)
    act(sender, campaign_id, "schedule", {"at": (timezone.now() + timedelta(hours=2)).isoformat()})
    assert act(sender, campaign_id, "pause")["status"] == "paused"
    assert act(sender, campaign_id, "resume")["status"] == "scheduled"


def test_a_time_that_is_past_or_too_far_is_refused(sender: Persona) -> None:
    campaign_id = create(sender)
    for moment in (timezone.now() - timedelta(minutes=1), timezone.now() + timedelta(days=800)):
        answer = act(sender, campaign_id, "schedule", {"at": moment.isoformat()}, status=400)
        assert "at" in answer["errors"]
    assert "at" in act(sender, campaign_id, "schedule", {"at": "soon"}, status=400)["errors"]


def test_each_is_sent_to_when_it_is_nine_where_they_are(sender: Persona) -> None:
    zones = ["Pacific/Kiritimati", "Europe/Dublin", "Pacific/Niue"]
    to = [{**one, "timezone": zone} for one, zone in zip(people(3), zones, strict=True)]
    campaign_id = create(sender, recipients=to, timezone="Europe/Dublin")
    there = timezone.now().astimezone(ZoneInfo("Pacific/Kiritimati")) + timedelta(hours=1)
    body = {"at": there.replace(tzinfo=None, microsecond=0).isoformat(), "in_recipient_timezone": True}
    answer = act(sender, campaign_id, "schedule", body)
    assert answer["local_start"] == body["at"]
    take_turns(sender, campaign_id)
    assert records(sender, campaign_id) == []
    # An hour and a bit later it is that late in Kiritimati, and nowhere else.
    was = load(sender, campaign_id).local_start
    assert was is not None
    local = was - timedelta(hours=1, minutes=5)
    change(sender, campaign_id, local_start=local, scheduled_at=first_moment(local), next_turn_at=timezone.now())
    take_turns(sender, campaign_id)
    assert [record.recipient for record in records(sender, campaign_id)] == ["person0@example.com"]
    change(sender, campaign_id, local_start=local - timedelta(hours=15), next_turn_at=timezone.now())
    take_turns(sender, campaign_id)
    assert len(records(sender, campaign_id)) == 2
    assert look(sender, campaign_id)["status"] == "sending"


def test_outside_its_window_nothing_is_queued(sender: Persona) -> None:
    now = timezone.now()
    closed = {"start": f"{(now + timedelta(hours=2)):%H:%M}", "end": f"{(now + timedelta(hours=3)):%H:%M}"}
    campaign_id = create(sender, window=closed, timezone="UTC")
    act(sender, campaign_id, "launch")
    take_turns(sender, campaign_id)
    assert records(sender, campaign_id) == []
    opened = {"start": f"{(now - timedelta(hours=1)):%H:%M}", "end": f"{(now + timedelta(hours=3)):%H:%M}"}
    change(sender, campaign_id, window=opened, next_turn_at=timezone.now())
    take_turns(sender, campaign_id)
    assert len(records(sender, campaign_id)) == 3


def test_a_window_must_have_hours(sender: Persona) -> None:
    answer = sender.client.post(CAMPAIGNS, draft(window={"start": "9", "end": "25:00"}))
    assert answer.status_code == 400
    assert {"window.start", "window.end"} <= set(answer.json()["errors"])


def test_a_throttle_lets_so_many_through(sender: Persona) -> None:
    campaign_id = create(sender, recipients=people(100), throttle_per_minute=120)
    act(sender, campaign_id, "launch")
    for seconds, most in ((0, 1), (2, 5), (600, 15)):  # what was not used is saved up for five seconds at most
        campaign = load(sender, campaign_id)
        if campaign.allowance_at:
            change(
                sender,
                campaign_id,
                allowance_at=campaign.allowance_at - timedelta(seconds=seconds),
                next_turn_at=timezone.now(),
            )
        assert run_turn(sender.tenant_id, campaign_id)
        assert most <= len(records(sender, campaign_id)) <= most + 2
    assert look(sender, campaign_id)["eta"] is not None


@pytest.mark.django_db(transaction=True)
def test_the_queue_of_the_lane_is_kept_short(sender: Persona, settings: Settings) -> None:
    settings.CAMPAIGN_LEAD = 7
    campaign_id = create(sender, recipients=people(30))
    act(sender, campaign_id, "launch")
    assert run_turn(sender.tenant_id, campaign_id)
    assert len(records(sender, campaign_id)) == 7


def test_when_the_quota_is_used_up_it_pauses_and_says_so(sender: Persona, monkeypatch: pytest.MonkeyPatch) -> None:
    small = limits.PlanLimits(limits.PLAN_LIMITS["free"].requests, 2)
    monkeypatch.setattr(limits, "PLAN_LIMITS", dict.fromkeys(limits.PLAN_LIMITS, small))
    limits.forget(sender.tenant_id)
    campaign_id = create(sender)
    act(sender, campaign_id, "launch")
    take_turns(sender, campaign_id)
    progress = look(sender, campaign_id)
    assert (progress["status"], progress["recorded"]) == ("paused", 0)
    assert "quota" in progress["problem"]
    limits.forget(sender.tenant_id)
