"""SendGrid's v3 API: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send.

Base URL: ``http://<sandbox>/sendgrid``. Any API key is good but those that start with ``wrong`` or ``invalid``. Events
go to the address that was set for the key, signed with a key pair that belongs to the API key and stays the same.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import secrets
import time
from typing import Any
from uuid import uuid4

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sandbox.api import STORE
from sandbox.callbacks import CALLBACKS
from sandbox.magic import split
from sandbox.misbehaviour import DEFAULT_FAILURES, HANG, SLOW, Behaviour, Failures, act, hang_up

PREFIX = "/sendgrid/v3"
STEP = 0.1  # seconds from one event to the next
ATTEMPTS = 3  # SendGrid itself repeats a call for a day

_TOO_MANY = "too many requests"
_LATER = "Service temporarily unavailable"
channel = "email"
recipients: dict[str, Behaviour] = {
    "fail-permanent@example.com": Behaviour("Refused for good.", 400, message="Does not contain a valid address."),
    "fail-temporary@example.com": Behaviour(
        f"Refused {DEFAULT_FAILURES} times, accepted once, then all over again.",
        503,
        message=_LATER,
        failures=DEFAULT_FAILURES,
    ),
    "rate-limited@example.com": Behaviour(
        "Always refused for now, `Retry-After: 1`.", 429, message=_TOO_MANY, retry_after="1"
    ),
    "auth-fail@example.com": Behaviour(
        "Refused as if the key were wrong.",
        401,
        message="The provided authorization grant is invalid, expired, or revoked",
    ),
    "error-500@example.com": Behaviour("Always refused for now.", 500, message="Internal server error"),
    "error-html@example.com": Behaviour("An error page in HTML, status 500.", way="html"),
    "slow@example.com": Behaviour(f"Accepted after {SLOW:g} seconds.", way="slow"),
    "hang@example.com": Behaviour(f"No answer for {HANG:g} seconds; nothing is kept.", way="hang"),
    "drop@example.com": Behaviour("The connection is closed without an answer; nothing is kept.", way="drop"),
    "lost@example.com": Behaviour("Accepted, but the connection is closed before the answer.", way="lost"),
    "redirect@example.com": Behaviour("A redirect.", way="redirect"),
    "bounce@example.com": Behaviour("Accepted; reported as bounced.", receipt="bounce"),
    "blocked@example.com": Behaviour("Accepted; reported as blocked for now.", receipt="blocked"),
    "dropped@example.com": Behaviour("Accepted; reported as dropped: it bounced before.", receipt="dropped"),
    "complain@example.com": Behaviour("Accepted; delivered, and reported as spam.", receipt="spamreport"),
    "unsubscribe@example.com": Behaviour("Accepted; delivered, and unsubscribed from.", receipt="unsubscribe"),
    "open@example.com": Behaviour("Accepted; delivered and opened.", receipt="open"),
    "click@example.com": Behaviour("Accepted; delivered, opened and clicked.", receipt="click"),
}
#: The events that follow an acceptance.
_COURSE: dict[str, tuple[str, ...]] = {
    "": ("processed", "delivered"),
    "bounce": ("processed", "bounce"),
    "blocked": ("processed", "deferred", "blocked"),
    "dropped": ("dropped",),
    "spamreport": ("processed", "delivered", "spamreport"),
    "unsubscribe": ("processed", "delivered", "unsubscribe"),
    "open": ("processed", "delivered", "open"),
    "click": ("processed", "delivered", "open", "click"),
}
_DETAILS: dict[str, dict[str, Any]] = {
    "delivered": {"response": "250 OK", "tls": 1},
    "deferred": {"response": "451 4.7.1 Try again later", "attempt": "1"},
    "bounce": {
        "type": "bounce",
        "status": "5.1.1",
        "reason": "550 5.1.1 The email account that you tried to reach does not exist.",
        "bounce_classification": "Invalid Address",
    },
    "blocked": {
        "event": "bounce",
        "type": "blocked",
        "status": "4.7.1",
        "reason": "421 4.7.1 Service refused",
        "bounce_classification": "Reputation",
    },
    "dropped": {"reason": "Bounced Address", "status": "5.0.0"},
    "open": {"useragent": "Mozilla/5.0", "ip": "192.0.2.1", "sg_machine_open": False},
    "click": {"useragent": "Mozilla/5.0", "ip": "192.0.2.1", "url": "https://example.com/"},
}

routes = web.RouteTableDef()
_rules = {split(recipient)[0]: behaviour for recipient, behaviour in recipients.items()}
_failures = Failures()
#: Event webhook by API key: ``enabled`` and ``url``.
_webhooks: dict[str, dict[str, Any]] = {}


def _error(status: int, message: str, field: str | None = None, retry_after: str = "") -> web.Response:
    headers = {}
    if status == 429:
        reset = str(int(time.time()) + int(retry_after or 1))
        headers = {"X-RateLimit-Limit": "600", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    if retry_after:
        headers["Retry-After"] = retry_after
    return web.json_response(
        {"errors": [{"message": message, "field": field, "help": None}]}, status=status, headers=headers
    )


def _api_key(request: web.Request) -> str | None:
    kind, _, key = request.headers.get("Authorization", "").partition(" ")
    return key if kind.lower() == "bearer" and key and not key.lower().startswith(("wrong", "invalid")) else None


def _unauthorized() -> web.Response:
    return _error(401, "The provided authorization grant is invalid, expired, or revoked")


def _problem(mail: Any) -> tuple[str, str | None] | None:
    """Return (message, field) of what is wrong with a mail."""
    if not isinstance(mail, dict):
        return "Bad Request", None
    people = mail.get("personalizations")
    if not isinstance(people, list) or not people or not all(isinstance(one, dict) for one in people):
        return "The personalizations field is required and must have at least one personalization.", "personalizations"
    for number, one in enumerate(people):
        to = one.get("to")
        if not isinstance(to, list) or not to:
            return "The to array is required for all personalization objects.", f"personalizations.{number}.to"
        seen: set[str] = set()
        for kind in ("to", "cc", "bcc"):
            for place, address in enumerate(one.get(kind) or ()):
                email = str(address.get("email", "")) if isinstance(address, dict) else ""
                field = f"personalizations.{number}.{kind}.{place}.email"
                if not re.fullmatch(r"[^\s@]+@[^\s@]+", email):
                    return "Does not contain a valid address.", field
                if email.lower() in seen:
                    return "Each email address in the personalization block should be unique.", field
                seen.add(email.lower())
    sender = mail.get("from")
    if not isinstance(sender, dict) or "@" not in str(sender.get("email", "")):
        return "The from object must be provided for every email send.", "from.email"
    if not mail.get("subject"):
        return "The subject is required. You can get around this requirement if you use a template.", "subject"
    parts = mail.get("content")
    if (
        not isinstance(parts, list)
        or not parts
        or not all(isinstance(part, dict) and part.get("value") for part in parts)
    ):
        return "The content value must be a string at least one character in length.", "content.0.value"
    return None


@routes.post(f"{PREFIX}/mail/send")
async def send_mail(request: web.Request) -> web.Response:
    """Take a mail: 202 without a body, and its id in ``X-Message-Id``."""
    key = _api_key(request)
    raw = await request.read()
    if key is None:
        return _unauthorized()
    try:
        mail = json.loads(raw)
    except ValueError:
        mail = None
    if problem := _problem(mail):
        return _error(400, *problem)
    people = [
        (address["email"], one)
        for one in mail["personalizations"]
        for kind in ("to", "cc", "bcc")
        for address in one.get(kind) or ()
    ]
    behaviour = next((_rules[name] for email, _ in people if (name := split(email)[0]) in _rules), Behaviour(""))
    if answer := await act(request, behaviour):
        return answer
    if behaviour.status and _failures.refuses(people[0][0].lower(), behaviour.failures):
        field = "personalizations.0.to.0.email" if behaviour.status == 400 else None
        return _error(behaviour.status, behaviour.message, field, behaviour.retry_after)
    message_id = secrets.token_urlsafe(16)
    parts = {part.get("type"): str(part["value"]) for part in reversed(mail["content"])}
    headers = {str(name): str(value) for name, value in (mail.get("headers") or {}).items()}
    request.app[STORE].add(
        channel="email",
        tenant=hashlib.sha256(key.encode()).hexdigest()[:12],
        to=[email for email, _ in people],
        sender=mail["from"]["email"],
        raw=raw,
        subject=str(mail["subject"]),
        text=parts.get("text/plain", ""),
        html=parts.get("text/html", ""),
        headers={"X-Message-Id": message_id, **headers},
    )
    webhook = _webhooks.get(key, {})
    if webhook.get("enabled") and webhook.get("url"):
        smtp_id = headers.get("Message-ID", f"<{message_id}@sandbox>")
        base = [
            {
                "email": email,
                "sg_message_id": f"{message_id}.filterdrecv-sandbox-1-{number}.0",
                "smtp-id": smtp_id,
                **(one.get("custom_args") or {}),
            }
            for number, (email, one) in enumerate(people)
        ]
        request.app[CALLBACKS].start(lambda: _report(request.app, key, webhook["url"], base, behaviour.receipt))
    if behaviour.way == "lost":
        return hang_up(request)
    return web.Response(status=202, headers={"X-Message-Id": message_id})


@routes.get(f"{PREFIX}/scopes")
async def get_scopes(request: web.Request) -> web.Response:
    """Return what the key may do."""
    if _api_key(request) is None:
        return _unauthorized()
    return web.json_response({"scopes": ["mail.send", "user.webhooks.event.settings.update"]})


@routes.get(f"{PREFIX}/user/webhooks/event/settings")
async def get_webhook(request: web.Request) -> web.Response:
    """Return where the key's events go."""
    key = _api_key(request)
    return (
        _unauthorized() if key is None else web.json_response({"enabled": False, "url": "", **_webhooks.get(key, {})})
    )


