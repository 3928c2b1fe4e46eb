"""Twilio: text messages through the Messages API.

Messages are sent by the shared HTTP base; the vendor's SDK computes the signatures of its callbacks. Sending through
the SDK (``create_async``, over aiohttp as well) was measured at 1.8 times the processor time of a message, and its
errors know neither ``Retry-After`` nor whether the request had been written, which is what tells a retry from a
duplicate.

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
    FailureReason,
    OutgoingMessage,
    Receipt,
    ReceiptRequest,
    ReceiptState,
    Secret,
    SendResult,
)
from notifications.providers.http import (
    BaseUrl,
    Codes,
    HttpAnswer,
    HttpError,
    HttpProvider,
    Meaning,
    check_base_url,
    redact,
    refusal,
    secret_forms,
)

_R = FailureReason
_NEVER: Meaning = (_R.PROVIDER_ERROR, False)
_AUTH: Meaning = (_R.AUTH_ERROR, False)
_CONTENT: Meaning = (_R.CONTENT_ERROR, False)
_BUSY: Meaning = (_R.RATE_LIMITED, True)
_LATER: Meaning = (_R.PROVIDER_ERROR, True)

#: Twilio's error codes, of answers and of receipts: https://www.twilio.com/docs/api/errors
CODES: Codes = {
    "14107": _BUSY,  # rate limit exceeded
    "20003": _AUTH,  # authentication error
    "20005": _AUTH,  # account not active
    "20006": _AUTH,  # access denied
    "20008": _AUTH,  # resource not accessible with test credentials
    "20403": _AUTH,  # forbidden
    "20404": _AUTH,  # there is no such account
    "20429": _BUSY,  # too many requests
    "20500": _LATER,  # internal error
    "20503": _LATER,  # service unavailable
    "21211": _CONTENT,  # invalid To number
    "21212": _NEVER,  # invalid From number
    "21214": _NEVER,  # To number can not be reached
    "21217": _CONTENT,  # number is not formatted correctly
    "21265": _CONTENT,  # To number is a short code
    "21266": _CONTENT,  # To and From are the same
    "21408": _NEVER,  # no permission to send to this region
    "21602": _CONTENT,  # body is required
    "21603": _NEVER,  # From is required
    "21604": _CONTENT,  # To is required
    "21605": _CONTENT,  # body is too long
    "21606": _NEVER,  # From is not a number that can send this
    "21608": _NEVER,  # trial account: To is not verified
    "21609": _NEVER,  # StatusCallback is not valid
    "21610": (_R.SUPPRESSED, False),  # the recipient replied STOP
    "21611": _BUSY,  # the queue of this From number is full
    "21612": _NEVER,  # To can not be reached from this From
    "21614": _NEVER,  # To is not a mobile number
    "21617": _CONTENT,  # body is longer than 1600 characters
    "21619": _CONTENT,  # a text or media is required
    "21620": _CONTENT,  # invalid media address
    "21623": _CONTENT,  # too many media
    "21635": _NEVER,  # To is a landline
    "21656": _CONTENT,  # invalid content variables
    "21659": _NEVER,  # From is not a Twilio number
    "21660": _NEVER,  # From belongs to another account
    "21661": _NEVER,  # From can not send text messages
    "21703": _NEVER,  # the messaging service has no number
    "21704": _NEVER,  # the messaging service has no number for this country
    "21705": _NEVER,  # the messaging service is not valid
    "30001": _BUSY,  # queue overflow
    "30002": _AUTH,  # account suspended
    "30003": _LATER,  # handset is switched off or out of reach
    "30004": _NEVER,  # message blocked
    "30005": _NEVER,  # unknown handset
    "30006": _NEVER,  # landline or unreachable carrier
    "30007": _CONTENT,  # filtered as spam
    "30008": _LATER,  # unknown error
    "30009": _LATER,  # a segment is missing
    "30010": _NEVER,  # price exceeds the limit
    "30019": _CONTENT,  # content is larger than the carrier takes
    "30022": _BUSY,  # messages per second exceeded
    "30034": _NEVER,  # sender is not registered (A2P 10DLC)
    "30036": _LATER,  # validity period expired
    "30454": _BUSY,  # daily limit of the account
}
#: Codes after which nothing will ever reach the number: it is wrong, can not receive texts, or has said STOP.
DEAD_NUMBERS = frozenset({"21211", "21610", "21614", "21635", "30005", "30006"})

#: Message states that are an end; the others are progress (https://www.twilio.com/docs/messaging/api/message-resource).
STATES: Mapping[str, ReceiptState] = {
    "delivered": "delivered",
    "read": "opened",
    "undelivered": "undeliverable",
    "failed": "failed",
    "canceled": "failed",
}
RECORD_PARAMETER = "record_id"
SIGNATURE = "X-Twilio-Signature"
VERSION = "/2010-04-01"


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
    base_url: BaseUrl = Field("https://api.twilio.com", description="Where Twilio's API is.")

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
        secrets = credential.secrets()
        try:
            answer = await self.request("POST", url, body=body, headers=headers)
        except HttpError as error:
            return error.result(secrets)
        found = answer.json() if answer.ok else None
        if found and isinstance(sid := found.get("sid"), str):
            status = redact(str(found.get("status", "")), secrets)
            return SendResult.success(
                code=str(answer.status), response=status, provider_message_id=redact(sid, secrets)[:64]
            )
        code, text = self.problem(answer)
        return refusal(answer, code=code, text=text, codes=CODES, secrets=secrets)

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
                reason=CODES.get(code, _NEVER)[0] if failed else None,
                code=code if failed else "",
                detail=fields.get("ErrorMessage", "")[:500],
                address=fields.get("To", ""),
                suppress=failed and code in DEAD_NUMBERS,
                price=fields.get("Price", "").lstrip("-"),
                currency=fields.get("PriceUnit", "").upper() if fields.get("Price") else "",
            )
        ]


def _form(message: OutgoingMessage, credential: TwilioCredential) -> list[tuple[str, str]]:
    fields = [("To", message.recipient), ("Body", message.content["body"])]
    fields += [("MediaUrl", url) for url in message.content.get("media_urls") or ()]
    if credential.messaging_service_sid:
        fields.append(("MessagingServiceSid", credential.messaging_service_sid))
    if credential.from_phone:  # with a messaging service: which of its senders
        fields.append(("From", credential.from_phone))
    if credential.status_callback:
        fields.append(("StatusCallback", _with_record_id(credential.status_callback, message.id)))
    return fields


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
