"""A person's rights over events about them: what is held, and that it goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.db.models import Q

from notifications.events.models import Event
from notifications.recipients.hooks import KnownAs

_MOST: Final = 1000


def forget_person(known: KnownAs) -> None:
    """Blank what events say of a person (``recipients.hooks.on_erased``); that they happened stays."""
    _about(known.user_ids).update(user_id="", payload={}, metadata={}, secrets_encrypted=None)


def export_person(known: KnownAs) -> dict[str, Any]:
    """Return the latest events about a person (``recipients.hooks.on_export``)."""
    rows = _about(known.user_ids).order_by("-id").values("id", "type", "payload", "source", "received_at")[:_MOST]
    return {"events": list(rows)}


def _about(user_ids: Sequence[str]) -> Any:
    named = [Q(**{f"payload__{name}": each}) for name in ("user_id", "userId") for each in user_ids]
    about = Q(user_id__in=user_ids)
    for each in named:
        about |= each
    return Event.objects.filter(about)
