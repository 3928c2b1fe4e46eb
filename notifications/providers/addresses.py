"""Email addresses: the one form that is stored and compared, and the form that travels on the wire."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import idna
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

# Demonstrations and on-premises servers use these like any other; the library documents the removal as its switch.
for _domain in {"local", "localhost", "test"}.intersection(SPECIAL_USE_DOMAIN_NAMES):
    SPECIAL_USE_DOMAIN_NAMES.remove(_domain)

#: What may stand between the angle brackets of an SMTP command: no space, control character or bracket.
_WIRE_SAFE = re.compile(r"[^\x00-\x20\x7f-\xa0<>]+@[^\x00-\x20\x7f-\xa0<>@]+")
#: A dot-atom of ASCII (RFC 5322 §3.2.3) of at most 64 octets: nothing about it needs a closer look.
_PLAIN_LOCAL = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
#: RFC 5321 §4.5.3.1.3: a path has at most 256 octets with its brackets.
MAX_OCTETS = 254


def normalise_email(address: str) -> str:
    """Return a bare address in its one form: NFC, the local part as written, the domain in lower case.

    Syntax only, nothing is looked up; ``.test``, ``.local`` and ``localhost`` are domains like any other.
    Raises ``ValueError`` with a sentence.
    """
    text = address.strip()
    if len(text) > MAX_OCTETS:
        raise ValueError(f"The email address is longer than {MAX_OCTETS} characters.")
    local, _, domain = text.rpartition("@")
    if _PLAIN_LOCAL.fullmatch(local) and (known := _known_domain(domain)) is not None:
        return f"{local}@{known}"  # most addresses: what is costly about them is the domain, and domains come back
    return _validated(text)


@lru_cache(maxsize=4096)
def _known_domain(domain: str) -> str | None:
    try:
        return _validated(f"a@{domain}").removeprefix("a@")
    except ValueError:
        return None


def _validated(text: str) -> str:
    try:
        return validate_email(
            text, check_deliverability=False, globally_deliverable=not text.lower().endswith("@localhost")
        ).normalized
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None


@lru_cache(maxsize=4096)
def ascii_domain(domain: str) -> str:
    """Return a domain as A-labels (RFC 5891). Raises ``ValueError`` if it has no such form."""
    if domain.isascii():
        return domain
    return idna.encode(domain, uts46=True).decode("ascii")


def wire_address(address: str) -> str:
    """Return an address as it travels: the domain as A-labels, the local part as it is.

    What comes back is ASCII unless the local part is not, and then only SMTPUTF8 (RFC 6531) can carry it.
    Raises ``ValueError`` for everything that could end the command it is put into.
    """
    if not _WIRE_SAFE.fullmatch(address):
        raise ValueError("The address has characters that an email can not be addressed with.")
    if not address.isascii():
        local, _, domain = address.rpartition("@")
        address = f"{local}@{ascii_domain(domain)}"
    if len(address.encode()) > MAX_OCTETS:
        raise ValueError(f"The address is longer than {MAX_OCTETS} octets.")
    return address


def copies_of(content: Mapping[str, Any], recipient: str) -> tuple[list[str], list[str]]:
    """Return (cc, bcc) of rendered content, without whom the message is addressed to anyway."""
    own = recipient.casefold()
    cc, bcc = ([each for each in content.get(name) or () if each.casefold() != own] for name in ("cc", "bcc"))
    return cc, bcc
