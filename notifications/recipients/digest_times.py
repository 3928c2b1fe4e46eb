"""When somebody's digest goes out: at a full hour, or at eight in the morning, as their clock shows it."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from notifications.recipients.models import Digest
from notifications.recipients.quiet_hours import instant

#: When a daily digest goes out.
MORNING: Final = time(8)
#: So long after their moment messages go out one by one, should nobody have gathered them.
MARGIN: Final = timedelta(minutes=10)
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)


def next_digest(digest: str, moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the first moment (UTC), at or after ``moment`` (aware), of an ``hourly`` or ``daily`` digest in a zone.

    On days when clocks change, a time that is skipped is the moment of the change, and one that comes twice counts the
    first time (see ``quiet_hours.instant``).
    """
    if digest == Digest.HOURLY:
        wall = moment.astimezone(zone)
        past = timedelta(minutes=wall.minute, seconds=wall.second, microseconds=wall.microsecond)
        return moment.astimezone(UTC) + -past % _HOUR
    today = moment.astimezone(zone).date()
    for day in (today - _DAY, today):
        if (morning := instant(day, MORNING, zone)) >= moment:
            return morning
    return instant(today + _DAY, MORNING, zone)
