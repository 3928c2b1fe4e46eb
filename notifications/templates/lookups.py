"""Lookups: the values that lists offer. The service's own stand in a file, a tenant adds its own or hides others.

A type whose values another room keeps (``kept_elsewhere``) is read from there; here a tenant only renames or hides what
the service offers of it. So it is with types that the service's own code knows by value (``CLOSED``).

What a caller names is checked against these lists: ``check``, ``check_locale``. They are remembered, so that a message
costs no query for it; a change holds everywhere at once (``lib.remembered``), but at the fast doors, which look at what
was read in the last ten seconds.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NoReturn
from uuid import UUID

from babel import Locale
from django.db import IntegrityError, transaction

from notification_service.lib.errors import Conflict, InvalidInput, NotFound
from notification_service.lib.remembered import Remembered
from notification_service.lib.scope import current_tenant_id
from notifications.templates.locales import fallbacks, normal_locale
from notifications.templates.models import Lookup
from tenants import audit
from tenants.callers import Caller

_FILE: Final = Path(__file__).parent / "lookups.toml"
#: Types whose values mean something to our own code: a tenant renames or hides them.
CLOSED: Final = frozenset({"lane", "priority", "channel", "placeholder_type"})
#: Values that an error names before it points to the list.
_NAMED: Final = 30
_SECONDS: Final = 10.0
#: Codes of CLDR that are no language somebody reads.
_NO_LANGUAGE: Final = frozenset({"mul", "root", "und", "zxx"})
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a list. ``id`` is None for the service's own and for what is kept elsewhere: at ``place``."""

    type: str
    value: str
    label: str
    description: str = ""
    position: int = 100
    active: bool = True
    id: UUID | None = None
    source: str = "system"
    place: str = ""


@dataclass(frozen=True, slots=True)
class _Kept:
    place: str
    values: Callable[[], list[Value]]


_kept: dict[str, _Kept] = {}
#: Active values and their labels, by type.
ByType = Mapping[str, Mapping[str, str]]
_remembered: Final[Remembered[ByType]] = Remembered("lookups", _SECONDS)


def kept_elsewhere(type_: str, *, place: str, values: Callable[[], list[Value]]) -> None:
    """Take a tenant's own values of a type from another room, whose API is at ``place``.

    ``values`` is called in the tenant's scope.
    """
    _kept[type_] = _Kept(place, values)


def shown(row: Lookup) -> Value:
    """Return a value of the tenant's own."""
    return Value(row.type, row.value, row.label, row.description, row.position, row.active, row.id, source="tenant")


@lru_cache(maxsize=1)
def system_types() -> Mapping[str, str]:
    """Return what each type of the service's own is."""
    return {name: said["description"] for name, said in _file().items()}


def values(type_: str | None = None, *, hidden: bool = False) -> list[Value]:
    """Return the values of a type, or of all: the tenant's own over the system's. Needs the tenant's scope.

    ``hidden`` ones too: those that are not active, and rows of a closed type whose value is gone, so that they can be
    deleted.
    """
    found = {(each.type, each.value): each for each in _system()}
    for row in Lookup.objects.all():
        is_one = _is_open(row.type) or (row.type, row.value) in found
        found[row.type, row.value] = shown(row) if is_one else replace(shown(row), active=False)
    for name, kept in _kept.items():
        if type_ in (None, name):
            found |= {(name, each.value): each for each in kept.values()}
    chosen = [each for each in found.values() if (type_ in (None, each.type)) and (each.active or hidden)]
    return sorted(chosen, key=lambda each: (each.type, each.position, each.value))


def types() -> list[dict[str, Any]]:
    """Return every type with the number of its values. Needs the tenant's scope."""
    counts: dict[str, int] = {}
    for each in values():
        counts[each.type] = counts.get(each.type, 0) + 1
    known = system_types()
    return [
        {"type": name, "description": known.get(name, ""), "source": "system" if name in known else "tenant",
         "count": counts.get(name, 0)}
        for name in sorted(counts.keys() | known.keys())
    ]  # fmt: skip


def check(type_: str, value: str, *, field: str = "") -> None:
    """Raise ``InvalidInput`` naming the field unless a value is one of its type. Needs the tenant's scope."""
    if value not in known(type_):
        _refuse(type_, value, field or type_)


def check_locale(tag: str, *, field: str = "locale") -> None:
    """Raise ``InvalidInput`` naming the field unless a locale, or what it falls back to, is known.

    ``pt-AO`` is, where ``pt`` is. Needs the tenant's scope.
    """
    if not is_known_locale(tag, known("locale")):
        _refuse("locale", tag, field)


def is_known_locale(tag: str, among: Collection[str]) -> bool:
    """Whether a locale, in any spelling, or what it falls back to is among some."""
    return tag in among or any(each in among for each in fallbacks(tag))


