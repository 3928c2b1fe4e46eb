"""SendGrid: email through the v3 Mail Send API, with receipts from the signed Event Webhook.

Sources: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send,
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event,
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ClassVar
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pydantic import AliasChoices, Field, field_validator, model_validator

from notifications.providers.addresses import copies_of
from notifications.providers.base import (
    CheckResult,
    CredentialSchema,
    FailureReason,
    OutgoingMessage,
    Receipt,
    ReceiptRequest,
    ReceiptState,
    Secret,
    SendResult,
)
from notifications.providers.http import (
    MAX_RETRY_AFTER,
    BaseUrl,
    Codes,
    HttpAnswer,
    HttpError,
    HttpProvider,
    redact,
    refusal,
    secret_forms,
)
from notifications.providers.mime_parts import is_inline
from notifications.providers.sender import SenderIdentity

_R = FailureReason
#: SendGrid has no error codes; this one sentence, with status 401, is not about the key but about the plan.
CODES: Codes = {"Maximum credits exceeded": (_R.RATE_LIMITED, True)}

#: What an event comes to: state, reason, and whether the address gets no more mail. The others are progress.
EVENTS: Mapping[str, tuple[ReceiptState, FailureReason | None, bool]] = {
    "delivered": ("delivered", None, False),
    "open": ("opened", None, False),
    "click": ("clicked", None, False),
    "bounce": ("bounced", _R.PROVIDER_ERROR, True),
    "blocked": ("bounced", _R.PROVIDER_ERROR, False),  # a bounce of type ``blocked``: refused for now
    "dropped": ("failed", _R.PROVIDER_ERROR, False),
    "suppressed": ("undeliverable", _R.SUPPRESSED, True),  # dropped because of the vendor's own suppression lists
    "spamreport": ("complained", _R.SUPPRESSED, True),
    "unsubscribe": ("clicked", _R.SUPPRESSED, True),
    "group_unsubscribe": ("clicked", _R.SUPPRESSED, True),
}
_SUPPRESSED_DROPS = re.compile(r"bounced address|unsubscribed address|spam reporting address|invalid", re.IGNORECASE)
RECORD_ARGUMENT = "record_id"
SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"


class SendGridCredential(SenderIdentity):
    """API key and sender."""

    api_key: Secret = Field(description="A key that may send mail.", examples=["SG.…"])
    webhook_public_key: str | None = Field(
        None,
        validation_alias=AliasChoices("webhook_public_key", "webhook_verification_key"),
        max_length=1000,
        description="Verification key of the signed Event Webhook (base64); without it, receipts are refused.",
    )
    base_url: BaseUrl = Field("https://api.sendgrid.com", description="Where SendGrid's API is.")

    @model_validator(mode="before")
    @classmethod
    def _forget_empty(cls, data: Any) -> Any:
        return {k: v for k, v in data.items() if v is not None and v != ""} if isinstance(data, dict) else data

    @field_validator("api_key")
    @classmethod
    def _key(cls, value: Secret) -> Secret:
        key = value.get_secret_value()
        if not 1 <= len(key) <= 500 or not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError("An API key is one word of ASCII characters.")
        return value

    @field_validator("webhook_public_key")
    @classmethod
    def _public_key(cls, value: str | None) -> str | None:
        if value is None:
            return None
        encoded = re.sub(r"-----[A-Z ]+-----|\s", "", value)
        load_public_key(encoded)
        return encoded

    def authorization(self) -> str:
        """Return the value of the Authorization header."""
        return f"Bearer {self.api_key.get_secret_value()}"

    def secrets(self) -> tuple[str, ...]:
        """Return every spelling of what must not be shown."""
        return secret_forms(self)


@lru_cache(maxsize=1024)
def load_public_key(encoded: str) -> ec.EllipticCurvePublicKey:
    """Return a key from base64 of its DER form. Raises ``ValueError``."""
    try:
        key = load_der_public_key(base64.b64decode(encoded, validate=True))
    except Exception:  # the library's errors for malformed keys are many
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("Enter the verification key that SendGrid shows for the signed Event Webhook.")
    return key


class SendGridProvider(HttpProvider[SendGridCredential]):
    """Sends by ``POST /v3/mail/send``."""

    key: ClassVar[str] = "sendgrid"
    label: ClassVar[str] = "SendGrid"
    channel: ClassVar[str] = "email"
    schema: ClassVar[type[CredentialSchema]] = SendGridCredential

    async def send(self, message: OutgoingMessage, credential: SendGridCredential) -> SendResult:
        """Send one message. The record's id is in the Message-ID, and comes back with every event."""
        try:
            body = orjson.dumps(_mail(message, credential))
        except TypeError:
            return SendResult.failure(_R.CONTENT_ERROR, "The message has a character that is not valid Unicode.")
        headers = {"Authorization": credential.authorization(), "Content-Type": "application/json"}
        try:
            answer = await self.request("POST", f"{credential.base_url}/v3/mail/send", body=body, headers=headers)
        except HttpError as error:
            return error.result(credential.secrets())
        if answer.status == 202:
            message_id = redact(answer.headers.get("X-Message-Id", ""), (credential.api_key.get_secret_value(),))[:128]
            return SendResult.success(code="202", response="accepted", provider_message_id=message_id)
        code, text = self.problem(answer)
        result = refusal(answer, code=code, text=text, codes=CODES, secrets=credential.secrets())
        if answer.status == 429 and result.retry_after is None:
            return replace(result, retry_after=_reset_after(answer))
        return result

    async def check(self, credential: SendGridCredential) -> CheckResult:
        """Fetch what the key may do, and see that sending is among it."""
        return await self.check_request(
            "scopes",
            f"{credential.base_url}/v3/scopes",
            headers={"Authorization": credential.authorization()},
            secrets=credential.secrets(),
            codes=CODES,
            objection=_may_not_send,
        )

    def problem(self, answer: HttpAnswer) -> tuple[str, str]:
        """Return (code, words) of SendGrid's error document ``{"errors": [{"message", "field", "help"}]}``."""
        errors = (answer.json() or {}).get("errors")
        sentences = [
            f"{error['message']} ({error['field']})" if error.get("field") else str(error["message"])
            for error in (errors if isinstance(errors, list) else ())
            if isinstance(error, dict) and error.get("message")
        ]
        return (sentences[0] if sentences and sentences[0] in CODES else ""), " ".join(sentences)

    def verify_receipt(self, request: ReceiptRequest, credential: SendGridCredential) -> bool:
        """Whether the call is signed with the Event Webhook's key (ECDSA, SHA-256 over timestamp and body).

        The timestamp is not held against the clock: SendGrid repeats a call for up to a day.
        """
        if credential.webhook_public_key is None:
            return False
        try:
            signature = base64.b64decode(request.header(SIGNATURE), validate=True)
            signed = request.header(TIMESTAMP).encode() + request.body
            load_public_key(credential.webhook_public_key).verify(signature, signed, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError):
            return False
        return True

    def parse_receipt(self, request: ReceiptRequest) -> list[Receipt]:
        """Return the outcomes among the events; ``processed``, ``deferred`` and opens by machines are none."""
        try:
            events = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            events = None
        if not isinstance(events, list):
            raise ValueError("a list of events is required")
        return [receipt for event in events if isinstance(event, dict) and (receipt := _receipt(event))]


