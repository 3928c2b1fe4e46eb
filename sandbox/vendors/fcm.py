"""Firebase Cloud Messaging v1 with its OAuth token endpoint, as Google documents them.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send,
https://developers.google.com/identity/protocols/oauth2/service-account#httprest

``GET /demo/fcm-service-account`` gives out a key file whose ``token_uri`` and ``base_url`` point here. Any other key
file works too, pointed here: its signature can not be checked, its assertion's shape and times are.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from dataclasses import dataclass
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from uuid_utils.compat import uuid7

from sandbox.api import STORE
from sandbox.magic import DEFAULT_DELAY
from sandbox.misbehaviour import DEFAULT_FAILURES, Behaviour, Failures, hang_up
from sandbox.steering import RETRY_AFTER, linger, magic_name, times

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPES = {"https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform"}
AUDIENCES = ("https://oauth2.googleapis.com/token", "https://accounts.google.com/o/oauth2/token")
DEMO_PROJECT = "sandbox-project"
DEMO_EMAIL = f"firebase-adminsdk@{DEMO_PROJECT}.iam.gserviceaccount.com"
LIFETIME = 3599  # seconds, as Google's
LARGEST_PAYLOAD = 4096  # octets of notification and data

_ERROR_TYPE = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST_TYPE = "type.googleapis.com/google.rpc.BadRequest"
_FIELDS = {
    "name", "data", "notification", "android", "webpush", "apns", "fcm_options", "token", "topic", "condition",
}  # fmt: skip
_ACCOUNT = re.compile(r"[^@]+@([^@]+)\.iam\.gserviceaccount\.com")

channel = "push"
#: Magic registration tokens; what stands after a ``:`` makes no difference.
recipients = {
    "unregistered": Behaviour("The app was removed.", 404, message="UNREGISTERED"),
    "invalid-token": Behaviour("Not a token at all.", 400, message="INVALID_ARGUMENT"),
    "fail-permanent": Behaviour("Refused for good; the token stays alive.", 400, message="INVALID_ARGUMENT"),
    "sender-mismatch": Behaviour("The token belongs to another project.", 403, message="SENDER_ID_MISMATCH"),
    "rate-limited": Behaviour(f"Always refused for now, `Retry-After: {RETRY_AFTER}`.", 429, message="QUOTA_EXCEEDED"),
    "fail-temporary+3": Behaviour(
        f"Refused n times ({DEFAULT_FAILURES} without a number), accepted once, then all over again.",
        503,
        message="UNAVAILABLE",
    ),
    "unavailable": Behaviour("Always refused for now.", 503, message="UNAVAILABLE"),
    "internal-error": Behaviour("Always refused for now.", 500, message="INTERNAL"),
    "auth-fail": Behaviour("Refused as if the access token were wrong.", 401, message="UNAUTHENTICATED"),
    "apns-auth": Behaviour("Refused as if the APNs key were wrong.", 401, message="THIRD_PARTY_AUTH_ERROR"),
    "slow+0.5": Behaviour(f"Accepted after n seconds ({DEFAULT_DELAY:g} without a number)."),
    "drop": Behaviour("The connection is closed without an answer; nothing is kept."),
}
#: Magic name -> HTTP status, Google's status, FCM's code, words.
_REFUSALS = {
    "unregistered": (404, "NOT_FOUND", "UNREGISTERED", "Requested entity was not found."),
    "invalid-token": (
        400,
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "The registration token is not a valid FCM registration token",
    ),
    "fail-permanent": (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "sender-mismatch": (403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", "SenderId mismatch"),
    "rate-limited": (429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "Quota exceeded for sending messages."),
    "fail-temporary": (503, "UNAVAILABLE", "UNAVAILABLE", "The service is currently unavailable."),
    "unavailable": (503, "UNAVAILABLE", "UNAVAILABLE", "The service is currently unavailable."),
    "internal-error": (500, "INTERNAL", "INTERNAL", "Internal error encountered."),
    "auth-fail": (401, "UNAUTHENTICATED", "", "Request had invalid authentication credentials."),
    "apns-auth": (401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", "Auth error from APNS or Web Push Service"),
}

routes = web.RouteTableDef()
_failures = Failures()
#: Access tokens are signed with a key of this process: after a restart old ones are refused, as revoked ones would be.
_token_key = secrets.token_bytes(32)
_demo: dict[str, _DemoKey] = {}
_making = asyncio.Lock()


@dataclass(frozen=True, slots=True)
class _DemoKey:
    """The key of the demo account."""

    key_id: str
    pem: str
    public: rsa.RSAPublicKey


class Refusal(Exception):
    """An answer in Google's error shape."""

    def __init__(self, status: int, name: str, code: str, message: str, field: str = "") -> None:
        super().__init__(message)
        details: list[dict[str, Any]] = [{"@type": _ERROR_TYPE, "errorCode": code}] if code else []
        if field:
            violations = [{"field": field, "description": message}]
            details.append({"@type": _BAD_REQUEST_TYPE, "fieldViolations": violations})
        self.status = status
        self.body = {"error": {"code": status, "message": message, "status": name, "details": details}}

    def response(self) -> web.Response:
        """Return it as an answer."""
        headers = {"Retry-After": str(RETRY_AFTER)} if self.status == 429 else {}
        return web.json_response(self.body, status=self.status, headers=headers)


