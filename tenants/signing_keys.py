"""The keys of the local issuer: made on first use, rotated by command, published as a JWK set (RFC 7517).

Each process keeps parsed copies for a minute. A key id that it does not know makes it look again at once, so a token
signed by a new key is understood everywhere as soon as it exists.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Greatest
from django.utils import timezone
from jwt.algorithms import RSAAlgorithm

from notification_service.lib.encryption import key_ring
from notification_service.lib.ids import new_id
from tenants.models import SigningKey

ALGORITHM = "RS256"
_BITS = 2048
#: How long a process uses its copies; for as long after a rotation another process may sign with the old key.
_FRESH = timedelta(minutes=1)
_ASK_AGAIN = 1.0
#: How much further than the token at hand ``tokens_until`` is set: it is written once an hour, not once a token.
_STRIDE = timedelta(hours=1)
_ADVISORY_LOCK = 0x7369676E  # "sign"


@dataclass(frozen=True, slots=True)
class Signer:
    """The key that signs now."""

    kid: str
    private_key: RSAPrivateKey = field(repr=False)
    tokens_until: datetime | None


class _Copies:
    """This process's parsed keys."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        self.signer: Signer | None = None
        self.signer_at = float("-inf")
        self.public: dict[str, RSAPublicKey] = {}
        self.public_at = float("-inf")


_copies = _Copies()


def signer() -> Signer:
    """Return the newest key that is not retired; makes the first one. One maker, however many processes ask."""
    with _copies.lock:
        if _copies.signer is None or time.monotonic() - _copies.signer_at > _FRESH.total_seconds():
            _copies.signer = _load(_newest() or _first())
            _copies.signer_at = time.monotonic()
        return _copies.signer


def public_key(kid: str) -> RSAPublicKey | None:
    """Return the key that verifies tokens of ``kid``, or None if no valid key has this id."""
    copy = _copies.public.get(kid)
    if copy is not None and time.monotonic() - _copies.public_at <= _FRESH.total_seconds():
        return copy
    with _copies.lock:
        age = time.monotonic() - _copies.public_at
        if age > _FRESH.total_seconds() or (kid not in _copies.public and age > _ASK_AGAIN):
            _copies.public = {str(key.id): _parse_public(key.public_pem) for key in _valid()}
            _copies.public_at = time.monotonic()
        return _copies.public.get(kid)


def forget_copies() -> None:
    """Drop this process's copies, so that the next question is answered by the database."""
    with _copies.lock:
        _copies.forget()


def will_sign_until(chosen: Signer, expires_at: datetime) -> None:
    """Note that a token of this key lasts until ``expires_at``: the key must verify for as long."""
    if chosen.tokens_until is not None and expires_at <= chosen.tokens_until:
        return
    until = expires_at + _STRIDE
    rows = SigningKey.objects.filter(id=chosen.kid)
    rows.update(tokens_until=Greatest("tokens_until", until))
    rows.filter(retired_at__isnull=False).update(retired_at=Greatest("retired_at", until))
    with _copies.lock:
        if _copies.signer is chosen:
            _copies.signer = Signer(chosen.kid, chosen.private_key, until)


def rotate(*, distrust_old: bool = False) -> SigningKey:
    """Make a new key that signs from now on. Older keys verify until their last token has expired.

    With ``distrust_old`` they stop at once (within a minute in processes that hold copies): for a key that leaked.
    """
    with transaction.atomic():
        _lock()
        now = timezone.now()
        for old in _valid():
            last = max(old.tokens_until or now, now + settings.ACCESS_TOKEN_LIFETIME) + 2 * _FRESH
            retired_at = now if distrust_old else min(old.retired_at or last, last)
            SigningKey.objects.filter(id=old.id).update(retired_at=retired_at)
        made = _make()
    forget_copies()
    return made


def jwks() -> dict[str, Any]:
    """Return the public halves of all valid keys as a JWK set, newest first; makes the first key."""
    signer()
    return {"keys": [_as_jwk(key) for key in _valid()]}


def _as_jwk(key: SigningKey) -> dict[str, Any]:
    numbers = json.loads(RSAAlgorithm.to_jwk(_parse_public(key.public_pem)))
    return {"kty": "RSA", "use": "sig", "alg": key.algorithm, "kid": str(key.id), "n": numbers["n"], "e": numbers["e"]}


def _valid() -> list[SigningKey]:
    return list(SigningKey.objects.filter(Q(retired_at__isnull=True) | Q(retired_at__gt=timezone.now())))


def _newest() -> SigningKey | None:
    return SigningKey.objects.filter(Q(retired_at__isnull=True) | Q(retired_at__gt=timezone.now())).first()


def _first() -> SigningKey:
    with transaction.atomic():
        _lock()
        return _newest() or _make()


def _lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])


def _make() -> SigningKey:
    private = generate_private_key(public_exponent=65537, key_size=_BITS)
    public_pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    private_pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = SigningKey(id=new_id(), algorithm=ALGORITHM, public_pem=public_pem.decode())
    key.private_pem_encrypted = key_ring().encrypt(private_pem, associated_data=key.associated_data)
    key.save(force_insert=True)
    return key


def _load(key: SigningKey) -> Signer:
    pem = key_ring().decrypt(bytes(key.private_pem_encrypted), associated_data=key.associated_data)
    private = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(private, RSAPrivateKey):
        raise TypeError(f"signing key {key.id} is no RSA key")
    return Signer(str(key.id), private, key.tokens_until)


def _parse_public(pem: str) -> RSAPublicKey:
    public = serialization.load_pem_public_key(pem.encode())
    if not isinstance(public, RSAPublicKey):
        raise TypeError("a signing key is no RSA key")
    return public
