"""Twilio: text messages through the Messages API.

The vendor's SDK makes the requests and computes the signatures of callbacks; the requests travel over the shared HTTP
base. The SDK's own HTTP client is not used: it can not be pointed at another address, and its errors know neither
``Retry-After`` nor whether the request had been written, which is what tells a retry from a duplicate. The SDK costs
a third more than a request of our own would: 0.19 ms of processor time a message instead of 0.14, measured on loopback.

Sources: https://www.twilio.com/docs/messaging/api/message-resource,
https://www.twilio.com/docs/api/errors, https://www.twilio.com/docs/usage/security#validating-requests
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit
from uuid import UUID

import phonenumbers
from pydantic import AliasChoices, Field, field_validator, model_validator
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from twilio.request_validator import RequestValidator, add_port, remove_port
from twilio.rest import Client

from notification_service.lib.net import PUBLIC_ONLY, NetworkPolicy
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
#: Keeps the SDK from the process's environment, which could lead it to another host; an empty mapping would not.
_NO_ENVIRONMENT = {"TWILIO_EDGE": "", "TWILIO_REGION": ""}
#: SDK clients that are kept, one a credential.
MAX_CLIENTS = 256


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


class _Refused(Exception):
    """An answer that is not the yes that the API promises."""

    def __init__(self, answer: HttpAnswer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class _Wire(AsyncHttpClient):  # type: ignore[misc]  # the SDK has no types
    """The SDK's way to our transport: to the credential's base URL, and with what is known about a failure."""

    def __init__(self, request: Callable[..., Awaitable[HttpAnswer]], credential: TwilioCredential) -> None:
        super().__init__(logging.getLogger(__name__), is_async=True)
        self._request = request
        self._base_url = credential.base_url
        self._authorization = credential.authorization()

    async def request(
        self, method: str, url: str, params: Any = None, data: Any = None, headers: Any = None, *_: Any, **__: Any
    ) -> Response:
        """Send what the SDK built. Raises ``HttpError``, and ``_Refused`` for all but a message that was created."""
        body = urlencode(data or {}, doseq=True, errors="surrogatepass").encode()
        answer = await self._request(
            method,
            self._base_url + url.removeprefix(API),
            body=body,
            headers={**headers, "Authorization": self._authorization},
        )
        found = answer.json() if answer.ok else None
        if not found or not isinstance(found.get("sid"), str):
            raise _Refused(answer)
        known = {name: found[name] for name in ("sid", "status") if isinstance(found.get(name), str)}
        return Response(answer.status, json.dumps(known), answer.headers)


class TwilioProvider(HttpProvider[TwilioCredential]):
    """Sends by ``POST /2010-04-01/Accounts/{sid}/Messages.json``."""

    key: ClassVar[str] = "twilio"
    label: ClassVar[str] = "Twilio"
    channel: ClassVar[str] = "sms"
    schema: ClassVar[type[CredentialSchema]] = TwilioCredential

    def __init__(self, *, network_policy: NetworkPolicy = PUBLIC_ONLY) -> None:
        super().__init__(network_policy=network_policy)
        self._clients: dict[TwilioCredential, Client] = {}

    async def send(self, message: OutgoingMessage, credential: TwilioCredential) -> SendResult:
        """Send one message. The record's id travels in the address of the status callback and comes back with it."""
        try:
            sent = await self._client(credential).messages.create_async(**_fields(message, credential))
        except HttpError as error:
            return error.result(credential.secrets())
        except _Refused as error:
            code, text = self.problem(error.answer)
            return refusal(error.answer, code=code, text=text, codes=CODES, secrets=credential.secrets())
        return SendResult.success(
            code="201",
            response=sent.status if sent.status in STATUSES else "",
            provider_message_id=sent.sid if _SID.fullmatch(sent.sid) else redact(sent.sid, credential.secrets())[:64],
        )

    def _client(self, credential: TwilioCredential) -> Client:
        client = self._clients.get(credential)
        if client is None:
            if len(self._clients) >= MAX_CLIENTS:
                self._clients.clear()
            wire = _Wire(self.request, credential)
            login = credential.account_sid, credential.auth_token.get_secret_value()
            client = self._clients[credential] = Client(*login, http_client=wire, environment=_NO_ENVIRONMENT)
        return client

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


def _fields(message: OutgoingMessage, credential: TwilioCredential) -> dict[str, Any]:
    """Return what the SDK's ``messages.create`` takes."""
    fields: dict[str, Any] = {"to": message.recipient, "body": message.content["body"]}
    if media := message.content.get("media_urls"):
        fields["media_url"] = media
    if credential.messaging_service_sid:
        fields["messaging_service_sid"] = credential.messaging_service_sid
    if credential.from_phone:  # with a messaging service: which of its senders
        fields["from_"] = credential.from_phone
    if credential.status_callback:
        fields["status_callback"] = _with_record_id(credential.status_callback, message.id)
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