@routes.get("/demo/fcm-service-account")
async def demo_service_account(request: web.Request) -> web.Response:
    """Return a key file for this end; the same until the sandbox restarts."""
    key = await _demo_key()
    here = str(request.url.origin())
    return web.json_response(
        {
            "type": "service_account",
            "project_id": DEMO_PROJECT,
            "private_key_id": key.key_id,
            "private_key": key.pem,
            "client_email": DEMO_EMAIL,
            "client_id": "100000000000000000001",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": f"{here}/token",
            "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
            "client_x509_cert_url": f"{here}/demo/fcm-service-account",
            "universe_domain": "googleapis.com",
            "base_url": here,
        }
    )


@routes.post("/token")
async def token(request: web.Request) -> web.Response:
    """Give an access token for a signed assertion (RFC 7523)."""
    form = await request.post()
    if form.get("grant_type") != GRANT_TYPE:
        return _oauth_error("unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type', '')}")
    assertion = form.get("assertion")
    if not isinstance(assertion, str) or not assertion:
        return _oauth_error("invalid_request", "Missing required parameter: assertion")
    try:
        email = _check_assertion(assertion, (*AUDIENCES, str(request.url.with_query(None))))
    except jwt.InvalidTokenError as problem:
        return _oauth_error("invalid_grant", f"Invalid JWT: {problem}")
    if email.lower().startswith(("wrong", "invalid", "auth-fail")):
        return _oauth_error("invalid_grant", "Invalid grant: account not found")
    access = jwt.encode({"sub": email, "exp": int(time.time()) + LIFETIME, "jti": secrets.token_hex(8)}, _token_key)
    return web.json_response({"access_token": f"ya29.{access}", "expires_in": LIFETIME, "token_type": "Bearer"})


@routes.post("/v1/projects/{project}/messages:send")
async def send(request: web.Request) -> web.Response:
    """Take one message; with ``validate_only`` judge it and keep nothing."""
    project = request.match_info["project"]
    try:
        account = _bearer(request)
        owner = _ACCOUNT.fullmatch(account)
        if owner and owner[1] != project:
            raise Refusal(
                403, "PERMISSION_DENIED", "", f"Permission 'cloudmessaging.messages.create' denied on '{project}'."
            )
        raw = await request.read()
        message, dry = _parse(raw)
        target = str(message.get("token") or message.get("topic") or message.get("condition"))
        name, tag = magic_name(target) if "token" in message else ("", "")
        if name == "drop":
            return hang_up(request)
        if name == "slow":
            await linger(tag)
        elif name in _REFUSALS and (name != "fail-temporary" or _failures.refuses(target.lower(), times(tag))):
            raise Refusal(*_REFUSALS[name], field="message.token" if name == "invalid-token" else "")
    except Refusal as refusal:
        return refusal.response()
    if dry:
        return web.json_response({"name": f"projects/{project}/messages/fake_message_id"})
    shown = message.get("notification") or {}
    request.app[STORE].add(
        channel="push",
        tenant=project,
        to=[target],
        sender=account,
        raw=raw,
        subject=str(shown.get("title", "")),
        text=str(shown.get("body", "")),
        html="",
        headers={f"data.{key}": value for key, value in (message.get("data") or {}).items()},
    )
    return web.json_response({"name": f"projects/{project}/messages/0:{uuid7().int >> 64}%{secrets.token_hex(8)}"})


