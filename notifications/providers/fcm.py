"""Firebase Cloud Messaging, HTTP v1 API: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import Field, SecretStr, field_validator, model_validator

from notification_service.lib.net import PUBLIC_ONLY, NetworkPolicy
from notifications.providers.app_reports import is_signed, parse_reports
from notifications.providers.base import (
    CheckResult,
    CheckStep,
    CredentialSchema,
    FailureReason,
    OnResult,
    OutgoingMessage,
    Receipt,
    ReceiptRequest,
    Secret,
    SendResult,
)
from notifications.providers.google_tokens import GOOGLE_TOKEN_URI, ServiceAccount
from notifications.providers.http import BaseUrl, Codes, HttpAnswer, HttpError, HttpProvider, refusal, secret_forms
from notifications.providers.oauth_tokens import AccessTokens
from notifications.providers.push_addresses import is_subscription

#: Seconds to wait after a 429 that does not say how long.
#: https://firebase.google.com/docs/cloud-messaging/scale-fcm#handling-retries
DEFAULT_RETRY_AFTER = 60.0

_R = FailureReason
#: https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode, then the general codes of Google's APIs:
#: https://cloud.google.com/apis/design/errors#error_codes
CODES: Codes = {
    "UNREGISTERED": (_R.PROVIDER_ERROR, False),
    "INVALID_ARGUMENT": (_R.CONTENT_ERROR, False),
    # The token belongs to another Firebase project: either it is old, or this credential is the wrong one.
    "SENDER_ID_MISMATCH": (_R.PROVIDER_ERROR, False),
    "QUOTA_EXCEEDED": (_R.RATE_LIMITED, True),
    "UNAVAILABLE": (_R.PROVIDER_ERROR, True),
    "INTERNAL": (_R.PROVIDER_ERROR, True),
    "THIRD_PARTY_AUTH_ERROR": (_R.AUTH_ERROR, False),
    "UNAUTHENTICATED": (_R.AUTH_ERROR, False),
    "PERMISSION_DENIED": (_R.AUTH_ERROR, False),
    "NOT_FOUND": (_R.AUTH_ERROR, False),  # without UNREGISTERED it is the project that does not exist
    "RESOURCE_EXHAUSTED": (_R.RATE_LIMITED, True),
    "DEADLINE_EXCEEDED": (_R.PROVIDER_ERROR, True),
}
#: Of a key file, but of no use here.
_IGNORED = ("type", "client_id", "auth_uri", "auth_provider_x509_cert_url", "client_x509_cert_url", "universe_domain")
#: Lanes as (Android, APNs, Web Push) priorities; Android and APNs save power with the lower ones.
_PRIORITIES = {"critical": ("HIGH", "10", "high"), "bulk": ("NORMAL", "5", "low")}
_PRIORITY = ("HIGH", "10", "normal")


class FcmCredential(CredentialSchema):
    """A Firebase project and its service account.

    The downloaded key file can be given as a whole, as an object or as text, under ``service_account``.
    """

    project_id: str = Field(pattern=r"^[A-Za-z0-9.:_-]{1,128}$", description="Id of the Firebase project.")
    client_email: str = Field(
        pattern=r"^[^@\s]{1,128}@[^@\s]{1,190}$", description="Address of the service account, from its key file."
    )
    private_key: Secret = Field(description="The key in PEM, from the key file.")
    private_key_id: str | None = Field(None, max_length=200)
    token_uri: BaseUrl = Field(GOOGLE_TOKEN_URI, description="Where access tokens come from.")
    base_url: BaseUrl = Field("https://fcm.googleapis.com", description="Address of the API.")
    report_secret: Secret | None = Field(
        None,
        min_length=16,
        max_length=200,
        description="Signs what your app reports of messages that it received; without it, reports are refused.",
    )

    @model_validator(mode="before")
    @classmethod
    def _key_file(cls, data: Any) -> Any:
        """Take the fields of a whole key file; what it says wins over fields beside it."""
        if not isinstance(data, dict):
            return data
        fields = {name: value for name, value in data.items() if name != "service_account"}
        file = data.get("service_account")
        if isinstance(file, SecretStr):
            file = file.get_secret_value()
        if isinstance(file, str) and file.strip():
            try:
                file = orjson.loads(file)
            except orjson.JSONDecodeError:
                raise ValueError("service_account is not JSON.") from None
        if file is not None and file != "":
            if not isinstance(file, dict):
                raise ValueError("service_account must be the JSON object of a key file.")
            fields |= file
        kind = fields.get("type", "service_account")
        if kind != "service_account":
            raise ValueError("This is not the key file of a service account: its type must be service_account.")
        return {name: value for name, value in fields.items() if name not in _IGNORED and value not in (None, "")}

    @field_validator("private_key")
    @classmethod
    def _rsa_key(cls, value: SecretStr) -> SecretStr:
        # Key files that went through an environment variable have their line breaks spelt out.
        pem = value.get_secret_value().replace("\\n", "\n").strip() + "\n"
        try:
            # Credentials are read often; proving the key takes 100 ms and is done when it signs.
            key = load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError("Enter the private_key of the key file, with its BEGIN and END lines.") from None
        if not isinstance(key, RSAPrivateKey) or key.key_size < 2048:
            raise ValueError("The key must be RSA with at least 2048 bits.")
        return SecretStr(pem)

    def account(self) -> ServiceAccount:
        """Return what access tokens are made from."""
        return ServiceAccount(self.client_email, self.private_key, self.private_key_id, self.token_uri)


class FcmProvider(HttpProvider[FcmCredential]):
    """Sends to apps on Android, iOS and the web by their registration tokens."""

    key: ClassVar[str] = "fcm"
    label: ClassVar[str] = "Firebase Cloud Messaging"
    channel: ClassVar[str] = "push"
    schema: ClassVar[type[CredentialSchema]] = FcmCredential
    concurrency: ClassVar[int] = 128

    def __init__(self, *, network_policy: NetworkPolicy = PUBLIC_ONLY) -> None:
        super().__init__(network_policy=network_policy)
        self._tokens = AccessTokens(self.request)

    @classmethod
    def takes(cls, recipient: str) -> bool:
        """Registration tokens, not Web Push subscriptions."""
        return not is_subscription(recipient)

    async def send_many(
        self, messages: Sequence[OutgoingMessage], credential: FcmCredential, on_result: OnResult
    ) -> None:
        """Send all messages concurrently. Without an access token none is tried: they share that one failure."""
        token = await self._tokens.get(credential.account()) if messages and not self.stopped else ""
        if isinstance(token, SendResult):
            for message in messages:
                on_result(message, token)
            return
        await super().send_many(messages, credential, on_result)

    async def send(self, message: OutgoingMessage, credential: FcmCredential) -> SendResult:
        """Send one message."""
        if not self.takes(message.recipient):
            return SendResult.failure(
                _R.PROVIDER_ERROR, "The address is a Web Push subscription.", code="not_a_token", retryable=False
            )
        return await self._post(credential, {"message": fcm_message(message)})

    async def check(self, credential: FcmCredential) -> CheckResult:
        """Get an access token and let FCM judge a message that it does not send."""
        started = time.monotonic()
        token = await self._tokens.get(credential.account())
        failure = token if isinstance(token, SendResult) else None
        steps = [CheckStep("access token", failure is None, failure.response if failure else "granted")]
        if failure is None:
            trial = {"message": {"topic": "credential-check", "data": {"check": "1"}}, "validate_only": True}
            result = await self._post(credential, trial)
            failure = None if result.accepted else result
            steps.append(CheckStep("dry run", failure is None, failure.response if failure else "accepted"))
        return CheckResult(
            failure is None,
            failure.response if failure else f"{self.label} accepts the credential.",
            failure.reason if failure else None,
            tuple(steps),
            duration_ms=round((time.monotonic() - started) * 1000),
        )

    def verify_receipt(self, request: ReceiptRequest, credential: FcmCredential) -> bool:
        """Whether the call is signed with the credential's ``report_secret``."""
        secret = credential.report_secret
        return secret is not None and is_signed(request, secret.get_secret_value())

    def parse_receipt(self, request: ReceiptRequest) -> list[Receipt]:
        """Return what an app reports: FCM reports nothing by itself."""
        return parse_reports(request.body)

    async def aclose(self) -> None:
        """Close the connections and forget the tokens."""
        await self._tokens.aclose()
        await super().aclose()

    def problem(self, answer: HttpAnswer) -> tuple[str, str]:
        """Return FCM's own code, or else Google's status, and the words."""
        error = (answer.json() or {}).get("error")
        if not isinstance(error, dict):
            return "", ""
        codes = [detail.get("errorCode") for detail in _details(error)]
        code = next((code for code in codes if isinstance(code, str)), error.get("status"))
        text = error.get("message")
        return code if isinstance(code, str) else "", text if isinstance(text, str) else ""

    async def _post(self, credential: FcmCredential, body: Mapping[str, Any]) -> SendResult:
        """Post, once more with a new token if the one that was kept is refused: a 401 has sent nothing."""
        account, data = credential.account(), orjson.dumps(body)
        url = f"{credential.base_url}/v1/projects/{quote(credential.project_id)}/messages:send"
        again = False
        while True:
            token = await self._tokens.get(account)
            if isinstance(token, SendResult):
                return token
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            try:
                answer = await self.request("POST", url, body=data, headers=headers)
            except HttpError as error:
                return error.result(secret_forms(credential, token))
            if answer.status == 401 and not again and self.problem(answer)[0] != "THIRD_PARTY_AUTH_ERROR":
                again = self._tokens.forget(account, token)
                if again:
                    continue
            return self._result(answer, credential, token)

    def _result(self, answer: HttpAnswer, credential: FcmCredential, token: str) -> SendResult:
        if answer.ok:
            name = (answer.json() or {}).get("name")
            if isinstance(name, str) and name:
                return SendResult.success(code=str(answer.status), provider_message_id=name[:255])
        code, text = self.problem(answer)
        result = refusal(answer, code=code, text=text, codes=CODES, secrets=secret_forms(credential, token))
        if code == "UNREGISTERED" or (code == "INVALID_ARGUMENT" and _blames_token(answer)):
            return replace(result, reason=_R.PROVIDER_ERROR, retryable=False, dead_address=True)
        if result.reason is _R.RATE_LIMITED and result.retry_after is None:
            return replace(result, retry_after=DEFAULT_RETRY_AFTER)
        return result


