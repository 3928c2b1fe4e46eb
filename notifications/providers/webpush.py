"""Web Push (RFC 8030): browsers, through whichever service they chose; encrypted (RFC 8291), with VAPID (RFC 8292).

pywebpush encrypts and py_vapid signs; the guarded session of ``HttpProvider`` sends, because an endpoint is an address
that somebody else chose.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02, VapidException
from pydantic import Field, SecretStr, field_validator
from pywebpush import WebPusher

from notification_service.lib.net import PUBLIC_ONLY, NetworkPolicy
from notifications.providers.base import (
    CheckResult,
    CheckStep,
    CredentialSchema,
    FailureReason,
    OutgoingMessage,
    Secret,
    SendResult,
)
from notifications.providers.fcm import merged
from notifications.providers.http import Codes, HttpAnswer, HttpError, HttpProvider, refusal, secret_forms
from notifications.providers.push_addresses import is_subscription, parse_subscription

#: Octets of clear text that fit into the 4096 of an encrypted message (RFC 8291 §4).
MAX_CLEAR_TEXT = 3993
#: Seconds that a push service keeps a message for a browser that is away, unless the content says otherwise.
DEFAULT_TTL = 2_419_200
#: Seconds for which a VAPID token is good (at most 24 hours, RFC 8292 §2) and for which it is used.
TOKEN_LIFE, TOKEN_USE = 12 * 3600, 11 * 3600
_REMEMBERED_TOKENS = 5_000

_R = FailureReason
#: RFC 8030 §5 to §7.3 and RFC 8292 §4.2, by HTTP status.
CODES: Codes = {
    "400": (_R.PROVIDER_ERROR, False),
    "401": (_R.AUTH_ERROR, False),
    "403": (_R.AUTH_ERROR, False),  # the subscription was made for another VAPID key
    "404": (_R.PROVIDER_ERROR, False),
    "410": (_R.PROVIDER_ERROR, False),
    "413": (_R.CONTENT_ERROR, False),
    "429": (_R.RATE_LIMITED, True),
}
#: The subscription is gone (RFC 8030 §7.3).
_GONE = frozenset({404, 410})
_URGENCY = {"critical": "high", "bulk": "low"}
#: The headers that a content may set (RFC 8030 §5.2 to §5.4).
_HEADERS = {"ttl": "TTL", "urgency": "Urgency", "topic": "Topic"}
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")


class WebPushCredential(CredentialSchema):
    """The VAPID key pair that subscriptions are made for, and whom a push service can turn to."""

    vapid_private_key: Secret = Field(description="The private key: 32 octets in base64url, or PEM.")
    vapid_subject: str = Field(
        max_length=320,
        description="`mailto:` or `https:` address of whoever runs the sender.",
        examples=["mailto:ops@example.com"],
    )

    @field_validator("vapid_private_key")
    @classmethod
    def _p256_key(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value().strip()
        try:
            key = _vapid(text).private_key
        except (ValueError, TypeError, IndexError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
            raise ValueError("Enter a private P-256 key: 32 octets in base64url, or PEM.")
        return SecretStr(text)

    @field_validator("vapid_subject")
    @classmethod
    def _reachable(cls, value: str) -> str:
        trial = Vapid02()
        trial.generate_keys()
        try:
            trial.sign({"sub": value, "aud": "https://push.example"})
        except VapidException:
            raise ValueError("Enter a mailto: or https: address, such as mailto:ops@example.com.") from None
        return value

    def public_key(self) -> str:
        """Return what browsers subscribe with (``applicationServerKey``), in base64url."""
        key = _vapid(self.vapid_private_key.get_secret_value()).public_key
        point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return base64.urlsafe_b64encode(point).rstrip(b"=").decode()


class WebPushProvider(HttpProvider[WebPushCredential]):
    """Sends to browsers by their push subscriptions."""

    key: ClassVar[str] = "webpush"
    label: ClassVar[str] = "Web Push"
    channel: ClassVar[str] = "push"
    schema: ClassVar[type[CredentialSchema]] = WebPushCredential

    def __init__(self, *, network_policy: NetworkPolicy = PUBLIC_ONLY) -> None:
        super().__init__(network_policy=network_policy)
        self._signed: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    @classmethod
    def takes(cls, recipient: str) -> bool:
        """Subscriptions, not registration tokens."""
        return is_subscription(recipient)

    async def send(self, message: OutgoingMessage, credential: WebPushCredential) -> SendResult:
        """Encrypt and send one message."""
        try:
            subscription = parse_subscription(message.recipient)
            authorization = self._authorization(credential, subscription.origin)
        except (ValueError, VapidException) as error:
            return SendResult.failure(_R.PROVIDER_ERROR, str(error), code="not_a_subscription", retryable=False)
        clear = orjson.dumps(webpush_payload(message))
        if len(clear) > MAX_CLEAR_TEXT:
            return SendResult.failure(
                _R.CONTENT_ERROR, f"The notification has {len(clear)} octets; a browser takes {MAX_CLEAR_TEXT}."
            )
        keys = {"p256dh": subscription.p256dh, "auth": subscription.auth}
        body = WebPusher({"endpoint": subscription.endpoint, "keys": keys}).encode(clear)["body"]
        headers = {
            **webpush_headers(message),
            "Authorization": authorization,
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
        }
        try:
            answer = await self.request("POST", subscription.endpoint, body=body, headers=headers)
        except HttpError as error:
            return error.result(secret_forms(credential, authorization))
        return self._result(answer, credential, authorization)

    async def check(self, credential: WebPushCredential) -> CheckResult:
        """Sign a token: there is nobody to ask before a browser has subscribed."""
        started = time.monotonic()
        self._authorization(credential, "https://push.example")
        detail = f"The key signs. Browsers subscribe with {credential.public_key()}."
        duration = round((time.monotonic() - started) * 1000)
        return CheckResult(True, detail, None, (CheckStep("key", True, detail),), duration_ms=duration)

    def _result(self, answer: HttpAnswer, credential: WebPushCredential, authorization: str) -> SendResult:
        if answer.ok:
            return SendResult.success(
                code=str(answer.status), provider_message_id=answer.headers.get("Location", "")[:255]
            )
        found = answer.json()
        words = found.get("message") if found else answer.body.decode("utf-8", "replace").strip()
        result = refusal(
            answer,
            code=str(answer.status),
            text=words if isinstance(words, str) else "",
            codes=CODES,
            secrets=secret_forms(credential, authorization),
        )
        return replace(result, dead_address=True) if answer.status in _GONE else result

    def _authorization(self, credential: WebPushCredential, origin: str) -> str:
        """Return the VAPID header for a push service, signed once and used for hours."""
        secret = credential.vapid_private_key.get_secret_value()
        key = hashlib.sha256("\0".join((secret, credential.vapid_subject, origin)).encode()).digest()
        now = time.time()
        known = self._signed.get(key)
        if known and now < known[1]:
            self._signed.move_to_end(key)
            return known[0]
        claims = {"aud": origin, "sub": credential.vapid_subject, "exp": int(now) + TOKEN_LIFE}
        header = str(_vapid(secret).sign(claims)["Authorization"])
        self._signed[key] = (header, now + TOKEN_USE)
        if len(self._signed) > _REMEMBERED_TOKENS:
            self._signed.popitem(last=False)
        return header


def webpush_payload(message: OutgoingMessage) -> dict[str, Any]:
    """Return the JSON that a service worker is given.

    ``title`` and the options of ``showNotification`` (W3C Notifications §2) beside each other; ``data`` is the
    content's, with ``notification_id``, the record's id.
    """
    content = message.content
    override = content.get("webpush") or {}
    shown = {name: content[name] for name in ("title", "body", "image", "actions") if content.get(name)}
    data = {"notification_id": str(message.id), **content.get("data", {}), **(override.get("data") or {})}
    return merged({**shown, "data": data}, override.get("notification") or {})


def webpush_headers(message: OutgoingMessage) -> dict[str, str]:
    """Return TTL (seconds), Urgency and Topic. A collapse key that is no topic becomes one by its hash."""
    content = message.content
    headers = {
        "TTL": str(content.get("ttl", DEFAULT_TTL)),
        "Urgency": _URGENCY.get(message.lane, "normal"),
    }
    if key := content.get("collapse_key"):
        digest = base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()).decode()
        headers["Topic"] = key if _TOPIC.fullmatch(key) else digest[:32]
    override = (content.get("webpush") or {}).get("headers")
    for name, value in override.items() if isinstance(override, Mapping) else ():
        if known := _HEADERS.get(name.lower()):
            headers[known] = str(value)
    return headers


def _vapid(secret: str) -> Vapid02:
    """Read a private key. Raises ``ValueError`` and its like."""
    return Vapid02.from_pem(secret.encode()) if secret.startswith("-----") else Vapid02.from_string(secret)
