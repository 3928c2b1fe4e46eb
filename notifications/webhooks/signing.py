"""Signatures of the Standard Webhooks specification (https://www.standardwebhooks.com).

Signed is ``<webhook-id>.<webhook-timestamp>.<body>``: symmetric with HMAC-SHA256 (``v1``), or with ed25519 (``v1a``),
where the receiver has the public key alone. Several secrets, while one replaces another, make several signatures.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Scheme = Literal["v1", "v1a"]

_SYMMETRIC, _PRIVATE, _PUBLIC = "whsec_", "whsk_", "whpk_"
#: Lengths in bytes that the specification allows for a symmetric secret.
_SHORTEST, _LONGEST = 24, 64
_NEW_BYTES: Final = 32


def new_secret(scheme: Scheme) -> str:
    """Return a fresh secret: ``whsec_…``, or for ``v1a`` the private key as ``whsk_…``."""
    prefix = _SYMMETRIC if scheme == "v1" else _PRIVATE
    return prefix + base64.b64encode(secrets.token_bytes(_NEW_BYTES)).decode()


def check_secret(secret: str) -> str:
    """Return a tenant's own symmetric secret. Raises ``ValueError`` unless it is ``whsec_`` and 24 to 64 bytes."""
    if not secret.startswith(_SYMMETRIC) or not _SHORTEST <= len(_bytes_of(secret)) <= _LONGEST:
        raise ValueError
    return secret


def scheme_of(secret: str) -> Scheme:
    """Return how a secret signs."""
    return "v1a" if secret.startswith(_PRIVATE) else "v1"


def public_key(secret: str) -> str:
    """Return ``whpk_…`` of a private key, and nothing of a symmetric secret."""
    if scheme_of(secret) == "v1":
        return ""
    key = Ed25519PrivateKey.from_private_bytes(_bytes_of(secret)).public_key()
    return _PUBLIC + base64.b64encode(key.public_bytes_raw()).decode()


def sign(keys: Sequence[str], webhook_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of ``webhook-signature``: a signature by each secret, separated by spaces."""
    content = f"{webhook_id}.{timestamp}.".encode() + body
    return " ".join(f"{scheme_of(key)},{base64.b64encode(_sign(key, content)).decode()}" for key in keys)


def sign_body(secret: str, body: bytes) -> str:
    """Return ``sha256=`` and the HMAC-SHA256 of the body, in hex, keyed with the secret's text: for older receivers."""
    return "sha256=" + hmac.digest(secret.encode(), body, hashlib.sha256).hex()


def _sign(secret: str, content: bytes) -> bytes:
    raw = _bytes_of(secret)
    if scheme_of(secret) == "v1":
        return hmac.digest(raw, content, hashlib.sha256)
    return Ed25519PrivateKey.from_private_bytes(raw).sign(content)


def _bytes_of(secret: str) -> bytes:
    """Return the bytes behind the prefix. Raises ``ValueError`` if it is no base64."""
    text = secret.partition("_")[2]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError from error
