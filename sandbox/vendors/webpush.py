"""A push service for browsers (RFC 8030), and the browsers that subscribed to it.

``POST /push/subscriptions`` answers with a subscription as a browser would hand it out. Its keys follow from its id, so
that the sandbox can read every message, also after a restart.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from typing import Any

import http_ece
import jwt
from aiohttp import web
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sandbox.api import STORE, InvalidField, error
from sandbox.magic import DEFAULT_DELAY
from sandbox.misbehaviour import Behaviour, Failures, hang_up
from sandbox.steering import RETRY_AFTER, linger, magic_name, times

LARGEST_BODY = 4096  # octets, encrypted (RFC 8030 §7.2)
LONGEST_TOKEN = 24 * 3600  # seconds (RFC 8292 §2)
#: n of P-256 (FIPS 186-5): private keys are numbers from 1 to n - 1.
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

#: Name of a subscription -> HTTP status and words.
_REFUSALS = {
    "unregistered": (410, "The subscription has expired or the browser unsubscribed."),
    "not-found": (404, "No such subscription."),
    "fail-permanent": (400, "Bad request."),
    "rate-limited": (429, "Too many messages."),
    "fail-temporary": (503, "Service unavailable."),
    "unavailable": (503, "Service unavailable."),
    "internal-error": (500, "Internal error."),
    "auth-fail": (403, "The VAPID credentials do not correspond to the credentials used to create the subscription."),
    "too-large": (413, "Payload too large."),
}
channel = "push"
#: Names for ``POST /push/subscriptions``.
recipients = {
    **{name: Behaviour("Refused when a message comes.", status) for name, (status, _) in _REFUSALS.items()},
    "slow+0.5": Behaviour(f"Accepted after n seconds ({DEFAULT_DELAY:g} without a number)."),
    "drop": Behaviour("The connection is closed without an answer; nothing is kept."),
}
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-+.")

routes = web.RouteTableDef()
_failures = Failures()
_demo: dict[str, ec.EllipticCurvePrivateKey] = {}


@routes.get("/demo/vapid")
async def demo_vapid(_: web.Request) -> web.Response:
    """Return a VAPID key pair; the same until the sandbox restarts."""
    key = _demo.setdefault("key", ec.generate_private_key(ec.SECP256R1()))
    return web.json_response(
        {
            "vapid_private_key": _encode(key.private_numbers().private_value.to_bytes(32, "big")),
            "vapid_public_key": _encode(_point(key)),
            "vapid_subject": "mailto:push@sandbox.example",
        }
    )


@routes.post("/push/subscriptions")
async def subscribe(request: web.Request) -> web.Response:
    """Return a new subscription. Optional JSON: ``name`` (a magic one steers the outcome), ``vapid_public_key``.

    With a public key, only messages that are signed with its other half are taken.
    """
    wanted = await _object(request)
    name, key = wanted.get("name", "browser"), wanted.get("vapid_public_key", "")
    if not isinstance(name, str) or not 0 < len(name) <= 100 or not set(name.lower()) <= _NAME:
        raise InvalidField("name", "must be up to 100 letters, digits, hyphens, dots and pluses")
    if not isinstance(key, str):
        raise InvalidField("vapid_public_key", "must be text")
    identity = f"{name}:{secrets.token_hex(12)}" + (f":{_mark(key)}" if key else "")
    private, auth = _keys(identity)
    keys = {"p256dh": _encode(_point(private)), "auth": _encode(auth)}
    endpoint = f"{request.url.origin()}/push/{identity}"
    return web.json_response({"endpoint": endpoint, "expirationTime": None, "keys": keys}, status=201)


@routes.post("/push/{id}")
async def push(request: web.Request) -> web.Response:
    """Take one message for a browser."""
    identity = request.match_info["id"]
    name, tag = magic_name(identity)
    if ":" not in identity:
        return _refused(*_REFUSALS["not-found"])
    if name == "drop":
        await request.read()
        return hang_up(request)
    body = await request.read()
    problem = _bad_request(request, body)
    if problem:
        return _refused(*problem)
    try:
        subject, mark = _check_vapid(request.headers.get("Authorization", ""), str(request.url.origin()))
    except (jwt.InvalidTokenError, ValueError) as wrong:
        return _refused(401, f"VAPID: {wrong}")
    if identity.count(":") > 1 and identity.rpartition(":")[2] != mark:
        return _refused(*_REFUSALS["auth-fail"])
    if name in _REFUSALS and (name != "fail-temporary" or _failures.refuses(identity, times(tag))):
        return _refused(*_REFUSALS[name])
    private, auth = _keys(identity)
    try:
        clear = http_ece.decrypt(body, private_key=private, auth_secret=auth, version="aes128gcm")
    except (http_ece.ECEException, InvalidTag, ValueError, IndexError):
        return _refused(400, "The message can not be decrypted with the subscription's keys.")
    if name == "slow":
        await linger(tag)
    shown = _words(clear)
    headers = {key: request.headers[key] for key in ("TTL", "Urgency", "Topic") if key in request.headers}
    (message_id,) = request.app[STORE].add(
        channel="push",
        tenant=subject,
        to=[str(request.url)],
        sender=subject,
        raw=clear,
        subject=str(shown.get("title", "")),
        text=str(shown.get("body", "")),
        html="",
        headers=headers,  # type: ignore[arg-type]
    )
    return web.Response(status=201, headers={"Location": f"{request.url.origin()}/push/messages/{message_id}"})


def _bad_request(request: web.Request, body: bytes) -> tuple[int, str] | None:
    """Return what RFC 8030 and RFC 8291 object to, if anything."""
    ttl = request.headers.get("TTL", "")
    if not (ttl.isascii() and ttl.isdigit()):
        return 400, "TTL is missing or not a number of seconds."  # RFC 8030 §5.2
    if request.headers.get("Urgency", "normal") not in ("very-low", "low", "normal", "high"):
        return 400, "Urgency is not known."
    if request.headers.get("Content-Encoding") != "aes128gcm":
        return 415, "Content-Encoding must be aes128gcm."
    if len(body) > LARGEST_BODY:
        return _REFUSALS["too-large"]
    return None


def _check_vapid(header: str, origin: str) -> tuple[str, str]:
    """Return the subject of a VAPID header (RFC 8292 §3) and the mark of its key.

    Raises ``ValueError`` or ``jwt.InvalidTokenError``.
    """
    scheme, _, parameters = header.partition(" ")
    found = dict(part.strip().partition("=")[::2] for part in parameters.split(","))
    if scheme.lower() != "vapid" or not found.get("t") or not found.get("k"):
        raise ValueError("Authorization must be vapid with t and k")
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _decode(found["k"]))
    claims = jwt.decode(
        found["t"], public, algorithms=["ES256"], audience=origin, options={"require": ["aud", "exp", "sub"]}
    )
    if claims["exp"] > time.time() + LONGEST_TOKEN:
        raise ValueError("exp is more than 24 hours away")
    if not str(claims["sub"]).startswith(("mailto:", "https:")):
        raise ValueError("sub is neither mailto: nor https:")
    return str(claims["sub"]), _mark(found["k"])


def _refused(status: int, message: str) -> web.Response:
    headers = {"Retry-After": str(RETRY_AFTER)} if status == 429 else {}
    response = error(status, message, "push_refused", message=message)
    response.headers.update(headers)
    return response


def _words(clear: bytes) -> dict[str, Any]:
    """Return a payload's fields; one that is not JSON is all body."""
    try:
        found = json.loads(clear)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"body": clear.decode("utf-8", "replace")}


async def _object(request: web.Request) -> dict[str, Any]:
    raw = await request.read()
    try:
        found = json.loads(raw) if raw.strip() else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidField("body", "must be a JSON object")
    return found


def _keys(identity: str) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """Return the private key and the secret (16 octets) of a subscription."""
    seed = hashlib.sha512(b"web push subscription\0" + identity.encode()).digest()
    return ec.derive_private_key(int.from_bytes(seed[:48], "big") % (_ORDER - 1) + 1, ec.SECP256R1()), seed[48:]


def _mark(public_key: str) -> str:
    return hashlib.sha256(public_key.rstrip("=").encode()).hexdigest()[:16]


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
