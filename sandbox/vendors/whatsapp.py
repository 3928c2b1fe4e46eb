"""WhatsApp Cloud API: https://developers.facebook.com/docs/whatsapp/cloud-api/reference/messages.

Any ``phone_number_id`` is known, with any token but those that start with ``wrong``, ``invalid`` or ``expired``.
Statuses are posted, signed as Meta signs them, to the address that ``PUT /demo/whatsapp/webhook`` named.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from sandbox.api import STORE, InvalidField, error
from sandbox.callbacks import CALLBACKS
from sandbox.misbehaviour import DEFAULT_FAILURES, HANG, SLOW, Behaviour, Failures, act, hang_up

DEMO_NUMBER_ID = "100000000000001"
DEMO_NUMBER = "15005550006"
STEP = 0.1  # seconds from one status to the next
CHALLENGE_TIMEOUT = 5.0  # seconds
MAX_TEXT = 4096  # characters

channel = "whatsapp"
recipients: dict[str, Behaviour] = {
    "+15005550001": Behaviour("Refused for good.", 400, 131009, "Parameter value is not valid"),
    "+15005550002": Behaviour("Refused for good: no WhatsApp there.", 400, 131026, "Message undeliverable"),
    "+15005550003": Behaviour("Only a template is taken: the window is closed.", 400, 131047, "Re-engagement message"),
    "+15005550004": Behaviour(
        "The recipient wants no marketing.",
        400,
        131050,
        "This recipient has chosen to stop receiving marketing",
    ),
    "+15005550005": Behaviour("Refused as if the token had expired.", 401, 190, "Error validating access token"),
    "+15005550020": Behaviour("Accepted; reported as failed.", receipt="failed", receipt_code=131026),
    "+15005550021": Behaviour("Accepted; reported as failed: window closed.", receipt="failed", receipt_code=131047),
    "+15005550023": Behaviour("Accepted; reported as delivered, never as read.", receipt="delivered"),
    "+15005550024": Behaviour("Accepted; nothing is ever reported.", receipt="none"),
    "+15005550029": Behaviour(
        "Always refused for now, `Retry-After: 1`.", 429, 130429, "Rate limit hit", retry_after="1"
    ),
    "+15005550030": Behaviour(
        f"Refused {DEFAULT_FAILURES} times, accepted once, then all over again.",
        400,
        131056,
        "Pair rate limit hit",
        failures=DEFAULT_FAILURES,
    ),
    "+15005550050": Behaviour("Always refused for now.", 500, 131000, "Something went wrong"),
    "+15005550051": Behaviour("An error page in HTML, status 500.", way="html"),
    "+15005550053": Behaviour(
        "Always refused for now, `Retry-After: 2`.", 503, 131016, "Service unavailable", retry_after="2"
    ),
    "+15005550060": Behaviour(f"Accepted after {SLOW:g} seconds.", way="slow"),
    "+15005550061": Behaviour(f"No answer for {HANG:g} seconds; nothing is kept.", way="hang"),
    "+15005550062": Behaviour("The connection is closed without an answer; nothing is kept.", way="drop"),
    "+15005550063": Behaviour("Accepted, but the connection is closed before the answer.", way="lost"),
    "+15005550064": Behaviour("An answer that is not JSON.", way="garbage"),
    "+15005550065": Behaviour("A redirect.", way="redirect"),
}

_KINDS = {"text", "template", "image", "video", "audio", "document", "sticker", "interactive", "location", "reaction"}
_PATH = r"/{version:v\d+\.\d+}/{number:\d+}"

routes = web.RouteTableDef()
_failures = Failures()


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where the statuses of one sender go, and the secret that they are signed with."""

    url: str
    app_secret: str


_webhooks: dict[str, Webhook] = {}


def _app_secret() -> str:
    # The same at every start, so that what was set up before a restart still fits.
    return hashlib.sha256(b"sandbox app secret").hexdigest()[:32]


@routes.get("/demo/whatsapp")
async def demo(request: web.Request) -> web.Response:
    """Return a credential for this end."""
    return web.json_response(
        {
            "access_token": "EAAsandbox" + hashlib.sha256(b"sandbox token").hexdigest(),
            "phone_number_id": DEMO_NUMBER_ID,
            "app_secret": _app_secret(),
            "verify_token": "sandbox-verify-token",
            "base_url": str(request.url.origin()),
        }
    )