@routes.patch(f"{PREFIX}/user/webhooks/event/settings")
async def set_webhook(request: web.Request) -> web.Response:
    """Set where the key's events go: ``{"enabled", "url"}``."""
    key = _api_key(request)
    if key is None:
        return _unauthorized()
    try:
        given = await request.json()
        enabled, url = bool(given["enabled"]), str(given["url"])
    except (ValueError, KeyError, TypeError):
        return _error(400, "enabled and url are required")
    if not re.fullmatch(r"https?://\S+", url):
        return _error(400, "must be a valid URL", "url")
    _webhooks[key] = {"enabled": enabled, "url": url}
    return web.json_response(_webhooks[key])


@routes.get(f"{PREFIX}/user/webhooks/event/settings/signed")
async def get_public_key(request: web.Request) -> web.Response:
    """Return the key that the events are verified with: base64 of its DER form."""
    key = _api_key(request)
    if key is None:
        return _unauthorized()
    encoded = key_pair(key).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return web.json_response({"public_key": base64.b64encode(encoded).decode()})


def key_pair(api_key: str) -> ec.EllipticCurvePrivateKey:
    """Return the key pair of an API key: always the same, so that credentials outlive a restart."""
    number = int.from_bytes(hashlib.sha256(b"sandbox\0" + api_key.encode()).digest()) >> 1
    return ec.derive_private_key(number or 1, ec.SECP256R1())


async def _report(app: web.Application, key: str, url: str, base: list[dict[str, Any]], receipt: str) -> None:
    """Report the course of a mail, each event in a call of its own, in the order in which things happen."""
    pair = key_pair(key)
    for kind in _COURSE[receipt]:
        await asyncio.sleep(STEP)
        now = int(time.time())
        events = [
            {**one, "timestamp": now, "event": kind, "sg_event_id": uuid4().hex, **_DETAILS.get(kind, {})}
            for one in base
        ]
        body = json.dumps(events).encode()
        signature = pair.sign(str(now).encode() + body, ec.ECDSA(hashes.SHA256()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "SendGrid Event API",
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": str(now),
        }
        await app[CALLBACKS].post(url, body, headers, attempts=ATTEMPTS)
