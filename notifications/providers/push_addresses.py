"""Addresses of devices: opaque tokens, and Web Push subscriptions as browsers hand them out (W3C Push API §8)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson
from cryptography.hazmat.primitives.asymmetric import ec

#: Characters of a token or of a subscription's JSON.
MAX_ADDRESS = 4096


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where a browser listens and what to encrypt for it with: ``p256dh`` is a P-256 point, ``auth`` 16 octets."""

    endpoint: str
    p256dh: str
    auth: str

    def as_json(self) -> str:
        """Return the one form that is stored and compared."""
        keys = {"auth": self.auth, "p256dh": self.p256dh}
        return orjson.dumps({"endpoint": self.endpoint, "keys": keys}).decode()

    @property
    def origin(self) -> str:
        """Scheme, host and port of the push service: the audience of a VAPID token (RFC 8292 §2)."""
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc}"


def is_subscription(address: str) -> bool:
    """Tell whether a device's address is a Web Push subscription and not a token."""
    return address.lstrip().startswith("{")


def parse_subscription(address: str) -> Subscription:
    """Read a subscription. Raises ``ValueError`` with a sentence that says what is wrong with it.

    The scheme may be ``http`` too, for a push service on a private network; what it carries is encrypted either way.
    """
    try:
        data = orjson.loads(address)
        endpoint, keys = data["endpoint"], data["keys"]
        p256dh, auth = keys["p256dh"], keys["auth"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ValueError("A subscription is a JSON object with endpoint, keys.p256dh and keys.auth.") from None
    _check_endpoint(endpoint)
    try:
        point = _decode(p256dh)
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        if len(point) != 65:  # compressed
            raise ValueError
    except ValueError:
        raise ValueError("keys.p256dh of the subscription is not an uncompressed P-256 point in base64url.") from None
    try:
        secret = _decode(auth)
    except ValueError:
        secret = b""
    if len(secret) != 16:
        raise ValueError("keys.auth of the subscription is not 16 octets in base64url.")
    return Subscription(endpoint, p256dh.rstrip("="), auth.rstrip("="))


def _check_endpoint(endpoint: object) -> None:
    try:
        parts = urlsplit(endpoint) if isinstance(endpoint, str) else None
        valid = parts is not None and parts.scheme in ("https", "http") and parts.hostname and parts.port != 0
        if not (valid and parts and parts.username is None and not parts.fragment and str(endpoint).isprintable()):
            raise ValueError
    except ValueError:
        raise ValueError("endpoint of the subscription is not an https address.") from None


def _decode(text: object) -> bytes:
    if not isinstance(text, str) or not text.isascii():
        raise ValueError
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError from error
