"""Twilio: text messages through the Messages API.

A message is one form, posted over the shared HTTP base. The vendor's SDK would make the same request for twice the
processor time, and its HTTP client can not be pointed at another address and tells neither ``Retry-After`` nor whether
the request had been written, which is what tells a retry from a duplicate. It computes the signatures of callbacks, and
the tests hold the request to what it would have sent.

Sources: https://www.twilio.com/docs/messaging/api/message-resource,
https://www.twilio.com/docs/api/errors, https://www.twilio.com/docs/usage/security#validating-requests
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit
from uuid import UUID

import phonenumbers
from pydantic import AliasChoices, Field, field_validator, model_validator
from twilio.request_validator import RequestValidator, add_port, remove_port

from notifications.providers.base import (
    CheckResult,
    CredentialSchema,
    OutgoingMessage,
    Receipt,
    ReceiptRequest,
    ReceiptState,
    Secret,
    SendResult,
)
from notifications.providers.http import (
    BaseUrl,
    HttpAnswer,
    HttpError,
    HttpProvider,
    check_base_url,
    redact,
    refusal,
    secret_forms,
)
from notifications.providers.twilio_codes import CODES, DEAD_NUMBERS, NEVER

#: Message states that are an end; the others are progress (https://www.twilio.com/docs/messaging/api/message-resource).
STATES: Mapping[str, ReceiptState] = {
    "delivered": "delivered",
    "read": "opened",
    "undelivered": "undeliverable",
    "failed": "failed",
    "canceled": "failed",
}
#: All states of a message that an answer may tell.
STATUSES = frozenset({*STATES, "accepted", "scheduled", "queued", "sending", "sent"})
_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}")
RECORD_PARAMETER = "record_id"
SIGNATURE = "X-Twilio-Signature"
API, VERSION = "https://api.twilio.com", "/2010-04-01"


class TwilioCredential(CredentialSchema):
    """Account and sender: a number of the account, or a messaging service."""

    account_sid: str = Field(description="AC and 32 hexadecimal digits, from the console.", examples=["AC" + "0" * 32])
    auth_token: Secret = Field(description="From the console; also signs the status callbacks.")
    from_phone: str | None = Field(
        None,
        validation_alias=AliasChoices("from_phone", "from_number"),
        description="Number (E.164), short code or alphanumeric name that messages are from.",
        examples=["+15551234567"],
    )
    messaging_service_sid: str | None = Field(None, description="MG and 32 hexadecimal digits; instead of a number.")
    status_callback: str | None = Field(None, max_length=2000, description="Address that Twilio reports to.")
    base_url: BaseUrl = Field(API, description="Where Twilio's API is.")

    @model_validator(mode="before")
    @classmethod
    def _forget_empty(cls, data: Any) -> Any:
        return {k: v for k, v in data.items() if v is not None and v != ""} if isinstance(data, dict) else data

    @field_validator("account_sid")
    @classmethod
    def _account(cls, value: str) -> str:
        if not re.fullmatch(r"AC[0-9a-fA-F]{32}", value):
            raise ValueError("An account SID is AC and 32 hexadecimal digits.")
        return value

    @field_validator("auth_token")
    @classmethod
    def _token(cls, value: Secret) -> Secret:
        token = value.get_secret_value()
        if not 1 <= len(token) <= 200 or not token.isascii() or not token.isprintable():
            raise ValueError("An auth token is a line of ASCII characters.")
        return value

    @field_validator("messaging_service_sid")
    @classmethod
    def _service(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"MG[0-9a-fA-F]{32}", value):
            raise ValueError("A messaging service SID is MG and 32 hexadecimal digits.")
        return value

    @field_validator("from_phone")
    @classmethod
    def _sender(cls, value: str | None) -> str | None:
        if value is None or re.fullmatch(r"\d{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 &_+-]{1,11}", value, re.ASCII):
            return value  # a short code, or a name of at most 11 characters
        try:
            number = phonenumbers.parse(value)
        except phonenumbers.NumberParseException:
            number = None
        if number is None or not phonenumbers.is_possible_number(number):
            raise ValueError("Enter a telephone number with its country code, such as +15551234567.")
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

    @field_validator("status_callback")
    @classmethod
    def _callback(cls, value: str | None) -> str | None:
        if value is not None:
            check_base_url(value.partition("?")[0])
        return value

    @model_validator(mode="after")
    def _one_sender(self) -> TwilioCredential:
        if not self.from_phone and not self.messaging_service_sid:
            raise ValueError("from_phone or messaging_service_sid is required.")
        return self

    def authorization(self) -> str:
        """Return the value of the Authorization header."""
        login = f"{self.account_sid}:{self.auth_token.get_secret_value()}"
        return "Basic " + base64.b64encode(login.encode()).decode()

    def secrets(self) -> tuple[str, ...]:
        """Return every spelling of what must not be shown."""
        return secret_forms(self, self.authorization().removeprefix("Basic "))


class TwilioProvider(HttpProvider[TwilioCredential]):
    """Sends by ``POST /2010-04-01/Accounts/{sid}/Messages.json``."""

    key: ClassVar[str] = "twilio"
    label: ClassVar[str] = "Twilio"
    channel: ClassVar[str] = "sms"
    schema: ClassVar[type[CredentialSchema]] = TwilioCredential

    async def send(self, message: OutgoingMessage, credential: TwilioCredential) -> SendResult:
        """Send one message. The record's id travels in the address of the status callback and comes back with it."""
        url = f"{credential.base_url}{VERSION}/Accounts/{credential.account_sid}/Messages.json"
        headers = {
            "Authorization": credential.authorization(),
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        body = urlencode(_form(message, credential), errors="surrogatepass").encode()
        try:
            answer = await self.request("POST", url, body=body, headers=headers)
        except HttpError as error:
            return error.result(credential.secrets())
        found = (answer.json() if answer.ok else None) or {}
        sid, status = found.get("sid"), found.get("status")
        if not isinstance(sid, str):
            code, text = self.problem(answer)
            return refusal(answer, code=code, text=text, codes=CODES, secrets=credential.secrets())
        return SendResult.success(
            code="201",
            response=status if status in STATUSES else "",
            provider_message_id=sid if _SID.fullmatch(sid) else redact(sid, credential.secrets())[:64],
        )

    async def check(self, credential: TwilioCredential) -> CheckResult:
        """Fetch the account."""
        return await self.check_request(
            "account",
            f"{credential.base_url}{VERSION}/Accounts/{credential.account_sid}.json",
            headers={"Authorization": credential.authorization(), "Accept": "application/json"},
            secrets=credential.secrets(),
            codes=CODES,
        )

    def problem(self, answer: HttpAnswer) -> tuple[str, str]:
        """Return (code, message) of Twilio's error document ``{"code", "message", "more_info", "status"}``."""
        found = answer.json() or {}
        code, text = found.get("code"), found.get("message")
        return (str(code) if isinstance(code, int) else "", text if isinstance(text, str) else "")

    def verify_receipt(self, request: ReceiptRequest, credential: TwilioCredential) -> bool:
        """Whether the callback is signed with the account's auth token (HMAC-SHA1 over address and fields)."""
        given = request.header(SIGNATURE)
        try:
            fields = _Fields(request.form())
            parts = urlsplit(request.url)
            addresses = (add_port(parts), remove_port(parts))  # Twilio signs with or without the port
        except ValueError:
            return False
        validator = RequestValidator(credential.auth_token.get_secret_value())
        expected = [validator.compute_signature(address, fields) for address in addresses]
        return sum(hmac.compare_digest(one.encode(), given.encode()) for one in expected) > 0

    def parse_receipt(self, request: ReceiptRequest) -> list[Receipt]:
        """Return the outcome that a status callback reports; none for ``queued``, ``sent`` and the like."""
        fields = dict(request.form())
        sid = fields.get("MessageSid") or fields.get("SmsSid")
        status = fields.get("MessageStatus") or fields.get("SmsStatus")
        if not sid or not status:
            raise ValueError("MessageSid and MessageStatus are required")
        state = STATES.get(status.lower())
        if state is None:
            return []
        code = fields.get("ErrorCode", "")
        failed = state in ("undeliverable", "failed")
        return [
            Receipt(
                provider_message_id=sid,
                state=state,
                occurred_at=_done_at(fields.get("RawDlrDoneDate", "")),
                record_id=_record_id(request.url),
                reason=CODES.get(code, NEVER)[0] if failed else None,
                code=code if failed else "",
                detail=fields.get("ErrorMessage", "")[:500],
                address=fields.get("To", ""),
                suppress=failed and code in DEAD_NUMBERS,
                price=fields.get("Price", "").lstrip("-"),
                currency=fields.get("PriceUnit", "").upper() if fields.get("Price") else "",
            )
        ]


def _form(message: OutgoingMessage, credential: TwilioCredential) -> list[tuple[str, str]]:
    """Return the form of a new message."""
    form = [("To", message.recipient), ("Body", message.content["body"])]
    form += [("MediaUrl", address) for address in message.content.get("media_urls") or ()]
    if credential.messaging_service_sid:
        form.append(("MessagingServiceSid", credential.messaging_service_sid))
    if credential.from_phone:  # with a messaging service: which of its senders
        form.append(("From", credential.from_phone))
    if credential.status_callback:
        form.append(("StatusCallback", _with_record_id(credential.status_callback, message.id)))
    return form


def _with_record_id(address: str, record_id: UUID) -> str:
    parts = urlsplit(address)
    query = f"{parts.query}&" if parts.query else ""
    return urlunsplit(parts._replace(query=f"{query}{RECORD_PARAMETER}={record_id}"))


def _record_id(url: str) -> UUID | None:
    with suppress(ValueError, KeyError):
        return UUID(parse_qs(urlsplit(url).query)[RECORD_PARAMETER][0])
    return None


class _Fields(dict[str, str]):
    """Form fields by name, in the shape of a multi-valued dictionary that the SDK's validator reads."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        super().__init__(fields)
        self._all = fields

    def getall(self, name: str) -> list[str]:
        """Return all values of a field."""
        return [value for key, value in self._all if key == name]


def _done_at(text: str) -> datetime:
    """Return the carrier's time of delivery (``YYMMDDhhmm``, UTC), or now if it gives none."""
    with suppress(ValueError):
        return datetime.strptime(text, "%y%m%d%H%M").replace(tzinfo=UTC)
    return datetime.now(UTC)
