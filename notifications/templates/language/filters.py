"""Filters: each takes the formats of a language, a value and literal arguments, and gives a value within bounds.

What formats dates, numbers and plurals follows the recipient's language (Unicode CLDR, by Babel).
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Any, Final
from urllib.parse import quote_plus

from babel import Locale, dates, numbers

from notifications.templates.language.values import (
    MAX_ITEMS,
    MAX_TEXT,
    FilterError,
    Safe,
    as_list,
    as_moment,
    as_number,
    as_text,
    as_whole,
    member,
    plain_number,
)

Filter = Callable[..., Any]

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_STYLES: Final = ("short", "medium", "long", "full")
_MAX_PATTERN: Final = 60
#: Directives of strftime(3) that Liquid's own ``date`` takes, as patterns of CLDR.
_DIRECTIVES: Final[Mapping[str, str]] = {
    "%Y": "yyyy", "%y": "yy", "%m": "MM", "%-m": "M", "%B": "MMMM", "%b": "MMM", "%h": "MMM", "%d": "dd", "%-d": "d",
    "%e": "d", "%j": "D", "%A": "EEEE", "%a": "EEE", "%H": "HH", "%-H": "H", "%I": "hh", "%-I": "h", "%l": "h",
    "%M": "mm", "%S": "ss", "%p": "a", "%P": "a", "%Z": "z", "%z": "xx", "%F": "yyyy-MM-dd", "%T": "HH:mm:ss",
    "%R": "HH:mm", "%D": "MM/dd/yy", "%%": "%",
}  # fmt: skip
_PLURALS: Final = ("zero", "one", "two", "few", "many", "other")


def default(formats: Locale, value: Any, instead: Any = "") -> Any:
    """Another value where there is none, or an empty one."""
    return instead if value is None or value is False or value in ("", [], {}) else value


def upper(formats: Locale, value: Any) -> str:
    """In capitals, as the language writes them."""
    text = as_text(value)
    return (text.replace("i", "İ") if formats.language in ("tr", "az") else text).upper()


def lower(formats: Locale, value: Any) -> str:
    """In small letters, as the language writes them."""
    text = as_text(value)
    return (text.replace("I", "ı").replace("İ", "i") if formats.language in ("tr", "az") else text).lower()


def title(formats: Locale, value: Any) -> str:
    """Each word with a capital."""
    return _WORD.sub(lambda found: upper(formats, found[0][0]) + lower(formats, found[0][1:]), as_text(value))


def capitalize(formats: Locale, value: Any) -> str:
    """The first letter a capital, the others small."""
    text = as_text(value)
    return upper(formats, text[:1]) + lower(formats, text[1:])


def truncate(formats: Locale, value: Any, length: Any = 50, end: Any = "...") -> str:
    """At most so many characters, the end included."""
    text, limit, mark = as_text(value), as_whole(length, 0, MAX_TEXT), as_text(end)
    return text if len(text) <= limit else text[: max(limit - len(mark), 0)] + mark


def truncatewords(formats: Locale, value: Any, count: Any = 15, end: Any = "...") -> str:
    """At most so many words."""
    words, limit = as_text(value).split(), as_whole(count, 1, MAX_TEXT)
    return " ".join(words[:limit]) + (as_text(end) if len(words) > limit else "")


def format_date(formats: Locale, value: Any, pattern: Any = "medium") -> str:
    """A date as the language writes it: ``short`` to ``full``, a pattern of CLDR, or one of strftime."""
    moment, chosen = as_moment(value), _pattern(pattern)
    if isinstance(moment, time):
        raise FilterError("is a time without a date")
    if chosen in _STYLES:
        return dates.format_date(moment, chosen, locale=formats)
    return _format(lambda: dates.format_datetime(_with_time(moment), chosen, locale=formats))


def format_time(formats: Locale, value: Any, pattern: Any = "short") -> str:
    """A time of day as the language writes it."""
    moment, chosen = as_moment(value), _pattern(pattern)
    if isinstance(moment, date) and not isinstance(moment, datetime):
        raise FilterError("is a date without a time")
    zone = moment.tzinfo if isinstance(moment, datetime) else None
    return _format(lambda: dates.format_time(moment, chosen, tzinfo=zone, locale=formats))


def format_datetime(formats: Locale, value: Any, pattern: Any = "medium") -> str:
    """A date with its time as the language writes them."""
    moment, chosen = as_moment(value), _pattern(pattern)
    if isinstance(moment, time):
        raise FilterError("is a time without a date")
    return _format(lambda: dates.format_datetime(_with_time(moment), chosen, locale=formats))


def number(formats: Locale, value: Any, digits: Any = None) -> str:
    """A number as the language writes it, with so many decimals."""
    if digits is None:
        return numbers.format_decimal(as_number(value), locale=formats)
    places = as_whole(digits, 0, 12)
    rounded = round(as_number(value), places)
    return numbers.format_decimal(rounded, "#,##0." + "0" * places if places else "#,##0", locale=formats)


def percent(formats: Locale, value: Any, digits: Any = 0) -> str:
    """A share (0.25) as a percentage."""
    places = as_whole(digits, 0, 12)
    share = round(as_number(value), places + 2)
    if places:
        return numbers.format_percent(share, "#,##0." + "0" * places + "%", locale=formats)
    return numbers.format_percent(share, locale=formats)


def currency(formats: Locale, value: Any, code: Any = "USD") -> str:
    """An amount of money; the currency by its ISO 4217 code."""
    name = as_text(code).upper()
    if not (len(name) == 3 and name.isascii() and name.isalpha()):
        raise FilterError("needs a currency such as EUR (ISO 4217)")
    return numbers.format_currency(as_number(value), name, locale=formats)


def pluralize(formats: Locale, value: Any, *words: Any) -> str:
    """The word that goes with a number: one form for each of the language's plurals, in CLDR's order.

    English has two (``"item", "items"``), Polish four. The last word stands for those that are not given.
    """
    if not words:
        raise FilterError("needs the forms of the word")
    rule = formats.plural_form
    known: list[str] = [tag for tag in _PLURALS if tag in rule.tags or tag == "other"]
    place = known.index(rule(abs(as_number(value))))
    return as_text(words[min(place, len(words) - 1)])


def append(formats: Locale, value: Any, more: Any) -> str:
    return as_text(value) + as_text(more)


def prepend(formats: Locale, value: Any, more: Any) -> str:
    return as_text(more) + as_text(value)


def replace(formats: Locale, value: Any, old: Any, new: Any = "") -> str:
    text, before, after = as_text(value), as_text(old), as_text(new)
    found = text.count(before) if before else len(text) + 1
    if len(text) + found * len(after) > MAX_TEXT:
        raise FilterError("would become too long")
    return text.replace(before, after)


def strip(formats: Locale, value: Any) -> str:
    return as_text(value).strip()


def escape(formats: Locale, value: Any) -> Safe:
    """Markup as text; it is not escaped again."""
    return value if isinstance(value, Safe) else Safe(html.escape(as_text(value)))


def newline_to_br(formats: Locale, value: Any) -> Safe:
    """Lines as lines of HTML."""
    return Safe(escape(formats, value).replace("\r\n", "\n").replace("\n", "<br>\n"))


def url_encode(formats: Locale, value: Any) -> str:
    return quote_plus(as_text(value), errors="replace")


def size(formats: Locale, value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple | range | Mapping) else 0


def first(formats: Locale, value: Any) -> Any:
    return next(iter(as_list(value)), None)


def last(formats: Locale, value: Any) -> Any:
    items = as_list(value)
    return items[-1] if items else None


def join(formats: Locale, value: Any, between: Any = " ") -> str:
    items, mark = [as_text(item) for item in as_list(value)], as_text(between)
    if sum(map(len, items)) + len(mark) * len(items) > MAX_TEXT:
        raise FilterError("would become too long")
    return mark.join(items)


def split(formats: Locale, value: Any, at: Any) -> list[str]:
    text, mark = as_text(value), as_text(at)
    if (text.count(mark) if mark else len(text)) >= MAX_ITEMS:
        raise FilterError("would become too many pieces")
    return text.split(mark) if mark else list(text)


def slice_(formats: Locale, value: Any, start: Any, count: Any = 1) -> Any:
    whole = value if isinstance(value, str) else as_list(value)
    begin, many = as_whole(start, -MAX_TEXT, MAX_TEXT), as_whole(count, 0, MAX_TEXT)
    begin = max(begin + len(whole), 0) if begin < 0 else begin
    return whole[begin : begin + many]


def reverse(formats: Locale, value: Any) -> list[Any]:
    return as_list(value)[::-1]


def sort(formats: Locale, value: Any, key: Any = None) -> list[Any]:
    items = as_list(value)
    try:
        return sorted(items, key=(lambda item: member(item, key)) if key is not None else None)
    except TypeError:
        raise FilterError("holds values that have no order among each other") from None


def map_(formats: Locale, value: Any, key: Any) -> list[Any]:
    return [member(item, key) for item in as_list(value)]


def where(formats: Locale, value: Any, key: Any, wanted: Any = None) -> list[Any]:
    """Those items whose member is what is wanted; without that: is anything."""
    found = ((item, member(item, key)) for item in as_list(value))
    return [item for item, held in found if (held == wanted if wanted is not None else held not in (None, False))]


def sum_(formats: Locale, value: Any, key: Any = None) -> int | Decimal:
    items = as_list(value)
    return plain_number(sum((as_number(item if key is None else member(item, key)) for item in items), Decimal()))


def concat(formats: Locale, value: Any, more: Any) -> list[Any]:
    return as_list(value) + as_list(more)


def plus(formats: Locale, value: Any, more: Any) -> int | Decimal:
    return plain_number(as_number(value) + as_number(more))


def minus(formats: Locale, value: Any, less: Any) -> int | Decimal:
    return plain_number(as_number(value) - as_number(less))


def times(formats: Locale, value: Any, factor: Any) -> int | Decimal:
    return plain_number(as_number(value) * as_number(factor))


def divided_by(formats: Locale, value: Any, divisor: Any) -> int | Decimal:
    """Whole numbers give a whole number, as in Liquid."""
    over, under = as_number(value), as_number(divisor)
    if not under:
        raise FilterError("can not be divided by zero")
    if isinstance(value, int) and isinstance(divisor, int):
        return value // divisor
    return plain_number(over / under)


def modulo(formats: Locale, value: Any, divisor: Any) -> int | Decimal:
    over, under = as_number(value), as_number(divisor)
    if not under:
        raise FilterError("can not be divided by zero")
    return plain_number(over - under * (over / under).to_integral_value(ROUND_FLOOR))


def round_(formats: Locale, value: Any, digits: Any = 0) -> int | Decimal:
    return plain_number(as_number(value).quantize(Decimal(1).scaleb(-as_whole(digits, 0, 12)), ROUND_HALF_UP))


def ceil(formats: Locale, value: Any) -> int:
    return int(as_number(value).to_integral_value(ROUND_CEILING))


def floor(formats: Locale, value: Any) -> int:
    return int(as_number(value).to_integral_value(ROUND_FLOOR))


def abs_(formats: Locale, value: Any) -> int | Decimal:
    return plain_number(abs(as_number(value)))


def at_least(formats: Locale, value: Any, bound: Any) -> int | Decimal:
    return plain_number(max(as_number(value), as_number(bound)))


def at_most(formats: Locale, value: Any, bound: Any) -> int | Decimal:
    return plain_number(min(as_number(value), as_number(bound)))


def _pattern(pattern: Any) -> str:
    chosen = as_text(pattern)
    if len(chosen) > _MAX_PATTERN:
        raise FilterError("has too long a format")
    if "%" not in chosen:
        return chosen
    return re.sub(r"%-?[a-zA-Z%]|[a-zA-Z]+|'", _directive, chosen)


def _directive(found: re.Match[str]) -> str:
    text = found[0]
    if text == "'":
        return "''"
    if not text.startswith("%"):
        return f"'{text}'"
    if text not in _DIRECTIVES:
        raise FilterError(f"does not know {text} in a format")
    return _DIRECTIVES[text]


def _with_time(moment: datetime | date) -> datetime:
    return moment if isinstance(moment, datetime) else datetime.combine(moment, time())


def _format(act: Callable[[], str]) -> str:
    try:
        return act()
    except (ValueError, KeyError, AttributeError, TypeError):
        raise FilterError("can not be written in this format") from None


FILTERS: Final[Mapping[str, Filter]] = {
    "default": default, "upper": upper, "upcase": upper, "lower": lower, "downcase": lower, "title": title,
    "capitalize": capitalize, "truncate": truncate, "truncatewords": truncatewords, "date": format_date,
    "time": format_time, "datetime": format_datetime, "number": number, "percent": percent, "currency": currency,
    "pluralize": pluralize, "append": append, "prepend": prepend, "replace": replace, "remove": replace,
    "strip": strip, "escape": escape, "newline_to_br": newline_to_br, "url_encode": url_encode, "size": size,
    "first": first, "last": last, "join": join, "split": split, "slice": slice_, "reverse": reverse, "sort": sort,
    "map": map_, "where": where, "sum": sum_, "concat": concat, "plus": plus, "minus": minus, "times": times,
    "divided_by": divided_by, "modulo": modulo, "round": round_, "ceil": ceil, "floor": floor, "abs": abs_,
    "at_least": at_least, "at_most": at_most,
}  # fmt: skip


def apply(name: str, formats: Locale, value: Any, *arguments: Any) -> Any:
    """Apply a filter. Raises ``FilterError`` for values that it does not take, and for results out of bounds."""
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise FilterError("is too long for a filter")
    try:
        result = FILTERS[name](formats, value, *arguments)
    except ArithmeticError:
        raise FilterError("can not be calculated with") from None
    if (isinstance(result, str) and len(result) > MAX_TEXT) or (isinstance(result, list) and len(result) > MAX_ITEMS):
        raise FilterError("became too long")
    return result
