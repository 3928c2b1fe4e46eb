"""Events that wait for a tenant's user service: as long as it says nothing of somebody, they are not given up.

They wait no longer than a message may (the deadline of its lane); then what is known has to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from django.db.models import DateTimeField, ExpressionWrapper, F, Value
from django.db.models.functions import Greatest, Least
from django.utils import timezone

from notifications.events.messages import Reaction
from notifications.events.models import Event, EventStatus
from notifications.recipients.user_service import OPEN_SECONDS

#: Between two questions passes as much time as before the first of them, within these bounds.
_SHORTEST: Final = timedelta(seconds=OPEN_SECONDS)
_LONGEST: Final = timedelta(minutes=5)
_AT_ONCE: Final = 10_000


def is_worth_waiting(reactions: Iterable[Reaction], since: datetime, now: datetime) -> bool:
    """Say whether an answer may still come in time for a message that lacks it."""
    return any(reaction.patience is not None and now < since + reaction.patience for reaction in reactions)


def asked_next(since: datetime, now: datetime) -> datetime:
    """Return when to ask again, having waited since ``since``."""
    return now + min(max(now - since, _SHORTEST), _LONGEST)


def ask_again() -> int:
    """Make events pending again whose time to ask has come; return how many. Needs ``platform_scope``."""
    pause = Least(Greatest(F("processed_at") - F("received_at"), Value(_SHORTEST)), Value(_LONGEST))
    next_at = ExpressionWrapper(F("processed_at") + pause, output_field=DateTimeField())
    waiting = Event.objects.filter(status=EventStatus.WAITING).alias(next_at=next_at)
    due = waiting.filter(next_at__lte=timezone.now()).order_by("processed_at").values_list("id", flat=True)
    found = list(due[:_AT_ONCE])
    return waiting.filter(id__in=found).update(status=EventStatus.PENDING) if found else 0