def fcm_message(message: OutgoingMessage) -> dict[str, Any]:
    """Return FCM's ``Message`` for one token; the platform overrides of the content win over everything made here.

    ``data.notification_id`` is the record's id, so that an app can tell what was opened and drop a repetition.
    """
    content = message.content
    shown = {name: content[name] for name in ("title", "body", "image") if content.get(name)}
    data = {"notification_id": str(message.id), **content.get("data", {})}
    android_priority, apns_priority, urgency = _PRIORITIES.get(message.lane, _PRIORITY)
    android: dict[str, Any] = {"priority": android_priority}
    # Apple refuses the highest priority for what shows nothing.
    apns: dict[str, Any] = {"headers": {"apns-priority": apns_priority if shown else "5"}}
    webpush: dict[str, Any] = {"headers": {"Urgency": urgency}}
    if (ttl := content.get("ttl")) is not None:
        android["ttl"] = f"{ttl}s"
        apns["headers"]["apns-expiration"] = str(int(time.time()) + ttl if ttl else 0)
        webpush["headers"]["TTL"] = str(ttl)
    if key := content.get("collapse_key"):
        android["collapse_key"] = key
        apns["headers"]["apns-collapse-id"] = key
    if actions := content.get("actions"):
        data.setdefault("actions", orjson.dumps(actions).decode())
        webpush["notification"] = {"actions": actions}
    made: dict[str, Any] = {"token": message.recipient, "data": data}
    if shown:
        made["notification"] = shown
    for name, platform in (("android", android), ("apns", apns), ("webpush", webpush)):
        made[name] = merged(platform, content.get(name) or {})
    return made


def merged(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``override`` laid over it, object by object."""
    result = dict(base)
    for name, value in override.items():
        below = result.get(name)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[name] = merged(below, value) if both else value  # type: ignore[arg-type]
    return result


def _details(error: Mapping[str, Any]) -> list[dict[str, Any]]:
    details = error.get("details")
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


def _blames_token(answer: HttpAnswer) -> bool:
    """Tell whether an INVALID_ARGUMENT is about the token; about anything else it is the content's fault."""
    error = (answer.json() or {}).get("error") or {}
    for detail in _details(error):
        violations = detail.get("fieldViolations")
        for violation in violations if isinstance(violations, list) else ():
            if isinstance(violation, dict) and violation.get("field") == "message.token":
                return True
    return "registration token" in str(error.get("message", "")).lower()