async def _demo_key() -> _DemoKey:
    async with _making:
        if "key" not in _demo:
            private = await asyncio.to_thread(rsa.generate_private_key, 65537, 2048)
            pem = private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            _demo["key"] = _DemoKey(secrets.token_hex(20), pem.decode(), private.public_key())
    return _demo["key"]


def _check_assertion(assertion: str, audiences: tuple[str, ...]) -> str:
    """Return the account's address. Raises ``jwt.InvalidTokenError`` saying what Google would object to."""
    header = jwt.get_unverified_header(assertion)
    if header.get("alg") != "RS256":
        raise jwt.InvalidTokenError(f"Algorithm {header.get('alg')} is not RS256")
    known = _demo.get("key")
    is_known = known is not None and header.get("kid") == known.key_id
    claims = jwt.decode(
        assertion,
        known.public if is_known and known else "",
        algorithms=["RS256"],
        audience=audiences,
        leeway=60,
        options={
            "verify_signature": is_known,
            "verify_exp": True,
            "verify_aud": True,
            "verify_iat": True,
            "require": ["iss", "scope", "aud", "exp", "iat"],
        },
    )
    if not isinstance(claims["iss"], str) or "@" not in claims["iss"]:
        raise jwt.InvalidTokenError("iss is not a service account")
    if not SCOPES.intersection(str(claims["scope"]).split()):
        raise jwt.InvalidTokenError("scope does not include firebase.messaging")
    if claims["exp"] - claims["iat"] > 3600 or claims["exp"] <= claims["iat"]:
        raise jwt.InvalidTokenError("the token must be a short-lived token (60 minutes) and in a reasonable timeframe")
    return str(claims["iss"])


def _oauth_error(code: str, description: str) -> web.Response:
    status = 401 if code == "invalid_client" else 400
    return web.json_response({"error": code, "error_description": description}, status=status)


def _bearer(request: web.Request) -> str:
    """Return whose access token a request carries."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    try:
        if scheme != "Bearer" or not value.startswith("ya29."):
            raise jwt.InvalidTokenError
        return str(jwt.decode(value.removeprefix("ya29."), _token_key, algorithms=["HS256"])["sub"])
    except jwt.InvalidTokenError:
        raise Refusal(
            401,
            "UNAUTHENTICATED",
            "",
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
            "valid authentication credential.",
        ) from None


def _parse(raw: bytes) -> tuple[dict[str, Any], bool]:
    """Return (message, validate_only) of a body."""
    try:
        body = json.loads(raw)
    except ValueError:
        raise _invalid("Invalid JSON payload received.") from None
    if not isinstance(body, dict) or not isinstance(body.get("message"), dict):
        raise _invalid("Recipient of the message is not set.", "message")
    message: dict[str, Any] = body["message"]
    if unknown := (body.keys() - {"message", "validate_only"}) | (message.keys() - _FIELDS):
        raise _invalid(f'Invalid JSON payload received. Unknown name "{min(unknown)}": Cannot find field.', "message")
    targets = [name for name in ("token", "topic", "condition") if message.get(name)]
    if len(targets) != 1:
        raise _invalid("Exactly one of token, topic or condition is required", "message")
    if not isinstance(message[targets[0]], str):
        raise _invalid("Invalid value (TYPE_STRING)", f"message.{targets[0]}")
    for name in _FIELDS - {"name", "token", "topic", "condition"}:
        if name in message and not isinstance(message[name], dict):
            raise _invalid(f"Invalid value at 'message.{name}'", f"message.{name}")
    data = message.get("data", {})
    for key, value in data.items():
        if not isinstance(value, str):
            raise _invalid(f"Invalid value at 'message.data[0].value' (TYPE_STRING), {value!r}", "message.data")
        if key == "from" or key.startswith(("google.", "gcm.")):
            raise _invalid(f"Invalid data payload key: {key}", "message.data")
    ttl = message.get("android", {}).get("ttl")
    if ttl is not None and not (isinstance(ttl, str) and re.fullmatch(r"\d+(\.\d+)?s", ttl)):
        raise _invalid("Invalid value at 'message.android.ttl' (type.googleapis.com/google.protobuf.Duration)")
    words = [*data, *data.values(), *(str(value) for value in message.get("notification", {}).values())]
    if sum(len(word.encode()) for word in words) > LARGEST_PAYLOAD:
        raise _invalid("Message payload is too big: at most 4096 bytes are allowed")
    return message, body.get("validate_only") is True


def _invalid(message: str, field: str = "") -> Refusal:
    return Refusal(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", message, field)