def known(type_: str) -> Mapping[str, str]:
    """Return the active values of a type and their labels, in their order. Needs the tenant's scope."""
    if type_ in _kept:
        return {each.value: each.label for each in values(type_)}
    return _remembered.get(current_tenant_id(), _read).get(type_, {})


def is_known(tenant_id: UUID, type_: str, value: Any) -> bool:
    """Whether a value was active a moment ago, without asking anybody: for doors that must not wait."""
    found = _remembered.peek(tenant_id)
    return found is not None and isinstance(value, str) and value in found.get(type_, {})


def changed(tenant_id: UUID) -> None:
    """Say that a tenant's values change in this transaction."""
    _remembered.change(tenant_id)


def _read() -> ByType:
    by_type: dict[str, dict[str, str]] = {}
    for each in values():
        by_type.setdefault(each.type, {})[each.value] = each.label
    return by_type


def _refuse(type_: str, value: str, field: str) -> NoReturn:
    offered = list(known(type_))
    place = _kept[type_].place if type_ in _kept else "/api/v1/admin/lookups"
    more = f" and {len(offered) - _NAMED} more at {place}?type={type_}" if len(offered) > _NAMED else ""
    hint = "" if type_ in CLOSED else f" More can be added at {place}."
    message = f"Unknown {type_} {value[:64]!r}; known: {', '.join(offered[:_NAMED])}{more}.{hint}"
    raise InvalidInput.at(field, message)


def get(lookup_id: UUID) -> Lookup:
    """Return one of the tenant's own. Raises ``NotFound``."""
    found = Lookup.objects.filter(id=lookup_id).first()
    if found is None:
        raise NotFound
    return found


def create(caller: Caller, *, type: str, value: str, **fields: Any) -> Lookup:
    """Add a value, or replace what the system says of one. Raises ``InvalidInput``, ``Conflict``.

    Of a type that is closed or kept elsewhere, only what the system says of a value can be replaced.
    """
    for name, text in (("type", type), ("value", value)):
        if not _NAME.fullmatch(text):
            message = "Use letters, digits, '.', '_' and '-'."
            raise InvalidInput.at(name, message)
    if type == "locale":
        value = _as_locale(value)
    if not _is_open(type) and (type, value) not in {(each.type, each.value) for each in _system()}:
        if type in CLOSED:
            _refuse(type, value, "value")
        message = f"Your own values of the type {type!r} are kept at {_kept[type].place}: add it there."
        raise InvalidInput.at("type", message, code="kept_elsewhere")
    try:
        with transaction.atomic():
            made = Lookup.objects.create(tenant_id=current_tenant_id(), type=type, value=value, **fields)
    except IntegrityError:
        message = f"There is a value {value!r} of the type {type!r} already."
        raise Conflict(message, code="lookup_taken", errors={"value": [message]}) from None
    audit.record(caller, "lookup.created", "lookup", made.id, type=type, value=value)
    changed(current_tenant_id())
    return made


def update(caller: Caller, lookup_id: UUID, changes: Mapping[str, Any]) -> Lookup:
    """Change a value of the tenant's own: label, description, position, active. Raises ``NotFound``."""
    row = get(lookup_id)
    before = {name: getattr(row, name) for name in changes}
    for name, value in changes.items():
        setattr(row, name, value)
    row.save()
    audit.record(caller, "lookup.updated", "lookup", row.id, before=before, after=changes)
    changed(current_tenant_id())
    return row


def delete(caller: Caller, lookup_id: UUID) -> None:
    """Delete a value of the tenant's own; what the system says of it counts again. Raises ``NotFound``."""
    row = get(lookup_id)
    audit.record(caller, "lookup.deleted", "lookup", row.id, type=row.type, value=row.value)
    row.delete()
    changed(current_tenant_id())


def _is_open(type_: str) -> bool:
    return type_ not in _kept and type_ not in CLOSED


def _as_locale(tag: str) -> str:
    try:
        return normal_locale(tag)
    except ValueError as error:
        raise InvalidInput.at("value", str(error)) from None


@lru_cache(maxsize=1)
def _file() -> Mapping[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _system() -> tuple[Value, ...]:
    stored = [
        Value(type_, value, label, position=position)
        for type_, said in _file().items()
        for position, (value, label) in enumerate(said["values"].items(), start=1)
    ]
    offered = {each.value for each in stored if each.type == "locale"}
    return (*stored, *(each for each in _languages() if each.value not in offered))


def _languages() -> Iterator[Value]:
    """Yield every language that CLDR has a name for: they come after those that are offered first."""
    for code, label in sorted(Locale("en").languages.items()):
        if code not in _NO_LANGUAGE and code.isalpha():
            yield Value("locale", code, label, position=1_000)
