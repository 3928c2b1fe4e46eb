"""Webhooks of the WhatsApp Cloud API: statuses of messages that we sent, and messages that people sent.

https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from notifications.providers.base import FailureReason, Receipt, ReceiptState
from notifications.providers.whatsapp_codes import CODES, UNDELIVERABLE

#: Status of a webhook -> what became of the message. ``sent`` is no news, ``deleted`` and ``warning`` are no outcome.
STATES: Mapping[str, ReceiptState] = {"delivered": "delivered", "read": "opened", "failed": "failed"}
#: Replies, whole and in any case, that end a conversation. ``Stop promotions`` is the button of Meta's templates.
STOP_WORDS = frozenset(
    {"stop", "stopall", "stop all", "stop promotions", "unsubscribe", "cancel", "end", "quit", "opt out", "optout"}
    | {"stopp", "abmelden", "arret", "arrêt", "baja", "parar", "sair", "cancelar", "disattiva"}
)


class _Error(msgspec.Struct):
    code: int = 0
    title: str = ""
    message: str = ""
    error_data: dict[str, Any] | None = None


class _Status(msgspec.Struct):
    id: str
    status: str
    timestamp: str
    recipient_id: str = ""
    biz_opaque_callback_data: str = ""
    errors: list[_Error] = []


class _Words(msgspec.Struct):
    """A text, or what a button says."""

    body: str = ""
    text: str = ""
    title: str = ""


class _Interactive(msgspec.Struct):
    button_reply: _Words | None = None
    list_reply: _Words | None = None


class _Context(msgspec.Struct):
    id: str = ""


class _Message(msgspec.Struct):
    id: str
    timestamp: str
    from_: str = msgspec.field(name="from", default="")
    text: _Words | None = None
    button: _Words | None = None
    interactive: _Interactive | None = None
    context: _Context | None = None


class _Value(msgspec.Struct):
    statuses: list[_Status] = []
    messages: list[_Message] = []


class _Change(msgspec.Struct):
    field: str
    value: msgspec.Raw


class _Entry(msgspec.Struct):
    changes: list[_Change] = []


class _Webhook(msgspec.Struct):
    object: str
    entry: list[_Entry] = []


_WEBHOOK = msgspec.json.Decoder(_Webhook)
_VALUE = msgspec.json.Decoder(_Value)


def parse_webhook(body: bytes) -> list[Receipt]:
    """Return what a webhook reports; see ``WhatsAppCloudProvider.parse_receipt``. Raises ``ValueError``."""
    try:
        webhook = _WEBHOOK.decode(body)
        if webhook.object != "whatsapp_business_account":
            raise ValueError("object: this is not a webhook of WhatsApp.")
        changes = [change for entry in webhook.entry for change in entry.changes]
        # Other fields (quality of templates, reviews of the account) have shapes of their own.
        values = [_VALUE.decode(change.value) for change in changes if change.field == "messages"]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"This is not a webhook of WhatsApp: {error}") from None
    found = [_outcome(status) for value in values for status in value.statuses]
    found += [_stop(message) for value in values for message in value.messages]
    return [receipt for receipt in found if receipt is not None]


def _outcome(status: _Status) -> Receipt | None:
    state = STATES.get(status.status)
    if state is None:
        return None
    record_id = None
    with contextlib.suppress(ValueError):
        record_id = UUID(status.biz_opaque_callback_data)
    known = Receipt(status.id, state, _moment(status.timestamp), record_id, address=_number(status.recipient_id))
    if state != "failed":
        return known
    error = status.errors[0] if status.errors else _Error()
    code = str(error.code) if error.code else ""
    details = (error.error_data or {}).get("details")
    return replace(
        known,
        state="undeliverable" if code in UNDELIVERABLE else "failed",
        reason=CODES.get(code, (FailureReason.PROVIDER_ERROR, False))[0],
        code=code,
        detail=str(details or error.message or error.title)[:500],
    )


def _stop(message: _Message) -> Receipt | None:
    """Return a request to suppress, if a message says nothing but stop."""
    interactive = message.interactive or _Interactive()
    parts = (message.text, message.button, interactive.button_reply, interactive.list_reply)
    words = next((part.body or part.text or part.title for part in parts if part), "")
    said = " ".join(words.casefold().strip(" .!\"'\n\t").split())
    if said not in STOP_WORDS:
        return None
    return Receipt(
        provider_message_id=message.context.id if message.context else "",
        state="complained",
        occurred_at=_moment(message.timestamp),
        code="STOP",
        detail=words.strip()[:500],
        address=_number(message.from_),
        suppress=True,
    )


def _moment(seconds: str) -> datetime:
    """Return a time stamp of a webhook (seconds since 1970, as text). Raises ``ValueError``."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError("timestamp: not a number of seconds.") from None


def _number(wa_id: str) -> str:
    """Return a WhatsApp id, which is a number without its plus, as E.164."""
    return f"+{wa_id}" if wa_id.isascii() and wa_id.isdigit() else ""
