"""News of people, told to whom it concerns: rooms above subscribe in ``AppConfig.ready()``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from notifications.recipients.people import Person


@dataclass(frozen=True, slots=True)
class KnownAs:
    """Under what rooms may know a person: their ids, and their normal addresses on all channels."""

    user_ids: tuple[str, ...]
    addresses: tuple[str, ...]


#: Called in the transaction that stored new people, in their tenant's scope.
OnRegistered: TypeAlias = Callable[[Sequence[Person]], None]
#: Called in the transaction that erases a person, in their tenant's scope.
OnErased: TypeAlias = Callable[[KnownAs], object]
#: Called when a person's data is exported, in their tenant's scope; returns what the room holds of them, as JSON.
OnExport: TypeAlias = Callable[[KnownAs], dict[str, Any]]
#: Called in the transaction in which somebody with a digest has chosen anew, with their user id, in the tenant's scope.
OnChosen: TypeAlias = Callable[[str], object]

_registered: list[OnRegistered] = []
_erased: list[OnErased] = []
_export: list[OnExport] = []
_chosen: list[OnChosen] = []


def on_registered(callback: OnRegistered) -> OnRegistered:
    """Subscribe to people who are stored for the first time."""
    _registered.append(callback)
    return callback


def on_erased(callback: OnErased) -> OnErased:
    """Subscribe to erasures: delete or blank what says anything about the person, and keep the counts."""
    _erased.append(callback)
    return callback


def on_export(callback: OnExport) -> OnExport:
    """Subscribe to exports: say what is held of the person."""
    _export.append(callback)
    return callback


def on_chosen(callback: OnChosen) -> OnChosen:
    """Subscribe to preferences of people whose mail was gathered until now, and may wait for a digest."""
    _chosen.append(callback)
    return callback


def chosen_anew(user_id: str) -> None:
    """Tell that somebody whose mail was gathered has chosen anew."""
    for callback in _chosen:
        callback(user_id)


def registered(people: Sequence[Person]) -> None:
    """Tell that people are new."""
    for callback in _registered:
        callback(people)


def erased(known: KnownAs) -> None:
    """Tell that a person is being erased."""
    for callback in _erased:
        callback(known)


def export(known: KnownAs) -> dict[str, Any]:
    """Return what the rooms above hold of a person."""
    found: dict[str, Any] = {}
    for callback in _export:
        found.update(callback(known))
    return found
