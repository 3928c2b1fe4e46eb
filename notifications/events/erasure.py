"""A person's rights over what events say about them: what is held, and that it goes."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from notifications.events.models import DeadLetter, Event
from notifications.recipients.hooks import KnownAs

_MOST: Final = 1000
_IDS: Final = ("user_id", "userId")
_ADDRESSES: Final = ("email", "phone", "phone_number")
#: Where a payload describes the person: see ``people.py``.
_PLACES: Final = ("", "recipient__", "employee_details__", "user__", "customer__", "candidate__")


def forget_person(known: KnownAs) -> None:
    """Blank what events say of a person (``recipients.hooks.on_erased``); that they happened stays.

    Messages that could not be read and name the person are deleted: nobody can say what else they hold.
    """
    _about(known).update(user_id="", payload={}, metadata={}, secrets_encrypted=None)
    _letters(known).delete()


def export_person(known: KnownAs) -> dict[str, Any]:
    """Return the latest events about a person (``recipients.hooks.on_export``)."""
    rows = _about(known).order_by("-id").values("id", "type", "payload", "source", "received_at")[:_MOST]
    return {"events": list(rows)}


def _about(known: KnownAs) -> QuerySet[Event]:
    about = Q(user_id__in=known.user_ids) if known.user_ids else Q(id__in=[])
    for place in _PLACES:
        for names, values in ((_IDS, known.user_ids), (_ADDRESSES, known.addresses)):
            for name in names:
                for value in values:
                    about |= Q(**{f"payload__{place}{name}": value})
    return Event.objects.filter(about)


def _letters(known: KnownAs) -> QuerySet[DeadLetter]:
    named = Q(id__in=[])
    for value in (*known.user_ids, *known.addresses):
        named |= Q(text__contains=f'"{value}"')
    return DeadLetter.objects.annotate(text=Cast("shown", TextField())).filter(named)
