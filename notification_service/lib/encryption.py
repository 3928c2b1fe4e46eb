"""Envelope encryption with AES-256-GCM under a ring of keys.

Every value has a data key of its own, which the first key of the ring encrypts; both ciphertexts are bound to their
place (``associated_data``), so that a row copied to another tenant does not decrypt there. Rotation re-encrypts the
data keys only. NIST SP 800-38D; layout: version ‖ key id ‖ nonce ‖ wrapped data key ‖ nonce ‖ ciphertext.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

_VERSION = b"\x01"
_KEY = 32
_KEY_ID = 4
_NONCE = 12
_TAG = 16
_WRAPPED = _KEY + _TAG
_HEADER = len(_VERSION) + _KEY_ID
_BODY = _HEADER + _NONCE + _WRAPPED


class DecryptionError(Exception):
    """The value was not encrypted under any key of the ring, or not for this place, or was tampered with."""


class KeyRing:
    """Keys by age: the first encrypts, all decrypt."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Take keys of 32 bytes in URL-safe base64 (Fernet's form). Raises ``ValueError`` for anything else."""
        if not keys:
            raise ValueError("ENCRYPTION_KEYS is empty")
        decoded = [_decode(key) for key in keys]
        self._keys = {_key_id(key): AESGCM(key) for key in decoded}
        self._current = _key_id(decoded[0])

    def encrypt(self, plaintext: bytes, *, associated_data: bytes) -> bytes:
        """Encrypt under a new data key, bound to ``associated_data``."""
        data_key = AESGCM.generate_key(bit_length=256)
        nonce = os.urandom(_NONCE)
        body = AESGCM(data_key).encrypt(nonce, plaintext, associated_data)
        return self._wrap(data_key, associated_data) + nonce + body

    def decrypt(self, ciphertext: bytes, *, associated_data: bytes) -> bytes:
        """Decrypt what ``encrypt`` returned. Raises ``DecryptionError``."""
        data_key = self._unwrap(ciphertext, associated_data)
        nonce, body = ciphertext[_BODY : _BODY + _NONCE], ciphertext[_BODY + _NONCE :]
        try:
            return AESGCM(data_key).decrypt(nonce, body, associated_data)
        except InvalidTag:
            raise DecryptionError("the ciphertext does not belong here or was changed") from None

    def rotate(self, ciphertext: bytes, *, associated_data: bytes) -> bytes:
        """Re-encrypt the data key under the first key of the ring. Raises ``DecryptionError``."""
        return self._wrap(self._unwrap(ciphertext, associated_data), associated_data) + ciphertext[_BODY:]

    @property
    def prefix(self) -> bytes:
        """What every ciphertext under the first key of the ring begins with, and no other does."""
        return _VERSION + self._current

    def is_current(self, ciphertext: bytes) -> bool:
        """Whether the first key of the ring encrypted it."""
        return ciphertext.startswith(self.prefix)

    def _wrap(self, data_key: bytes, associated_data: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        wrapped = self._keys[self._current].encrypt(nonce, data_key, associated_data)
        return self.prefix + nonce + wrapped

    def _unwrap(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        if ciphertext[:1] != _VERSION or len(ciphertext) < _BODY + _NONCE + _TAG:
            raise DecryptionError("this is no ciphertext of ours")
        key = self._keys.get(ciphertext[len(_VERSION) : _HEADER])
        if key is None:
            raise DecryptionError("no key of ENCRYPTION_KEYS decrypts this; was one removed before rotation?")
        try:
            return key.decrypt(
                ciphertext[_HEADER : _HEADER + _NONCE], ciphertext[_HEADER + _NONCE : _BODY], associated_data
            )
        except InvalidTag:
            raise DecryptionError("the ciphertext does not belong here or was changed") from None


def _decode(key: str) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(key.strip() + "=" * (-len(key.strip()) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _KEY:
        raise ValueError("each of ENCRYPTION_KEYS must be 32 bytes in URL-safe base64")
    return raw


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"key id" + key).digest()[:_KEY_ID]


@lru_cache(maxsize=8)
def _ring(keys: tuple[str, ...]) -> KeyRing:
    return KeyRing(keys)


def key_ring() -> KeyRing:
    """Return the ring of ``settings.ENCRYPTION_KEYS``. Raises ``ValueError`` if there is none."""
    return _ring(tuple(settings.ENCRYPTION_KEYS))
