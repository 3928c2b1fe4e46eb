"""Values as templates see them: texts, numbers, moments, lists and objects of JSON, each within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

#: Characters of a text, and items of a list, that a filter may take and give.
MAX_TEXT: Final = 200_000
MAX_ITEMS: Final = 20_000
#: Digits of a number before or after its point.
_DIGITS: Final = 30


class FilterError(Exception):
    """A value that a filter can do nothing with."""


class Safe(str):
    """Markup that is escaped already."""

    __slots__ = ()


def as_text(value: Any) -> str:
    """Return a value as it is shown. Raises ``FilterError`` for a list or an object."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float | Decimal | date | time | UUID):
        return str(value)
    kind = "a list" if isinstance(value, list | tuple | range) else "an object"
    raise FilterError(f"is {kind}, not a text or a number")


def as_number(value: Any) -> Decimal:
    """Return a number, or a text that is one. Raises ``FilterError``."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise FilterError("is not a number")
    if isinstance(value, int) and value.bit_length() > 128:
        raise FilterError("is too large a number")
    try:
        number = Decimal(value) if isinstance(value, int) else Decimal(str(value).strip()[:64])
    except InvalidOperation:
        raise FilterError("is not a number") from None
    if not number.is_finite() or (number and abs(number.adjusted()) >= _DIGITS):
        raise FilterError("is too large or too small a number")
    return number


def as_whole(value: Any, lowest: int, highest: int) -> int:
    """Return a whole number within bounds. Raises ``FilterError``."""
    number = as_number(value)
    if number != number.to_integral_value() or not lowest <= number <= highest:
        raise FilterError(f"needs a whole number from {lowest} to {highest}")
    return int(number)


def plain_number(number: Decimal) -> int | Decimal:
    """Return a number without zeros that say nothing."""
    if number and number.adjusted() >= _DIGITS:
        raise FilterError("is too large a number")
    if number == number.to_integral_value():
        return int(number)
    return round(number, 12).normalize()


def as_moment(value: Any) -> datetime | date | time:
    """Return a date, a time or both: of ISO 8601, or seconds since 1970. Raises ``FilterError``."""
    if isinstance(value, datetime | date | time):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value, tz=UTC)
        except (ValueError, OverflowError, OSError):
            raise FilterError("is not a date") from None
    text = value.strip() if isinstance(value, str) else ""
    if 0 < len(text) <= 40:
        for read in (date.fromisoformat, datetime.fromisoformat, time.fromisoformat):
            try:
                return read(text)
            except ValueError:
                continue
    raise FilterError("is not a date (write it as 2026-12-24 or 2026-12-24T18:00:00Z)")


def as_list(value: Any) -> list[Any]:
    """Return a list. Raises ``FilterError`` for what is none, or is too long."""
    if isinstance(value, range | list | tuple):
        if len(value) > MAX_ITEMS:
            raise FilterError(f"has more than {MAX_ITEMS} items")
        return list(value)
    raise FilterError("is not a list")


def member(value: Any, key: Any) -> Any:
    """Return what an object or list holds under a key, or None. Never an attribute."""
    if isinstance(value, Mapping):
        found = value.get(key)
        if found is None and not isinstance(key, str):
            found = value.get(str(key))
        return len(value) if found is None and key == "size" else found
    if isinstance(value, list | tuple):
        if key == "size":
            return len(value)
        if key in ("first", "last"):
            return (value[0] if key == "first" else value[-1]) if value else None
        if isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 10:
            key = int(key)
        if isinstance(key, int) and not isinstance(key, bool):
            return value[key] if -len(value) <= key < len(value) else None
        return None
    return len(value) if isinstance(value, str) and key == "size" else None
