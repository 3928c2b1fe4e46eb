"""Lookups: the values that lists offer. The service's own stand in a file, a tenant adds its own or hides others.

A type whose values another room keeps (``kept_elsewhere``) is read from there; here a tenant only renames or hides what
the service offers of it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction

from notification_service.lib.errors import Conflict, InvalidInput, NotFound
from notification_service.lib.scope import current_tenant_id
from notifications.templates.models import Lookup
from tenants import audit
from tenants.callers import Caller

_FILE: Final = Path(__file__).parent / "lookups.toml"
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
    """Return the values of a type, or of all: the tenant's own over the system's. Needs the tenant's scope."""
    found = {(each.type, each.value): each for each in _system()}
    for row in Lookup.objects.all():
        if row.type not in _kept or (row.type, row.value) in found:
            found[row.type, row.value] = shown(row)
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
    """Raise ``InvalidInput`` unless a value is one of its type. Needs the tenant's scope."""
    known = [each.value for each in values(type_)]
    if value not in known:
        place = field or type_
        where = _kept[type_].place if type_ in _kept else "/api/v1/admin/lookups"
        message = f"Unknown {type_} {value[:64]!r}; known: {', '.join(known)}. More can be added at {where}."
        raise InvalidInput(f"{place}: {message}", errors={place: [message]})


def get(lookup_id: UUID) -> Lookup:
    """Return one of the tenant's own. Raises ``NotFound``."""
    found = Lookup.objects.filter(id=lookup_id).first()
    if found is None:
        raise NotFound
    return found


def create(caller: Caller, *, type: str, value: str, **fields: Any) -> Lookup:
    """Add a value, or replace what the system says of one. Raises ``InvalidInput``, ``Conflict``.

    Of a type that is kept elsewhere, only what the system says of a value can be replaced.
    """
    for name, text in (("type", type), ("value", value)):
        if not _NAME.fullmatch(text):
            message = "Use letters, digits, '.', '_' and '-'."
            raise InvalidInput(f"{name}: {message}", errors={name: [message]})
    if type in _kept and (type, value) not in {(each.type, each.value) for each in _system()}:
        message = f"Your own values of the type {type!r} are kept at {_kept[type].place}: add it there."
        raise InvalidInput(f"type: {message}", code="kept_elsewhere", errors={"type": [message]})
    try:
        with transaction.atomic():
            made = Lookup.objects.create(tenant_id=current_tenant_id(), type=type, value=value, **fields)
    except IntegrityError:
        message = f"There is a {type} {value!r} already."
        raise Conflict(message, code="lookup_taken", errors={"value": [message]}) from None
    audit.record(caller, "lookup.created", "lookup", made.id, type=type, value=value)
    return made


def update(caller: Caller, lookup_id: UUID, changes: Mapping[str, Any]) -> Lookup:
    """Change a value of the tenant's own: label, description, position, active. Raises ``NotFound``."""
    row = get(lookup_id)
    before = {name: getattr(row, name) for name in changes}
    for name, value in changes.items():
        setattr(row, name, value)
    row.save()
    audit.record(caller, "lookup.updated", "lookup", row.id, before=before, after=changes)
    return row


def delete(caller: Caller, lookup_id: UUID) -> None:
    """Delete a value of the tenant's own; what the system says of it counts again. Raises ``NotFound``."""
    row = get(lookup_id)
    audit.record(caller, "lookup.deleted", "lookup", row.id, type=row.type, value=row.value)
    row.delete()


@lru_cache(maxsize=1)
def _file() -> Mapping[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _system() -> tuple[Value, ...]:
    return tuple(
        Value(type_, value, label, position=position)
        for type_, said in _file().items()
        for position, (value, label) in enumerate(said["values"].items(), start=1)
    )
