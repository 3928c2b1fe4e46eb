"""WhatsApp Business Platform, Cloud API: https://developers.facebook.com/docs/whatsapp/cloud-api."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import orjson
from pydantic import Field, SecretStr, field_validator, model_validator

from notifications.providers.base import (
    CheckResult,
    CredentialSchema,
    OutgoingMessage,
    Receipt,
    ReceiptRequest,
    Secret,
    SendResult,
)
from notifications.providers.http import BaseUrl, HttpAnswer, HttpError, HttpProvider, refusal, secret_forms
from notifications.providers.whatsapp_codes import CODES, HINTS
from notifications.providers.whatsapp_webhooks import parse_webhook

SIGNATURE = "X-Hub-Signature-256"


class WhatsAppCredential(CredentialSchema):
    """A telephone number of a WhatsApp business account, and the app that may send from it."""

    access_token: Secret = Field(description="Token of a system user with `whatsapp_business_messaging`.")
    phone_number_id: str = Field(pattern=r"^[0-9]{5,32}$", description="Id of the sender's number, not the number.")
    app_secret: Secret | None = Field(None, description="Secret of the app: webhooks are signed with it.")
    verify_token: str | None = Field(
        None, min_length=8, max_length=200, description="Word of your choice that the webhook is set up with."
    )
    api_version: str = Field("v23.0", pattern=r"^v[0-9]{1,3}\.[0-9]$")
    base_url: BaseUrl = Field("https://graph.facebook.com", description="Address of the API.")

    @model_validator(mode="before")
    @classmethod
    def _without_empty_fields(cls, data: Any) -> Any:
        return {k: v for k, v in data.items() if v is not None and v != ""} if isinstance(data, dict) else data

    @field_validator("access_token", "app_secret")
    @classmethod
    def _one_line(cls, value: SecretStr | None) -> SecretStr | None:
        text = value.get_secret_value() if value else "x"
        if not 1 <= len(text) <= 1000 or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("This is a line of ASCII characters without spaces.")
        return value

    def url(self, path: str = "") -> str:
        """Return the address of the sender's number in the API."""
        return f"{self.base_url}/{self.api_version}/{self.phone_number_id}{path}"

    def headers(self) -> dict[str, str]:
        """Return the headers of every request."""
        return {
            "Authorization": f"Bearer {self.access_token.get_secret_value()}",
            "Content-Type": "application/json",
        }


class WhatsAppCloudProvider(HttpProvider[WhatsAppCredential]):
    """Sends by ``POST /{version}/{phone_number_id}/messages``."""

    key: ClassVar[str] = "whatsapp_cloud"
    label: ClassVar[str] = "WhatsApp Cloud API"
    channel: ClassVar[str] = "whatsapp"
    schema: ClassVar[type[CredentialSchema]] = WhatsAppCredential

    async def send(self, message: OutgoingMessage, credential: WhatsAppCredential) -> SendResult:
        """Send one message; the record's id travels as ``biz_opaque_callback_data`` and comes back with statuses."""
        body = orjson.dumps(cloud_message(message))
        try:
            answer = await self.request("POST", credential.url("/messages"), body=body, headers=credential.headers())
        except HttpError as error:
            return error.result(secret_forms(credential))
        if answer.ok and (message_id := _message_id(answer)):
            return SendResult.success(code=str(answer.status), provider_message_id=message_id[:255])
        code, text = self.problem(answer)
        return refusal(answer, code=code, text=text, codes=CODES, secrets=secret_forms(credential))

    async def check(self, credential: WhatsAppCredential) -> CheckResult:
        """Fetch the sender's number."""
        return await self.check_request(
            "phone number",
            credential.url("?fields=display_phone_number,verified_name"),
            headers=credential.headers(),
            secrets=secret_forms(credential),
            codes=CODES,
        )

    def problem(self, answer: HttpAnswer) -> tuple[str, str]:
        """Return (code, words) of an error of the Graph API ``{"error": {"code", "message", "error_data"}}``."""
        error = (answer.json() or {}).get("error")
        if not isinstance(error, dict):
            return "", ""
        number, text, data = error.get("code"), error.get("message"), error.get("error_data")
        code = str(number) if type(number) is int else ""
        details = data.get("details") if isinstance(data, dict) else None
        words = (HINTS.get(code), text, details if details != text else None)
        return code, " ".join(part for part in words if isinstance(part, str) and part)

    def verify_receipt(self, request: ReceiptRequest, credential: WhatsAppCredential) -> bool:
        """Whether the webhook is signed with the app's secret (HMAC-SHA256 over the raw body).

        https://developers.facebook.com/docs/graph-api/webhooks/getting-started#validate-payloads
        """
        if credential.app_secret is None:
            return False
        key = credential.app_secret.get_secret_value().encode()
        expected = f"sha256={hmac.new(key, request.body, hashlib.sha256).hexdigest()}"
        return hmac.compare_digest(expected.encode(), request.header(SIGNATURE).encode())

    def parse_receipt(self, request: ReceiptRequest) -> list[Receipt]:
        """Return the outcomes of our messages, and a request to suppress for every inbound message that says stop.

        The latter has the state ``complained``, the sender's number as ``address``, and as ``provider_message_id`` the
        message that was answered, or nothing if it answers none.
        """
        return parse_webhook(request.body)

    def answer_challenge(self, query: Mapping[str, str], credential: WhatsAppCredential) -> str | None:
        """Return what a verification request (GET) must be answered with, or ``None`` if it does not know the token.

        https://developers.facebook.com/docs/graph-api/webhooks/getting-started#verification-requests
        """
        known, given = credential.verify_token, query.get("hub.verify_token", "")
        if not known or query.get("hub.mode") != "subscribe":
            return None
        if not hmac.compare_digest(known.encode(), given.encode()):
            return None
        challenge = query.get("hub.challenge", "")
        # It is repeated in an answer of ours: digits and the like, nothing that a browser could take for a page.
        return challenge if re.fullmatch(r"[A-Za-z0-9_.-]{1,256}", challenge) else None


def cloud_message(message: OutgoingMessage) -> dict[str, Any]:
    """Return the body of the request for one message."""
    content = message.content
    body: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": message.recipient,
        "biz_opaque_callback_data": str(message.id),
    }
    if template := content.get("template"):
        body["type"] = "template"
        body["template"] = {"name": template["name"], "language": {"code": template["language"]}}
        if template.get("components"):
            body["template"]["components"] = template["components"]
    elif media := content.get("media"):
        body["type"] = media["type"]
        body[media["type"]] = {name: value for name, value in media.items() if name != "type"}
    else:
        body["type"] = "text"
        body["text"] = content["text"]
    return body


def _message_id(answer: HttpAnswer) -> str:
    messages = (answer.json() or {}).get("messages")
    first = messages[0] if isinstance(messages, list) and messages else None
    found = first.get("id") if isinstance(first, dict) else None
    return found if isinstance(found, str) else ""
