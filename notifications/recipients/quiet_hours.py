"""Quiet hours: a span of wall time, every day, in somebody's time zone; proof against clocks that are changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From ``start`` (included) to ``end`` (excluded); an ``end`` before the ``start`` is the next day's."""

    start: time
    end: time
    zone: ZoneInfo

    def end_after(self, moment: datetime) -> datetime | None:
        """Return when the quiet hours that hold at ``moment`` (aware) end, in UTC, or None if none do."""
        today = moment.astimezone(self.zone).date()
        for first_day in (today - _DAY, today):
            last_day = first_day if self.start < self.end else first_day + _DAY
            if instant(first_day, self.start, self.zone) <= moment < (end := instant(last_day, self.end, self.zone)):
                return end
        return None


def instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Return the moment (UTC) at which a clock in the zone first shows a wall time, or would have if it is left out.

    A time that is shown twice counts the first time; one that is skipped is the moment of the change (PEP 495).
    So later wall times are never earlier moments.
    """
    wall = datetime.combine(day, at, zone)
    by_old, by_new = wall.astimezone(UTC), wall.replace(fold=1).astimezone(UTC)
    if by_old <= by_new:  # the same, or shown twice
        return by_old
    before, after = by_new, by_old  # the change lies in between
    old_offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        if middle <= before:
            break
        if middle.astimezone(zone).utcoffset() == old_offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)