@routes.put("/demo/whatsapp/webhook")
async def set_webhook(request: web.Request) -> web.Response:
    """Name the address for the statuses of one sender, as one does on Meta's page; it is verified as Meta does.

    JSON: ``url``, ``verify_token``; ``phone_number_id`` and ``app_secret``, those of the demo if left out.
    """
    wanted = await _object(request)
    url, token = wanted.get("url"), wanted.get("verify_token", "")
    if not isinstance(url, str) or not re.fullmatch(r"https?://[^\s/]+\S*", url):
        raise InvalidField("url", "must be an http or https address")
    challenge = str(secrets.randbelow(10**10))
    query = {"hub.mode": "subscribe", "hub.verify_token": str(token), "hub.challenge": challenge}
    try:
        timeout = aiohttp.ClientTimeout(total=CHALLENGE_TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, params=query) as answer:
            verified = answer.status == 200 and (await answer.text()).strip() == challenge
    except (aiohttp.ClientError, OSError, ValueError):
        verified = False
    if not verified:
        return error(400, "The callback URL or verify token couldn't be validated.", "not_verified")
    number = str(wanted.get("phone_number_id", DEMO_NUMBER_ID))
    _webhooks[number] = Webhook(url, str(wanted.get("app_secret", _app_secret())))
    return web.json_response({"phone_number_id": number, "url": url})


@routes.post("/demo/whatsapp/inbound")
async def inbound(request: web.Request) -> web.Response:
    """Let a person write to a sender. JSON: ``from`` (E.164), ``text``; ``phone_number_id``, ``context`` (an id)."""
    wanted = await _object(request)
    number = str(wanted.get("phone_number_id", DEMO_NUMBER_ID))
    sender = str(wanted.get("from", "")).lstrip("+")
    if number not in _webhooks:
        raise InvalidField("phone_number_id", "has no webhook yet: PUT /demo/whatsapp/webhook")
    if not re.fullmatch(r"\d{7,15}", sender):
        raise InvalidField("from", "must be a telephone number with its country code")
    message: dict[str, Any] = {
        "from": sender,
        "id": _message_id(),
        "timestamp": str(int(time.time())),
        "type": "text",
        "text": {"body": str(wanted.get("text", ""))},
    }
    if wanted.get("context"):
        message["context"] = {"from": DEMO_NUMBER, "id": str(wanted["context"])}
    value = {"contacts": [{"profile": {"name": "Somebody"}, "wa_id": sender}], "messages": [message]}
    taken = await _post(request.app, number, value)
    return web.json_response({"id": message["id"], "taken": taken})


@routes.get(_PATH)
async def number_details(request: web.Request) -> web.Response:
    """Return a sender's number."""
    if (refused := _unauthorized(request)) is not None:
        return refused
    return web.json_response(
        {"id": request.match_info["number"], "display_phone_number": "+1 500 555 0006", "verified_name": "Sandbox"}
    )


@routes.post(f"{_PATH}/messages")
async def send(request: web.Request) -> web.Response:
    """Take one message."""
    if (refused := _unauthorized(request)) is not None:
        return refused
    raw = await request.read()
    try:
        message = json.loads(raw)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        return _error(400, 100, "(#100) The parameter messaging_product is required.")
    if problem := _problem(message):
        return _error(400, *problem)
    to = "+" + re.sub(r"\D", "", message["to"])
    behaviour = recipients.get(to, Behaviour(""))
    if answer := await act(request, behaviour):
        return answer
    window = behaviour.code == 131047 and message["type"] == "template"
    if behaviour.status and not window and _failures.refuses(to, behaviour.failures):
        return _error(behaviour.status, behaviour.code, behaviour.message, retry_after=behaviour.retry_after)
    message_id, number = _message_id(), request.match_info["number"]
    request.app[STORE].add(
        channel="whatsapp",
        tenant=number,
        to=[to],
        sender=number,
        raw=raw,
        subject=str(message["template"].get("name", "")) if message["type"] == "template" else "",
        text=_words(message),
        html="",
        headers={"Id": message_id, "Type": message["type"]},
    )
    reference = message.get("biz_opaque_callback_data")
    request.app[CALLBACKS].start(lambda: _live(request.app, number, message_id, to[1:], reference, behaviour))
    if behaviour.way == "lost":
        return hang_up(request)
    return web.json_response(
        {
            "messaging_product": "whatsapp",
            "contacts": [{"input": message["to"], "wa_id": to[1:]}],
            "messages": [{"id": message_id, "message_status": "accepted"}],
        }
    )


def signature(body: bytes, app_secret: str) -> str:
    """Return ``X-Hub-Signature-256`` of a webhook."""
    return "sha256=" + hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()


