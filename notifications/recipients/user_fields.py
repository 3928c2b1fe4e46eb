"""What a tenant says of a person, checked field by field and brought into normal form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from zoneinfo import available_timezones

import orjson

from notification_service.lib.errors import InvalidInput
from notifications.channels.base import ContentError
from notifications.channels.registry import channels
from notifications.recipients.models import RecipientStatus

#: What is stored where nothing was said.
DEFAULTS: Final[Mapping[str, Any]] = {
    "external_user_id": "",
    "email": "",
    "phone": "",
    "name": "",
    "roles": [],
    "status": str(RecipientStatus.ACTIVE),
    "metadata": {},
    "locale": "",
    "time_zone": "",
}
#: Other spellings that are understood.
ALIASES: Final[Mapping[str, str]] = {
    "externalUserId": "external_user_id",
    "timeZone": "time_zone",
    "pushTokens": "push_tokens",
}
MAX_METADATA: Final = 16 * 1024
MAX_ROLES: Final = 50
#: A null character, which PostgreSQL's jsonb can not hold, in JSON: an escape that is not itself escaped.
_NULL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
#: BCP 47 tags (RFC 5646) of a language with subtags, in any case.
_LOCALE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def check_user(given: Mapping[str, Any], region: str | None = None) -> dict[str, Any]:
    """Return the fields of ``DEFAULTS`` that were given, in normal form; null means the default.

    ``region`` (ISO 3166-1, two letters) is the country of phones without a country code. Raises ``InvalidInput``
    naming every field that is wrong or unknown.
    """
    values: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    for key, value in given.items():
        name = ALIASES.get(key, key)
        if name not in DEFAULTS:
            errors[str(key)[:64]] = [f"Unknown field; known: {', '.join(DEFAULTS)}."]
            continue
        try:
            values[name] = DEFAULTS[name] if value is None else _check(name, value, region)
        except ContentError as error:
            errors[name] = [error.message]
        except ValueError as error:
            errors[name] = [str(error)]
    if errors:
        field, messages = next(iter(errors.items()))
        raise InvalidInput(f"{field}: {messages[0]}", errors=errors)
    return values


def check_locale(text: str) -> str:
    """Return a locale such as ``en`` or ``pt-BR``. Raises ``ValueError``."""
    if text and not _LOCALE.fullmatch(text):
        raise ValueError("Enter a locale such as en or pt-BR.")
    return text


def check_time_zone(text: str) -> str:
    """Return the name of a time zone. Raises ``ValueError``."""
    if text and text not in available_timezones():
        raise ValueError("Enter an IANA time zone such as Europe/Dublin.")
    return text


def check_role(value: Any) -> str:
    """Return the name of a role. Raises ``ValueError``."""
    name = _text(value, 64)
    if not name:
        raise ValueError("A role has a name.")
    return name


def _check(name: str, value: Any, region: str | None) -> Any:
    match name:
        case "roles":
            if not isinstance(value, list | tuple) or len(value) > MAX_ROLES:
                raise ValueError(f"Must be a list of at most {MAX_ROLES} names of roles.")
            return sorted({check_role(each) for each in value})
        case "metadata":
            return _metadata(value)
        case "email":
            text = _text(value, 254)
            return channels.get("email").normalise_address(text) if text else ""
        case "phone":
            text = _text(value, 64)
            return channels.get("sms").normalise_address(text, region=region) if text else ""
        case "status":
            if value not in RecipientStatus.values:
                raise ValueError(f"Must be one of {', '.join(RecipientStatus.values)}.")
            return str(value)
    limits: Mapping[str, tuple[int, Callable[[str], str]]] = {
        "locale": (35, check_locale),
        "time_zone": (64, check_time_zone),
    }
    longest, check = limits.get(name, (255, str))
    return check(_text(value, longest))


def _text(value: Any, longest: int) -> str:
    if not isinstance(value, str):
        raise ValueError("Must be a text.")
    text = value.strip()
    if len(text) > longest:
        raise ValueError(f"Has {len(text)} characters; at most {longest} are allowed.")
    if "\x00" in text or not text.isprintable():
        raise ValueError("Control characters are not allowed.")
    return text


def _metadata(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("Must be an object.")
    try:
        dumped = orjson.dumps(value)
    except TypeError:
        raise ValueError("Is nested too deeply, or holds half a character.") from None
    if len(dumped) > MAX_METADATA:
        raise ValueError(f"Must be smaller than {MAX_METADATA // 1024} KB.")
    if _NULL.search(dumped):
        raise ValueError("Null characters are not allowed.")
    return dict(value)
