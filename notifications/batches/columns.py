"""What the columns of a file mean: which one is the address, and which placeholder each of the others fills."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from notification_service.lib.errors import InvalidInput
from notifications.batches.dialects import refused

MAX_COLUMNS: Final = 200
MAX_NAME: Final = 100
#: Columns that an error names.
SHOWN_COLUMNS: Final = 20
RECIPIENT: Final = "recipient"
USER_ID: Final = "user_id"
LOCALE: Final = "locale"
#: Other names of the column with the address, by channel.
ADDRESS_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "email": ("email", "e-mail", "email address"),
    "sms": ("phone", "phone number", "mobile"),
    "whatsapp": ("phone", "phone number", "mobile"),
    "push": ("token", "device_token"),
    "inapp": (USER_ID,),
}


@dataclass(frozen=True, slots=True)
class Columns:
    """``names`` says which placeholder each column fills, None for none; the others are places in the row.

    ``recipient`` is None where a person's id stands for the address. ``titles`` are the file's own words.
    """

    titles: Sequence[str]
    names: Sequence[str | None]
    recipient: int | None
    user_id: int | None
    locale: int | None

    def title(self, index: int | None) -> str:
        """Return the name of a column as the file has it."""
        return self.titles[index] if index is not None and index < len(self.titles) else ""

    def title_of(self, placeholder: str) -> str:
        """Return the column that fills a placeholder, or the placeholder itself if none does."""
        return self.titles[self.names.index(placeholder)] if placeholder in self.names else placeholder


def expected_names(channel: str, mapping: Mapping[str, Any]) -> set[str]:
    """Return the names, in lower case, by which the header of a file is recognised."""
    return {RECIPIENT, USER_ID, *ADDRESS_NAMES.get(channel, ()), *(name.lower() for name in mapping)}


def columns_of(header: Sequence[str], channel: str, mapping: Mapping[str, Any]) -> Columns:
    """Return what the columns mean. ``mapping`` renames them (``{"E-Mail": "recipient"}``); None leaves one out.

    Raises ``InvalidInput`` for ``file`` or ``mapping``.
    """
    titles = list(header)
    while titles and not titles[-1]:
        titles.pop()  # what follows a trailing delimiter
    _check_titles(titles)
    meanings = _renamed(titles, mapping)
    lowered = [(meaning or "").lower() for meaning in meanings]
    user_id = _place(lowered, (USER_ID,))
    recipient = _place(lowered, (RECIPIENT,))
    if recipient is None:
        recipient = _place(lowered, ADDRESS_NAMES.get(channel, ()))
    if recipient is None and user_id is None:
        known = ", ".join(f"'{name}'" for name in (RECIPIENT, *ADDRESS_NAMES.get(channel, ())[:1]))
        found = ", ".join(f"'{title[:MAX_NAME]}'" for title in titles[:SHOWN_COLUMNS])
        raise refused(f"No column has the address: name it {known}, or give a mapping. The first row has {found}.")
    names = [
        None if meaning is None or lowered[index] == RECIPIENT else meaning for index, meaning in enumerate(meanings)
    ]
    return Columns(titles, names, recipient, user_id, _place(lowered, (LOCALE,)))


def fitted(columns: Columns, placeholders: Collection[str]) -> Columns:
    """Return columns with the capitals of the placeholders that they fill: ``Name`` fills ``{{ name }}``."""
    spellings: dict[str, list[str]] = {}
    for each in placeholders:
        spellings.setdefault(each.lower(), []).append(each)
    names = []
    for name in columns.names:
        meant = spellings.get(name.lower(), []) if name and name not in placeholders else []
        names.append(meant[0] if len(meant) == 1 else name)
    return replace(columns, names=names)


def _check_titles(titles: Sequence[str]) -> None:
    if len(titles) > MAX_COLUMNS:
        raise refused(f"The file has {len(titles)} columns; at most {MAX_COLUMNS} are allowed.")
    seen: set[str] = set()
    for index, title in enumerate(titles):
        if not title:
            raise refused(f"Column {index + 1} has no name in the first row.")
        if len(title) > MAX_NAME or not title.isprintable():
            raise refused(
                f"The name of column {index + 1} has more than {MAX_NAME} characters, or some that are not printable."
            )
        if title.lower() in seen:
            raise refused(f"Two columns are called {title!r}.")
        seen.add(title.lower())


def _renamed(titles: Sequence[str], mapping: Mapping[str, Any]) -> list[str | None]:
    by_title = {title.lower(): index for index, title in enumerate(titles)}
    meanings: list[str | None] = list(titles)
    for title, meaning in mapping.items():
        index = by_title.get(title.strip().lower())
        if index is None:
            raise _bad_mapping(f"The file has no column {title!r}.")
        if meaning is not None and not (isinstance(meaning, str) and 0 < len(meaning.strip()) <= MAX_NAME):
            raise _bad_mapping(f"{title!r} must lead to a name of at most {MAX_NAME} characters, or to null.")
        meanings[index] = meaning.strip() if meaning is not None else None
    given = [meaning.lower() for meaning in meanings if meaning is not None]
    if twice := {meaning for meaning in given if given.count(meaning) > 1}:
        raise _bad_mapping(f"Two columns lead to {sorted(twice)[0]!r}.")
    return meanings


def _bad_mapping(message: str) -> InvalidInput:
    return refused(message, "mapping")


def _place(lowered: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((lowered.index(name) for name in wanted if name in lowered), None)
