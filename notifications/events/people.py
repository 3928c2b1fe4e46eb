"""The event's own person: who an event is about, and where they can be reached."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from notifications.events.happening import Happening
from notifications.recipients.services import PUSH, devices_of

#: Objects of a payload that describe the person, looked at before the payload itself.
_OBJECTS: Final = ("recipient", "employee_details", "user", "customer", "candidate")
#: Under which names an address on a channel is given.
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "email": ("email",),
    "sms": ("phone", "phone_number"),
    "whatsapp": ("whatsapp", "phone", "phone_number"),
    "push": ("push_token", "device_token", "token"),
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody an event is about. ``addresses`` are by channel, as they were given."""

    user_id: str
    name: str
    addresses: Mapping[str, tuple[str, ...]]


def people_of(events: Collection[Happening]) -> list[Person]:
    """Return the person of each event, their devices found in one query. Needs the tenant's scope."""
    given = [given_person(event) for event in events]
    without = {person.user_id for person in given if person.user_id and PUSH not in person.addresses}
    devices = devices_of(without) if without else {}
    return [
        Person(
            each.user_id,
            each.name,
            {**each.addresses, PUSH: tuple(device.token for device in devices[each.user_id])},
        )
        if each.user_id in devices and PUSH not in each.addresses
        else each
        for each in given
    ]


def given_person(event: Happening) -> Person:
    """Return the person of an event as far as its payload tells."""
    payload: Mapping[str, Any] = event.payload
    places = [*(payload[name] for name in _OBJECTS if isinstance(payload.get(name), Mapping)), payload]
    user_id = event.user_id or _first(places, ("user_id", "userId", "id"))
    addresses = {channel: (found,) for channel, names in _FIELDS.items() if (found := _first(places, names))}
    if user_id:
        addresses["inapp"] = (user_id,)
    return Person(user_id, _first(places, ("name", "full_name", "first_name")), addresses)


def _first(places: Collection[Mapping[str, Any]], names: Collection[str]) -> str:
    for place in places:
        for name in names:
            value = place.get(name)
            if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
                return str(value)
    return ""
