"""Rows of a file, checked: a normal address and the values for the placeholders, or the first thing that is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

import orjson

from notifications.batches.columns import SHOWN_COLUMNS, Columns, fitted
from notifications.batches.dialects import refused
from notifications.batches.reading import SHOWN
from notifications.channels.base import Channel, ContentError
from notifications.channels.placeholders import Placeholder
from notifications.recipients.suppressions import suppression_key
from notifications.templates.lookups import is_known_locale

#: Octets of a row's values.
MAX_CONTEXT: Final = 64 * 1024
_MAX_LOCALE: Final = 35
_MAX_USER_ID: Final = 255


class Provable(Protocol):
    """Words that say whether they can be filled in."""

    @property
    def placeholders(self) -> Collection[str]:
        """Names of what is filled in."""

    def prove(self, context: Mapping[str, Any], locale: str = "") -> None:
        """Render once. Raises ``ContentError``."""


@dataclass(slots=True)
class Candidate:
    """A valid row. ``address`` is the channel's normal form; empty where a person's devices are still to be found."""

    row_number: int
    address: str
    context: dict[str, Any]
    user_id: str = ""
    locale: str = ""


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that can not be sent: the column at fault (as the file calls it), a code and a sentence."""

    row_number: int
    column: str
    code: str
    reason: str
    original: str


def columns_for(columns: Columns, words: Provable, shared: Mapping[str, Any]) -> Columns:
    """Return columns as the words spell their names. ``shared`` are values for every row.

    Raises ``InvalidInput`` for the field ``file`` if the words ask for what no row can have: not even one that fills
    all its cells.
    """
    columns = fitted(columns, words.placeholders)
    filled = {name: "1" for name in columns.names if name}
    try:
        words.prove({**shared, **filled})
    except ContentError as error:
        if (missing := error.placeholder) and missing not in filled and Placeholder(missing).find(shared) is None:
            found = ", ".join(f"'{title}'" for title in columns.titles[:SHOWN_COLUMNS])
            raise refused(f"No column fills the placeholder {missing!r}. The first row has {found}.") from None
    return columns


class RowChecker:
    """Checks rows of one file. ``shared`` are values for every row; a row's own win; an empty cell is no value.

    ``locales`` are those that a row may name, or their like (``lookups.is_known_locale``).
    """

    def __init__(
        self,
        *,
        channel: Channel,
        words: Provable,
        columns: Columns,
        region: str | None,
        shared: Mapping[str, Any],
        locales: Collection[str],
    ) -> None:
        self._channel, self._words, self._columns = channel, words, columns
        self._region, self._shared, self._locales = region, dict(shared), locales
        self._names, self._width = list(columns.names), len(columns.names)

    def check(self, number: int, cells: list[str]) -> Candidate | Broken:
        """Return the row as it can be sent, or what is wrong with it."""
        columns = self._columns
        if len(cells) > self._width and any(cells[self._width :]):
            reason = f"The row has {len(cells)} cells and the first row only {self._width}."
            return self._broken(number, "", "too_many_cells", reason, cells)
        own = {name: cell for name, cell in zip(self._names, cells, strict=False) if cell and name}
        user_id = _cell(cells, columns.user_id)
        locale = _cell(cells, columns.locale)
        if len(user_id) > _MAX_USER_ID or len(locale) > _MAX_LOCALE:
            column = columns.title(columns.user_id if len(user_id) > _MAX_USER_ID else columns.locale)
            return self._broken(number, column, "too_long", f"The value of '{column}' is too long.", cells)
        if locale and not is_known_locale(locale, self._locales):
            column = columns.title(columns.locale)
            return self._broken(number, column, "unknown_locale", f"Unknown locale {locale!r}.", cells)
        written = _cell(cells, columns.recipient)
        if not written and not user_id:
            column = columns.title(columns.recipient)
            return self._broken(number, column, "missing_address", "The row has no address.", cells)
        context = {**self._shared, **own} if self._shared else own
        try:
            address = self._channel.normalise_address(written, region=self._region) if written else ""
        except ContentError as error:
            return self._broken(number, columns.title(columns.recipient), "invalid_address", error.message, cells)
        try:
            self._words.prove(context, locale)
        except ContentError as error:
            if error.placeholder:
                column = columns.title_of(error.placeholder)
                return self._broken(number, column, "missing_value", error.message, cells)
            return self._broken(number, "", "content_error", error.message, cells)
        if sum(map(len, cells)) > MAX_CONTEXT // 4 and len(orjson.dumps(context)) > MAX_CONTEXT:
            reason = f"The values have more than {MAX_CONTEXT // 1024} KB."
            return self._broken(number, "", "too_long", reason, cells)
        return Candidate(number, address, context, user_id or self._channel.user_id_of(address), locale)

    @staticmethod
    def _broken(number: int, column: str, code: str, reason: str, cells: Sequence[str]) -> Broken:
        return Broken(number, column, code, reason[:500], original_of(cells))


def original_of(cells: Sequence[str]) -> str:
    """Return a row as it is shown beside its error."""
    return ", ".join(cells)[:SHOWN]


def address_hash(key: str) -> UUID:
    """Return 16 octets of a digest of an address in the form in which addresses are compared."""
    return UUID(bytes=hashlib.blake2b(key.encode(), digest_size=16).digest())


def address_key(channel: str, address: str) -> str:
    """Return the form in which addresses are compared; see ``suppression_key``."""
    return suppression_key(channel, address)


def _cell(cells: Sequence[str], index: int | None) -> str:
    return cells[index].strip() if index is not None and index < len(cells) else ""
