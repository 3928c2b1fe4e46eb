"""Masking: secrets never leave in clear, whether towards logs, audit, admin, API or errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "••••"
#: Below this length even four characters would give too much away.
_SHOW_TAIL_FROM = 12

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|private[_-]?key|api[_-]?key$|auth(orization)?$|credentials?$|cookie|signature",
    re.IGNORECASE,
)
#: Names that look secret and are not.
_HARMLESS = frozenset({"secret_hint", "token_type", "key_id", "reset_token_sent"})
_SECRET_VALUE = re.compile(
    r"\b(sk_(?:live|test)_)[A-Za-z0-9_-]+|\b((?i:Bearer)\s+)[A-Za-z0-9._~+/=-]+|\b(eyJ)[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*",
)


def mask(secret: str) -> str:
    """Return ``••••`` and, of a secret long enough, its last four characters."""
    return MASK + (secret[-4:] if len(secret) >= _SHOW_TAIL_FROM else "")


def is_masked(value: object) -> bool:
    """Whether the value is what ``mask`` returned: a form sent back unchanged."""
    return isinstance(value, str) and value.startswith(MASK)


def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret."""
    return name not in _HARMLESS and bool(_SECRET_NAME.search(name))


def mask_secrets(value: Any) -> Any:
    """Return a copy in which every value under a secret's name, and every key or token in a text, is masked."""
    if isinstance(value, Mapping):
        return {
            key: _mask_whole(item) if is_secret_name(str(key)) else mask_secrets(item) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask_secrets(item) for item in value]
    if isinstance(value, str):
        return mask_text(value)
    return value


def mask_text(text: str) -> str:
    """Return the text with API secrets, bearer tokens and JWTs masked."""
    return _SECRET_VALUE.sub(lambda match: (match[1] or match[2] or match[3]) + MASK, text)


def _mask_whole(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: _mask_whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mask_whole(item) for item in value]
    return value if is_masked(value) else mask(str(value))


def mask_address(address: str) -> str:
    """Return an address that a person may recognise and a stranger can not use: ``a•••@example.com``, ``+35•••89``."""
    local, at, domain = address.rpartition("@")
    if at:
        return f"{local[:1]}•••@{domain}"
    return f"{address[:3]}•••{address[-2:]}" if len(address) > 6 else "•••"
