"""Whom an event is about, and where people can be reached."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from notifications.events.happening import Happening
from notifications.recipients import people as recipients
from notifications.recipients.services import PUSH, devices_of
from notifications.recipients.user_service import ask_about

#: Objects of a payload that describe the person, looked at before the payload itself.
_OBJECTS: Final = ("recipient", "employee_details", "user", "customer", "candidate")
#: Under which names an address on a channel is given.
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "email": ("email",),
    "sms": ("phone", "phone_number"),
    "whatsapp": ("whatsapp", "phone", "phone_number"),
    "push": ("push_token", "device_token", "token"),
}
_IDS: Final = ("user_id", "userId")
_CALLED: Final = ("name", "full_name", "first_name")
_WORDS_FOR_PEOPLE: Final = frozenset({*_IDS, *_CALLED, *(name for names in _FIELDS.values() for name in names)})
_WORDS: Final = (str, int)
_CHANNELS: Final = (*_FIELDS, "inapp")


@dataclass(slots=True)
class Person:
    """Somebody who is to be told. ``addresses`` are by channel; ``about`` is what words may say of them as ``user``.

    ``unanswered``: the tenant's own service may know more of them, but did not answer.
    """

    user_id: str
    name: str
    addresses: Mapping[str, Sequence[str]]
    locale: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    unanswered: bool = False


def people_of(events: Collection[Happening]) -> list[Person]:
    """Return the person of each event: what the payload says, and what is known of them. Needs the tenant's scope.

    A few queries for all, none if no event names anybody by id. Somebody who may not be written to has no addresses.
    The tenant's own service is asked about ids that are unknown here and come without an address.
    """
    given = [given_person(event) for event in events]
    ids = {person.user_id for person in given if person.user_id}
    if not ids:
        return given
    known = recipients.people_by_user_id(ids)
    barred = recipients.barred_among(ids - known.keys())
    bare = {person.user_id for person in given if person.addresses.keys() == {"inapp"}}
    asked = ask_about(bare - known.keys() - barred)
    known |= asked.people
    stored = {person.user_id: person for person in reachable(known.values())}
    devices = devices_of(ids - known.keys())
    found = []
    for person in given:
        if person.user_id in barred:
            found.append(replace(person, addresses={}))
        elif person.user_id in known:
            found.append(_joined(person, stored[known[person.user_id].user_id]))
        else:
            tokens = [device.token for device in devices.get(person.user_id, ())]
            addresses = {PUSH: tokens, **person.addresses} if tokens else person.addresses
            found.append(replace(person, addresses=addresses, unanswered=person.user_id in asked.unanswered))
    return found


def reachable(people: Iterable[recipients.Person]) -> list[Person]:
    """Return people with all their addresses; one query, for devices. Needs the tenant's scope."""
    unique = list({person.id: person for person in people}.values())
    if not unique:
        return []
    by_channel = {channel: recipients.addresses_of(unique, channel) for channel in _CHANNELS}
    return [
        Person(
            person.user_id,
            person.name,
            {channel: found[person.id] for channel, found in by_channel.items() if found[person.id]},
            person.locale,
            person.context,
        )
        for person in unique
    ]


def given_person(event: Happening) -> Person:
    """Return the person of an event as far as its payload tells."""
    payload: Mapping[str, Any] = event.payload
    objects = [payload[name] for name in _OBJECTS if name in payload and isinstance(payload[name], dict)]
    places = [*objects, payload]
    # Most people are described in two or three of these words: the others need not be looked for one by one.
    said = _WORDS_FOR_PEOPLE.intersection(*places) if not objects else _WORDS_FOR_PEOPLE
    # The payload's own ``id`` is that of the matter, not of a person.
    user_id = event.user_id or (_first(places, _IDS) if said else "") or (_first(objects, ("id",)) if objects else "")
    addresses = {
        channel: (found,)
        for channel, names in _FIELDS.items()
        if not said.isdisjoint(names) and (found := _first(places, names))
    }
    if user_id:
        addresses["inapp"] = (user_id,)
    return Person(user_id, _first(places, _CALLED) if said else "", addresses)


def _joined(given: Person, stored: Person) -> Person:
    """What the event says counts; what it does not say is what we know."""
    addresses = {**stored.addresses, **given.addresses, "inapp": stored.addresses.get("inapp", ())}
    return Person(stored.user_id, given.name or stored.name, addresses, stored.locale, stored.about)


def _first(places: Collection[Mapping[str, Any]], names: Collection[str]) -> str:
    for place in places:
        for name in names:
            if name in place and (value := place[name]) not in (None, ""):
                if type(value) is str:
                    return value
                if isinstance(value, _WORDS) and not isinstance(value, bool):
                    return str(value)
    return ""
