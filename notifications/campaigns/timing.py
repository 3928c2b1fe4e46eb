"""When a campaign may send: its start, its window, and both in the recipient's own time zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

#: The first place on earth where a day begins (Line Islands); in no time zone is it earlier.
FIRST_OFFSET: Final = timedelta(hours=14)
#: ISO 8601: Monday is 1.
ALL_DAYS: Final = (1, 2, 3, 4, 5, 6, 7)


@dataclass(frozen=True, slots=True)
class Opening:
    """The zones in which may be sent now, and when the next one opens (None: no other will)."""

    zones: tuple[str, ...]
    next_at: datetime | None


def openings(
    zones: Sequence[str],
    *,
    default_zone: str,
    local_start: datetime | None,
    window: Mapping[str, Any] | None,
    now: datetime,
) -> Opening:
    """Say in which of the recipients' zones a campaign may send now.

    Without ``local_start`` all recipients live by ``default_zone``; with it each by their own (``""``: the default).
    """
    opened, waits = [], []
    for zone in zones:
        zone_info = zone_of(zone if local_start is not None and zone else default_zone)
        starts = moment_in(local_start, zone_info) if local_start is not None else now
        opens = next_opening(window, zone_info, max(starts, now))
        if opens <= now:
            opened.append(zone)
        else:
            waits.append(opens)
    return Opening(tuple(opened), min(waits, default=None))


def first_moment(local_start: datetime) -> datetime:
    """Return when a wall-clock time is reached first anywhere."""
    return local_start.replace(tzinfo=UTC) - FIRST_OFFSET


def moment_in(local_start: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment at which a wall clock in a zone shows a time (in a gap: as if the clock had not moved on)."""
    return local_start.replace(tzinfo=zone).astimezone(UTC)


def next_opening(window: Mapping[str, Any] | None, zone: ZoneInfo, moment: datetime) -> datetime:
    """Return the first moment from ``moment`` on that lies in a window ``{"start", "end", "days"}``.

    ``start`` is in the window, ``end`` is not; a window whose end is not after its start goes on past midnight and
    belongs to the day on which it starts.
    """
    if not window:
        return moment
    start, end = time.fromisoformat(window["start"]), time.fromisoformat(window["end"])
    days = frozenset(window.get("days") or ALL_DAYS)
    today = moment.astimezone(zone).date()
    for offset in range(-1, 9):
        day = today + timedelta(days=offset)
        if day.isoweekday() not in days:
            continue
        opens = datetime.combine(day, start, zone)
        closes = datetime.combine(day if end > start else day + timedelta(days=1), end, zone)
        if moment < closes:
            return max(opens.astimezone(UTC), moment)
    raise ValueError("a window without days never opens")


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """Return a time zone. Raises ``ValueError`` if there is none of that name."""
    if name not in _known():
        raise ValueError(f"{name!r} is not an IANA time zone.")
    return ZoneInfo(name)


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(available_timezones())
