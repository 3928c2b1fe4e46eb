"""Replies by which people stop and resume messages: what providers forward to us besides receipts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from notifications.providers.base import ReceiptRequest

#: Twilio's default keywords: https://help.twilio.com/articles/223134027
STOP_WORDS: Final = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
START_WORDS: Final = frozenset({"START", "YES", "UNSTOP"})


@dataclass(frozen=True, slots=True)
class Reply:
    """Somebody's wish, as the provider forwarded it: ``wants_messages`` is False for STOP, True for START."""

    address: str
    wants_messages: bool


def twilio_reply(request: ReceiptRequest) -> Reply | None:
    """Return the wish in an incoming message, or None if it is none (or is a status callback).

    ``OptOutType`` is there with Advanced Opt-Out and knows every language; without it the default keywords count.
    https://www.twilio.com/docs/messaging/guides/webhook-request. Raises ``ValueError`` for a body that is not a form.
    """
    fields = dict(request.form())
    if "MessageStatus" in fields or not fields.get("From"):
        return None
    word = (fields.get("OptOutType") or fields.get("Body", "")).strip().upper()
    if word in STOP_WORDS:
        return Reply(fields["From"], wants_messages=False)
    return Reply(fields["From"], wants_messages=True) if word in START_WORDS else None


#: By provider key.
REPLIES: Final[Mapping[str, Callable[[ReceiptRequest], Reply | None]]] = {"twilio": twilio_reply}


def reply_of(provider: str, request: ReceiptRequest) -> Reply | None:
    """Return the wish that a provider's call brings, if it brings one. Raises ``ValueError``."""
    read = REPLIES.get(provider)
    return read(request) if read else None
