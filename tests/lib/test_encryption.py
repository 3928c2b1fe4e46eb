"""Envelope encryption: what goes in comes out, at its place and under its keys only."""

from __future__ import annotations

import base64

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from notification_service.lib.encryption import DecryptionError, KeyRing


def key(letter: str) -> str:
    return base64.urlsafe_b64encode(letter.encode() * 32).decode()


A, B = key("a"), key("b")


@given(st.binary(max_size=2000), st.binary(max_size=100))
def test_what_goes_in_comes_out(plaintext: bytes, place: bytes) -> None:
    ring = KeyRing([A])
    assert ring.decrypt(ring.encrypt(plaintext, associated_data=place), associated_data=place) == plaintext


@given(st.binary(max_size=50), st.data())
def test_every_changed_bit_is_noticed(plaintext: bytes, data: st.DataObject) -> None:
    ring = KeyRing([A])
    sealed = bytearray(ring.encrypt(plaintext, associated_data=b"place"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DecryptionError):
        ring.decrypt(bytes(sealed), associated_data=b"place")


@given(st.binary(max_size=120))
def test_what_is_no_ciphertext_is_refused(noise: bytes) -> None:
    with pytest.raises(DecryptionError):
        KeyRing([A]).decrypt(noise, associated_data=b"place")


def test_the_same_value_twice_looks_different() -> None:
    ring = KeyRing([A])
    assert ring.encrypt(b"secret", associated_data=b"") != ring.encrypt(b"secret", associated_data=b"")


def test_another_place_does_not_open() -> None:
    ring = KeyRing([A])
    with pytest.raises(DecryptionError, match="does not belong here"):
        ring.decrypt(ring.encrypt(b"secret", associated_data=b"one"), associated_data=b"two")


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    old, both = KeyRing([A]), KeyRing([B, A])
    sealed = old.encrypt(b"secret", associated_data=b"")
    assert both.decrypt(sealed, associated_data=b"") == b"secret"
    assert (old.is_current(sealed), both.is_current(sealed)) == (True, False)
    with pytest.raises(DecryptionError, match="ENCRYPTION_KEYS"):
        KeyRing([B]).decrypt(sealed, associated_data=b"")
    assert KeyRing([B]).decrypt(both.encrypt(b"new", associated_data=b""), associated_data=b"") == b"new"


def test_rotation_changes_the_key_and_not_the_body() -> None:
    sealed = KeyRing([A]).encrypt(b"secret", associated_data=b"place")
    rotated = KeyRing([B, A]).rotate(sealed, associated_data=b"place")
    assert KeyRing([B]).decrypt(rotated, associated_data=b"place") == b"secret"
    assert rotated[-18:] == sealed[-18:]
    with pytest.raises(DecryptionError):
        KeyRing([B, A]).rotate(sealed, associated_data=b"elsewhere")


@pytest.mark.parametrize(
    "good", [Fernet.generate_key().decode(), A.rstrip("="), f" {A}\n"], ids=["fernet", "bare", "spaces"]
)
def test_keys_that_are_accepted(good: str) -> None:
    KeyRing([good])


@pytest.mark.parametrize(
    "bad", [[], [""], ["short"], [base64.urlsafe_b64encode(b"x" * 31).decode()], [A, "secret-and-wrong"], ["é" * 43]]
)
def test_keys_that_are_refused_are_not_repeated(bad: list[str]) -> None:
    with pytest.raises(ValueError, match="ENCRYPTION_KEYS") as refused:
        KeyRing(bad)
    assert "secret-and-wrong" not in str(refused.value)
