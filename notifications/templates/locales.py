"""Languages: which of a template's variants a recipient reads."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import lru_cache

from babel import Locale, UnknownLocaleError

_TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")


def normal_locale(tag: str) -> str:
    """Return a language tag as BCP 47 writes it (``pt_br`` → ``pt-BR``). Raises ``ValueError``."""
    if not _TAG.fullmatch(tag) or len(tag) > 35:
        raise ValueError("Enter a locale such as en or pt-BR.")
    language, *rest = tag.replace("_", "-").split("-")
    return "-".join([language.lower(), *(_subtag(part) for part in rest)])


def _subtag(part: str) -> str:
    return part.upper() if len(part) == 2 else part.title() if len(part) == 4 and part.isalpha() else part.lower()


def fallbacks(tag: str) -> Iterator[str]:
    """Yield a tag and what it falls back to: ``pt-BR``, ``pt``."""
    try:
        tag = normal_locale(tag)
    except ValueError:
        return
    while tag:
        yield tag
        tag = tag.rpartition("-")[0]


def choose_variant(available: Collection[str], *wanted: str) -> str:
    """Return the first of the wanted languages, each with its fallbacks, that there is; ``""`` if there is none."""
    return next((tag for each in wanted if each for tag in fallbacks(each) if tag in available), "")


@lru_cache(maxsize=512)
def formats_of(tag: str) -> Locale:
    """Return how a language writes dates and numbers; English if nobody knows."""
    for each in fallbacks(tag):
        try:
            return Locale.parse(each, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale.parse("en")


def language_of(tag: str) -> str:
    """Return the language alone: ``pt`` of ``pt-BR``."""
    return tag.replace("_", "-").partition("-")[0].lower()
