"""Masking: a secret never leaves in clear, whatever it is wrapped in; what is no secret is left alone."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_service.lib.masking import MASK, is_masked, is_secret_name, mask, mask_secrets, mask_text

SECRET = "Zq9-Zq9-Zq9-Zq9"
NAMES = ["password", "smtp_password", "passphrase", "api_secret", "client_secret", "token", "refresh_token", "cookie"]
NAMES += ["privateKey", "private_key", "api_key", "X-Api-Key", "Authorization", "credentials", "Set-Cookie", "PASSWD"]

wrapped = st.recursive(
    st.just(SECRET),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "host", "x"]), inner, min_size=1)
    ),
    max_leaves=6,
)


@given(st.text())
def test_a_mask_shows_four_characters_of_what_is_long_enough(secret: str) -> None:
    masked = mask(secret)
    assert is_masked(masked)
    assert masked == MASK + (secret[-4:] if len(secret) >= 12 else "")


@given(st.sampled_from(NAMES), wrapped)
def test_everything_under_a_secrets_name_is_masked(name: str, value: Any) -> None:
    assert "Zq9-Zq9" not in repr(mask_secrets({"outer": [{name: value}]}))


@given(st.dictionaries(st.sampled_from(["name", "host", "status", "count"]), st.integers() | st.booleans() | st.none()))
def test_what_is_no_secret_is_left_alone(value: dict[str, Any]) -> None:
    assert mask_secrets(value) == value


@given(
    st.text(alphabet=string.ascii_letters + string.digits, min_size=20, max_size=60),
    st.text(alphabet="aä 1,'\n", max_size=20),
)
def test_api_secrets_and_tokens_in_a_text_are_masked(secret: str, around: str) -> None:
    for start in ("sk_live_", "sk_test_", "Bearer ", "bearer "):
        assert mask_text(f"{around} {start}{secret} {around}") == f"{around} {start}{MASK} {around}"
    assert mask_text(f"{around} eyJ{secret}.{secret}.{secret} {around}") == f"{around} eyJ{MASK} {around}"


def test_masking_twice_changes_nothing() -> None:
    once = mask_secrets({"password": SECRET, "note": f"sk_live_{'a' * 20}"})
    assert mask_secrets(once) == once


def test_masking_leaves_its_argument_alone() -> None:
    given_ = {"password": SECRET, "list": [{"token": SECRET}]}
    mask_secrets(given_)
    assert given_ == {"password": SECRET, "list": [{"token": SECRET}]}


@pytest.mark.parametrize("name", NAMES)
def test_secret_names(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["host", "username", "from_email", "token_type", "key_id", "secret_hint", "passenger"])
def test_names_that_only_look_secret(name: str) -> None:
    assert not is_secret_name(name)
