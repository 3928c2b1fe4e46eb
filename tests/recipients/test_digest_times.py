"""The moments of digests, on days when clocks are changed too."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from notifications.recipients.digest_times import next_digest
from notifications.recipients.quiet_hours import instant
from tests.recipients.test_quiet_hours import at, moments, zones


@pytest.mark.parametrize(
    ("digest", "zone", "moment", "expected"),
    [
        ("hourly", "UTC", "2026-01-10T21:59:59+00:00", "2026-01-10T22:00:00+00:00"),
        ("hourly", "UTC", "2026-01-10T22:00:00+00:00", "2026-01-10T22:00:00+00:00"),
        ("hourly", "UTC", "2026-01-10T22:00:00.000001+00:00", "2026-01-10T23:00:00+00:00"),
        ("hourly", "Asia/Kolkata", "2026-01-10T22:10:00+00:00", "2026-01-10T22:30:00+00:00"),
        ("daily", "Europe/Dublin", "2026-01-10T07:59:59+00:00", "2026-01-10T08:00:00+00:00"),
        ("daily", "Europe/Dublin", "2026-01-10T08:00:01+00:00", "2026-01-11T08:00:00+00:00"),
        ("daily", "Asia/Tokyo", "2026-01-10T22:59:00+00:00", "2026-01-10T23:00:00+00:00"),
        # The mornings after which the clocks go forward (29 March) and back (25 October).
        ("daily", "Europe/Dublin", "2026-03-28T09:00:00+00:00", "2026-03-29T07:00:00+00:00"),
        ("daily", "Europe/Dublin", "2026-10-24T09:00:00+00:00", "2026-10-25T08:00:00+00:00"),
    ],
)
def test_the_next_moment(digest: str, zone: str, moment: str, expected: str) -> None:
    assert next_digest(digest, at(moment), ZoneInfo(zone)) == at(expected)


@given(moments, zones)
def test_eight_in_the_morning_comes_every_day(moment: datetime, zone: ZoneInfo) -> None:
    found = next_digest("daily", moment, zone)
    assert found.tzinfo is UTC
    assert moment <= found <= moment + timedelta(hours=50), "Samoa left a day out"
    day = found.astimezone(zone).date()
    assert found == instant(day, time(8), zone)
    assert not moment <= instant(day - timedelta(days=1), time(8), zone) < found, "none is passed over"
    assert next_digest("daily", found, zone) == found


@given(moments, zones)
def test_a_full_hour_is_never_far(moment: datetime, zone: ZoneInfo) -> None:
    found = next_digest("hourly", moment, zone)
    assert moment <= found < moment + timedelta(hours=1)
    if found.astimezone(zone).utcoffset() == moment.astimezone(zone).utcoffset():
        assert found.astimezone(zone).time().replace(hour=0) == time()