async def _live(
    app: web.Application, number: str, message_id: str, wa_id: str, reference: Any, behaviour: Behaviour
) -> None:
    """Report what becomes of a message."""
    ways = {"": ("sent", "delivered", "read"), "delivered": ("sent", "delivered"), "failed": ("failed",), "none": ()}
    for status in ways[behaviour.receipt]:
        await asyncio.sleep(STEP)
        report: dict[str, Any] = {
            "id": message_id,
            "status": status,
            "timestamp": str(int(time.time())),
            "recipient_id": wa_id,
        }
        if reference:
            report["biz_opaque_callback_data"] = reference
        if status == "failed":
            words = next((row.message for row in recipients.values() if row.code == behaviour.receipt_code), "Failed")
            report["errors"] = [{"code": behaviour.receipt_code, "title": words, "error_data": {"details": words}}]
        await _post(app, number, {"statuses": [report]})


async def _post(app: web.Application, number: str, value: dict[str, Any]) -> bool:
    webhook = _webhooks.get(number)
    if webhook is None:
        return False
    metadata = {"display_phone_number": DEMO_NUMBER, "phone_number_id": number}
    value = {"messaging_product": "whatsapp", "metadata": metadata, **value}
    entry = {"id": "200000000000001", "changes": [{"value": value, "field": "messages"}]}
    body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature(body, webhook.app_secret)}
    return await app[CALLBACKS].post(webhook.url, body, headers, attempts=3)


def _problem(message: dict[str, Any]) -> tuple[int, str] | None:
    """Return (code, message) of what is wrong with a request."""
    kind, to = message.get("type", "text"), message.get("to")
    if message.get("messaging_product") != "whatsapp":
        return 100, "(#100) The parameter messaging_product is required."
    if not isinstance(to, str) or not to:
        return 100, "(#100) The parameter to is required."
    if not re.fullmatch(r"\+?[\d ()-]{7,25}", to):
        return 131009, "(#131009) Parameter value is not valid"
    if kind not in _KINDS:
        return 131051, "(#131051) Unsupported message type"
    message["type"] = kind
    part = message.get(kind)
    if not isinstance(part, dict):
        return 131008, f"(#131008) Required parameter is missing: {kind}"
    if kind == "text" and not (isinstance(part.get("body"), str) and 0 < len(part["body"]) <= MAX_TEXT):
        return 100, f"(#100) Param text['body'] must be 1 to {MAX_TEXT} characters long."
    if kind == "template":
        language = part.get("language")
        if not part.get("name") or not isinstance(language, dict) or not language.get("code"):
            return 131008, "(#131008) Required parameter is missing: template name or language"
        if str(part["name"]).startswith("unknown"):
            return 132001, "(#132001) Template name does not exist in the translation"
        if any("\n" in text or "\t" in text or "     " in text for text in _parameters(part)):
            return 132018, "(#132018) Param text cannot have new-line/tab characters or more than 4 consecutive spaces"
    if kind in ("image", "video", "audio", "document", "sticker") and bool(part.get("link")) == bool(part.get("id")):
        return 131009, f"(#131009) {kind} needs either link or id"
    return None


def _parameters(template: dict[str, Any]) -> list[str]:
    components = [part for part in template.get("components") or [] if isinstance(part, dict)]
    parameters = [part for component in components for part in component.get("parameters") or []]
    return [str(part["text"]) for part in parameters if isinstance(part, dict) and "text" in part]


def _words(message: dict[str, Any]) -> str:
    """Return what a person would read."""
    part = message[message["type"]]
    if message["type"] == "template":
        return "\n".join(_parameters(part))
    return str(part.get("body") or part.get("caption") or part.get("link") or "")


def _unauthorized(request: web.Request) -> web.Response | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not token.strip():
        return _error(401, 0, "Authentication Error")
    if token.lower().startswith(("wrong", "invalid", "expired")):
        return _error(401, 190, "Error validating access token: Session has expired")
    return None


def _error(status: int, code: int, message: str, *, retry_after: str = "") -> web.Response:
    kind = "OAuthException"
    document = {
        "message": message,
        "type": kind,
        "code": code,
        "error_data": {"messaging_product": "whatsapp", "details": message},
        "fbtrace_id": base64.b64encode(secrets.token_bytes(8)).decode(),
    }
    headers = {"Retry-After": retry_after} if retry_after else None
    return web.json_response({"error": document}, status=status, headers=headers)


def _message_id() -> str:
    return "wamid." + base64.b64encode(secrets.token_bytes(24)).decode()


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        found = json.loads(await request.read())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidField("body", "must be a JSON object")
    return found
