"""Twilio's Messages API: https://www.twilio.com/docs/messaging/api/message-resource.

Base URL: ``http://<sandbox>/twilio``. Any account SID is known, with any auth token but those that start with ``wrong``
or ``invalid``. Status callbacks are signed with the auth token of the request, as Twilio does.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

from aiohttp import web

from sandbox.api import STORE
from sandbox.callbacks import CALLBACKS
from sandbox.misbehaviour import DEFAULT_FAILURES, HANG, SLOW, Behaviour, Failures, act, hang_up

PREFIX = "/twilio"
VERSION = "2010-04-01"
MAX_BODY = 1600  # characters
STEP = 0.1  # seconds from one status to the next
PRICE = 0.0079  # US dollars per segment
_REMEMBERED = 20_000

_TOO_MANY = "Too Many Requests"
#: The first five are those of Twilio's own test credentials: https://www.twilio.com/docs/iam/test-credentials
recipients: dict[str, Behaviour] = {
    "+15005550001": Behaviour("Refused for good.", 400, 21211, "Invalid 'To' Phone Number: +1500555XXXX"),
    "+15005550002": Behaviour("Refused for good.", 400, 21612, "Message cannot be sent with this 'To' and 'From'"),
    "+15005550003": Behaviour(
        "Refused for good.", 400, 21408, "Permission to send an SMS has not been enabled for this region"
    ),
    "+15005550004": Behaviour("The recipient said STOP.", 400, 21610, "Attempt to send to unsubscribed recipient"),
    "+15005550009": Behaviour("Refused for good.", 400, 21614, "'To' number is not a valid mobile number"),
    "+15005550020": Behaviour("Accepted; reported as undelivered.", receipt="undelivered", receipt_code=30003),
    "+15005550021": Behaviour("Accepted; reported as undelivered.", receipt="undelivered", receipt_code=30005),
    "+15005550022": Behaviour("Accepted; reported as undelivered.", receipt="undelivered", receipt_code=30007),
    "+15005550023": Behaviour("Accepted; reported as failed.", receipt="failed", receipt_code=30008),
    "+15005550024": Behaviour("Accepted; nothing is ever reported.", receipt="none"),
    "+15005550029": Behaviour("Always refused for now, `Retry-After: 1`.", 429, 20429, _TOO_MANY, retry_after="1"),
    "+15005550030": Behaviour(
        f"Refused {DEFAULT_FAILURES} times with `Retry-After: 1`, accepted once, then all over again.",
        429,
        20429,
        _TOO_MANY,
        retry_after="1",
        failures=DEFAULT_FAILURES,
    ),
    "+15005550050": Behaviour("Always refused for now.", 500, 20500, "An internal server error has occurred"),
    "+15005550051": Behaviour("An error page in HTML, status 500.", way="html"),
    "+15005550053": Behaviour(
        "Always refused for now, `Retry-After: 2`.", 503, 20503, "Service unavailable", retry_after="2"
    ),
    "+15005550054": Behaviour(
        f"Refused {DEFAULT_FAILURES} times, accepted once, then all over again.",
        503,
        20503,
        "Service unavailable",
        failures=DEFAULT_FAILURES,
    ),
    "+15005550060": Behaviour(f"Accepted after {SLOW:g} seconds.", way="slow"),
    "+15005550061": Behaviour(f"No answer for {HANG:g} seconds; nothing is kept.", way="hang"),
    "+15005550062": Behaviour("The connection is closed without an answer; nothing is kept.", way="drop"),
    "+15005550063": Behaviour("Accepted, but the connection is closed before the answer.", way="lost"),
    "+15005550064": Behaviour("An answer that is not JSON.", way="garbage"),
    "+15005550065": Behaviour("A redirect.", way="redirect"),
    "+15005550066": Behaviour(
        f"The connection is closed without an answer {DEFAULT_FAILURES} times, then accepted once.",
        way="drop",
        failures=DEFAULT_FAILURES,
    ),
    "+15005550067": Behaviour(
        f"The connection is half-closed without an answer {DEFAULT_FAILURES} times, then accepted once.",
        way="half_close",
        failures=DEFAULT_FAILURES,
    ),
    "+15005550068": Behaviour(f"No answer for {HANG:g} seconds once, then accepted once.", way="hang", failures=1),
}

#: GSM 03.38, for the number of segments.
_GSM = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà\f^{}\\[~]|€"
)

routes = web.RouteTableDef()
channel = "sms"
_failures = Failures()
_messages: OrderedDict[str, dict[str, Any]] = OrderedDict()


def _error(status: int, code: int, message: str, retry_after: str = "") -> web.Response:
    document = {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return web.json_response(document, status=status, headers={"Retry-After": retry_after} if retry_after else None)


def _token(request: web.Request) -> str | None:
    """Return the auth token of the request, or None if it does not open the account of the address."""
    kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
    try:
        user, _, token = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    known = user == request.match_info["account"] and re.fullmatch(r"AC[0-9a-fA-F]{32}", user)
    good = kind.lower() == "basic" and token and not token.lower().startswith(("wrong", "invalid"))
    return token if known and good else None


def _refused(status: int = 401) -> web.Response:
    return _error(status, 20003, "Authenticate")


def _problem(form: dict[str, str], media: list[str]) -> tuple[int, str] | None:
    """Return (code, message) of what is wrong with a request."""
    to, callback = form.get("To", ""), form.get("StatusCallback", "")
    checks = [
        (not to, 21604, "A 'To' phone number is required."),
        (not form.get("From") and not form.get("MessagingServiceSid"), 21603, "A 'From' phone number is required."),
        (not re.fullmatch(r"\+[1-9]\d{6,14}", to), 21211, f"Invalid 'To' Phone Number: {to[:-4]}XXXX"),
        (not form.get("Body") and not media, 21619, "A text message body or media urls must be specified."),
        (len(form.get("Body", "")) > MAX_BODY, 21617, "The concatenated message body exceeds the 1600 character limit"),
        (len(media) > 10, 21623, "Number of media files exceeds allowed limit"),
        (
            bool(callback) and not re.fullmatch(r"https?://[^\s/_]+(/\S*)?", callback),
            21609,
            f"The StatusCallback URL {callback} is not a valid URL.",
        ),
    ]
    return next(((code, text) for wrong, code, text in checks if wrong), None)


@routes.post(f"{PREFIX}/{VERSION}/Accounts/{{account}}/Messages.json")
async def create_message(request: web.Request) -> web.Response:
    """Take a message, as ``client.messages.create`` sends it."""
    token = _token(request)
    raw = await request.read()
    if token is None:
        return _refused()
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, errors="strict")
    except ValueError:
        return _error(400, 20001, "Invalid request body")
    form = dict(pairs)
    media = [value for name, value in pairs if name == "MediaUrl"]
    if problem := _problem(form, media):
        return _error(400, *problem)
    behaviour = recipients.get(form["To"], Behaviour(""))
    acts = not (behaviour.way and behaviour.failures) or _failures.refuses(form["To"], behaviour.failures)
    if acts and (answer := await act(request, behaviour)):
        return answer
    if behaviour.status and _failures.refuses(form["To"], behaviour.failures):
        return _error(behaviour.status, behaviour.code, behaviour.message, behaviour.retry_after)
    message = _resource(request.match_info["account"], form, media)
    request.app[STORE].add(
        channel="sms",
        tenant=message["account_sid"],
        to=[message["to"]],
        sender=message["from"] or message["messaging_service_sid"] or "",
        raw=raw,
        text=message["body"],
        html="",
        headers={"Sid": message["sid"], **{f"Media-{n}": url for n, url in enumerate(media, 1)}},
    )
    _messages[message["sid"]] = message
    if len(_messages) > _REMEMBERED:
        _messages.popitem(last=False)
    callbacks = request.app[CALLBACKS]
    callbacks.start(lambda: _live(request.app, message, form.get("StatusCallback", ""), token, behaviour))
    return hang_up(request) if behaviour.way == "lost" else web.json_response(message, status=201)


@routes.get(f"{PREFIX}/{VERSION}/Accounts/{{account}}/Messages/{{sid}}.json")
async def fetch_message(request: web.Request) -> web.Response:
    """Return a message with its status and price so far."""
    if _token(request) is None:
        return _refused()
    message = _messages.get(request.match_info["sid"])
    if message is None or message["account_sid"] != request.match_info["account"]:
        return _error(404, 20404, f"The requested resource {request.path.removeprefix(PREFIX)} was not found")
    return web.json_response(message)


@routes.get(f"{PREFIX}/{VERSION}/Accounts/{{account}}.json")
async def fetch_account(request: web.Request) -> web.Response:
    """Return the account."""
    if _token(request) is None:
        return _refused()
    sid = request.match_info["account"]
    now = format_datetime(datetime.now(UTC))
    return web.json_response(
        {
            "sid": sid,
            "friendly_name": "Sandbox",
            "status": "active",
            "type": "Full",
            "date_created": now,
            "date_updated": now,
            "owner_account_sid": sid,
            "uri": f"/{VERSION}/Accounts/{sid}.json",
            "subresource_uris": {"messages": f"/{VERSION}/Accounts/{sid}/Messages.json"},
        }
    )


def _resource(account: str, form: dict[str, str], media: list[str]) -> dict[str, Any]:
    sid = ("MM" if media else "SM") + uuid4().hex
    uri = f"/{VERSION}/Accounts/{account}/Messages/{sid}"
    now = format_datetime(datetime.now(UTC))
    return {
        "account_sid": account,
        "api_version": VERSION,
        "body": form.get("Body", ""),
        "date_created": now,
        "date_sent": None,
        "date_updated": now,
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": form.get("From"),
        "messaging_service_sid": form.get("MessagingServiceSid"),
        "num_media": str(len(media)),
        "num_segments": str(_segments(form.get("Body", ""))),
        "price": None,
        "price_unit": "USD",
        "sid": sid,
        "status": "queued",
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": form["To"],
        "uri": f"{uri}.json",
    }


def _segments(text: str) -> int:
    plain = set(text) <= _GSM
    units = len(text) + sum(char in "\f^{}\\[~]|€" for char in text) if plain else len(text.encode("utf-16-be")) // 2
    alone, part = (160, 153) if plain else (70, 67)
    return 1 if units <= alone else -(-units // part)


async def _live(app: web.Application, message: dict[str, Any], url: str, token: str, behaviour: Behaviour) -> None:
    """Lead a message from one status to the next, and report each."""
    last = behaviour.receipt or "delivered"
    for status in ("queued", "sent", *(() if last == "none" else (last,))):
        await asyncio.sleep(STEP)
        message["status"] = status
        message["date_updated"] = format_datetime(datetime.now(UTC))
        if status == "sent":
            message["date_sent"] = message["date_updated"]
        if status == last:
            message["price"] = f"-{PRICE * int(message['num_segments']):.5f}"
            if behaviour.receipt_code:
                message["error_code"] = behaviour.receipt_code
        if url:
            await _report(app, message, url, token, final=status == last)


async def _report(app: web.Application, message: dict[str, Any], url: str, token: str, *, final: bool) -> None:
    fields = {
        "AccountSid": message["account_sid"],
        "ApiVersion": VERSION,
        "From": message["from"] or "+15005550006",
        "MessageSid": message["sid"],
        "MessageStatus": message["status"],
        "SmsSid": message["sid"],
        "SmsStatus": message["status"],
        "To": message["to"],
    }
    if message["messaging_service_sid"]:
        fields["MessagingServiceSid"] = message["messaging_service_sid"]
    if final:
        fields |= {"Price": message["price"], "PriceUnit": "USD", "RawDlrDoneDate": f"{datetime.now(UTC):%y%m%d%H%M}"}
    if message["error_code"]:
        fields["ErrorCode"] = str(message["error_code"])
    headers = {
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        "X-Twilio-Signature": signature(url, list(fields.items()), token),
        "I-Twilio-Idempotency-Token": str(uuid4()),
        "User-Agent": "TwilioProxy/1.1",
    }
    await app[CALLBACKS].post(url, urlencode(fields).encode(), headers)


def signature(url: str, fields: Sequence[tuple[str, str]], token: str) -> str:
    """Return the signature of a callback: https://www.twilio.com/docs/usage/security#validating-requests."""
    signed = url + "".join(name + value for name, value in sorted(fields))
    return base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()).decode()
