"""Quiet hours, on days when clocks are changed too."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.recipients.quiet_hours import QuietHours, instant

NIGHT = QuietHours(time(22), time(7), ZoneInfo("Europe/Dublin"))
#: Half an hour (Lord Howe), a whole day left out (Samoa), a change at midnight (Beirut, Sao Paulo), none (UTC).
ZONES = (
    "Europe/Dublin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Beirut",
    "America/Sao_Paulo",
    "UTC",
)
wall_times = st.times().map(lambda at: at.replace(second=0, microsecond=0))
moments = st.integers(1_230_768_000, 2_114_380_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
zones = st.sampled_from(ZONES).map(ZoneInfo)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        ("2026-01-10T21:59:59+00:00", None),
        ("2026-01-10T22:00:00+00:00", "2026-01-11T07:00:00+00:00"),
        ("2026-01-11T00:30:00+00:00", "2026-01-11T07:00:00+00:00"),
        ("2026-01-11T06:59:59+00:00", "2026-01-11T07:00:00+00:00"),
        ("2026-01-11T07:00:00+00:00", None),
        # In summer Dublin is an hour ahead.
        ("2026-07-10T21:00:00+00:00", "2026-07-11T06:00:00+00:00"),
        ("2026-07-11T06:00:00+00:00", None),
        # The nights on which the clocks go forward (29 March) and back (25 October).
        ("2026-03-28T23:00:00+00:00", "2026-03-29T06:00:00+00:00"),
        ("2026-10-24T22:00:00+00:00", "2026-10-25T07:00:00+00:00"),
        # Whatever zone the moment is told in.
        ("2026-01-11T09:00:00+09:00", "2026-01-11T07:00:00+00:00"),
    ],
)
def test_over_midnight(moment: str, end: str | None) -> None:
    assert NIGHT.end_after(at(moment)) == (at(end) if end else None)


def test_within_a_day() -> None:
    noon = QuietHours(time(12), time(13, 30), ZoneInfo("Asia/Kolkata"))
    assert noon.end_after(at("2026-05-05T06:30:00+00:00")) == at("2026-05-05T08:00:00+00:00")
    assert noon.end_after(at("2026-05-05T08:00:00+00:00")) is None
    assert noon.end_after(at("2026-05-05T20:00:00+00:00")) is None


def test_a_time_that_is_skipped_is_the_moment_of_the_change() -> None:
    dublin = ZoneInfo("Europe/Dublin")
    change = at("2026-03-29T01:00:00+00:00")
    for minute in (0, 1, 30, 59):
        assert instant(date(2026, 3, 29), time(1, minute), dublin) == change
    assert instant(date(2026, 3, 29), time(2), dublin) == change
    assert QuietHours(time(0), time(1, 30), dublin).end_after(at("2026-03-29T00:30:00+00:00")) == change


def test_a_time_that_comes_twice_counts_once() -> None:
    early = QuietHours(time(0), time(1, 30), ZoneInfo("Europe/Dublin"))
    end = at("2026-10-25T00:30:00+00:00")  # the first 01:30, still summer time
    assert early.end_after(at("2026-10-25T00:29:00+00:00")) == end
    assert early.end_after(end) is None
    assert early.end_after(at("2026-10-25T01:15:00+00:00")) is None


@given(wall_times, wall_times, zones, moments)
def test_the_end_is_later_near_and_not_quiet(start: time, end: time, zone: ZoneInfo, moment: datetime) -> None:
    if start == end:
        return
    quiet = QuietHours(start, end, zone)
    until = quiet.end_after(moment)
    if until is not None:
        assert moment < until <= moment + timedelta(hours=50)
        assert until.microsecond == 0
        assert quiet.end_after(until - timedelta(seconds=1)) == until, "it is quiet to the end"
        following = quiet.end_after(until)
        assert following is None or following > until, "it goes on only if the clocks have eaten the time between"


@given(wall_times, wall_times, zones, moments)
def test_far_from_changes_it_is_what_the_clock_shows(start: time, end: time, zone: ZoneInfo, moment: datetime) -> None:
    days = [timedelta(days=number) for number in (-2, -1, 1, 2)]
    offset = moment.astimezone(zone).utcoffset()
    if start == end or any((moment + day).astimezone(zone).utcoffset() != offset for day in days):
        return
    shown = moment.astimezone(zone).time()
    within = start <= shown < end if start < end else shown >= start or shown < end
    assert (QuietHours(start, end, zone).end_after(moment) is not None) == within


@given(st.dates(date(2009, 1, 1), date(2037, 1, 1)), wall_times, wall_times, zones)
def test_later_on_the_clock_is_never_earlier(day: date, one: time, other: time, zone: ZoneInfo) -> None:
    first, second = sorted((one, other))
    assert instant(day, first, zone) <= instant(day, second, zone) <= instant(day + timedelta(days=1), first, zone)