def _mail(message: OutgoingMessage, credential: SendGridCredential) -> dict[str, Any]:
    content = message.content
    name = content.get("from_name") or credential.from_name
    reply_to = content.get("reply_to") or credential.reply_to
    domain = credential.from_email.rpartition("@")[2]
    parts = [("text/plain", content.get("text")), ("text/html", content.get("html"))]
    recipients: dict[str, Any] = {"to": [{"email": message.recipient}]}
    for kind, addresses in zip(("cc", "bcc"), copies_of(content, message.recipient), strict=True):
        if addresses:
            recipients[kind] = [{"email": address} for address in addresses]
    mail: dict[str, Any] = {
        "personalizations": [{**recipients, "custom_args": {RECORD_ARGUMENT: str(message.id)}}],
        "from": {"email": credential.from_email, "name": name} if name else {"email": credential.from_email},
        "subject": content.get("subject") or "",
        # A part must not be empty, and there must be one.
        "content": [{"type": kind, "value": value} for kind, value in parts if value]
        or [{"type": "text/plain", "value": " "}],
        "headers": {
            **(content.get("headers") or {}),
            "Message-ID": f"<{message.id}@{domain}>",
            "X-Notification-ID": str(message.id),
        },
    }
    if reply_to:
        mail["reply_to"] = {"email": reply_to}
    if content.get("attachments"):
        mail["attachments"] = [_attachment(each, bool(content.get("html"))) for each in content["attachments"]]
    return mail


def _attachment(given: Mapping[str, Any], has_html: bool) -> dict[str, Any]:
    inline = is_inline(given, has_html)
    return {
        "content": given["content"],
        "type": given["content_type"],
        "filename": given["filename"],
        "disposition": "inline" if inline else "attachment",
        **({"content_id": given["content_id"]} if inline else {}),
    }


def _may_not_send(found: dict[str, Any]) -> str:
    scopes = found.get("scopes")
    return "" if isinstance(scopes, list) and "mail.send" in scopes else "The API key is not allowed to send mail."


def _reset_after(answer: HttpAnswer) -> float | None:
    """Return the seconds until the limit is lifted: https://www.twilio.com/docs/sendgrid/api-reference/rate-limits."""
    moment = answer.headers.get("X-RateLimit-Reset", "")
    if not re.fullmatch(r"\d{1,12}", moment, re.ASCII):
        return None
    return min(max(int(moment) - time.time(), 0.0), MAX_RETRY_AFTER)


def _receipt(event: dict[str, Any]) -> Receipt | None:
    kind = str(event.get("event", ""))
    reason_text = str(event.get("reason", ""))
    if kind == "bounce" and event.get("type") == "blocked":
        kind = "blocked"
    elif kind == "dropped" and _SUPPRESSED_DROPS.search(reason_text):
        kind = "suppressed"
    if kind not in EVENTS or (kind == "open" and event.get("sg_machine_open")):
        return None
    state, reason, suppressed = EVENTS[kind]
    record_id = None
    with suppress(ValueError):
        record_id = UUID(str(event.get(RECORD_ARGUMENT, "")))
    return Receipt(
        # The id of the answer, followed by the names of the machines that the mail went through.
        provider_message_id=re.split(r"\.(?:filter|recvd)", str(event.get("sg_message_id", "")))[0][:128],
        state=state,
        occurred_at=_moment(event.get("timestamp")),
        record_id=record_id,
        reason=reason,
        code=str(event.get("status", ""))[:64],
        detail=redact(reason_text or str(event.get("response", ""))),
        address=str(event.get("email", "")),
        suppress=suppressed,
    )


def _moment(timestamp: Any) -> datetime:
    with suppress(ValueError, OverflowError, OSError, TypeError):
        return datetime.fromtimestamp(timestamp, UTC)
    return datetime.now(UTC)
