"""The people whom a call names, and their addresses: looked up for all recipients together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from notification_service.lib.errors import InvalidInput, Unavailable
from notifications.recipients.people import Person, addresses_of, barred_among, find_people, people_by_user_id
from notifications.recipients.user_service import OPEN_SECONDS, ask_about

#: Under which names a recipient of a call may name somebody; the first two mean one person, a role means several.
NAMES: Final = ("user_id", "external_user_id", "role")
#: People of one role that a call may reach; one more is enough to refuse it.
_MOST: Final = 1001


@dataclass(frozen=True, slots=True)
class Roster:
    """``people`` by each id that was named, ``roles`` by name; ``barred`` are ids of people who may not be written to.

    Of ``unanswered`` ids the tenant's own service said nothing. ``addresses`` are by channel and ``Person.id``.
    """

    people: Mapping[str, Person] = field(default_factory=dict)
    roles: Mapping[str, Sequence[Person]] = field(default_factory=dict)
    barred: frozenset[str] = frozenset()
    unanswered: frozenset[str] = frozenset()
    addresses: Mapping[str, Mapping[UUID, Sequence[str]]] = field(default_factory=dict)

    def named(self, recipient: Mapping[str, Any]) -> list[Person]:
        """Return the people whom a recipient names: several for a role, none for an id that nobody has heard of."""
        if role := recipient.get("role"):
            return list(self.roles.get(role, ()))
        person = self.people.get(id_in(recipient))
        if person and not recipient.get("user_id") and person.user_id != recipient.get("external_user_id"):
            return []  # our id is nobody's external id
        return [person] if person else []

    def of(self, person: Person, channel: str) -> Sequence[str]:
        """Return a person's addresses on one of the channels."""
        return self.addresses[channel].get(person.id, ())


def id_in(recipient: Mapping[str, Any]) -> str:
    """Return the id by which a recipient names one person, or an empty text."""
    return str(recipient.get("user_id") or recipient.get("external_user_id") or "")


def roster_of(recipients: Iterable[Any], channels: Iterable[str]) -> Roster:
    """Look up everybody whom recipients (objects; others name nobody) name. Needs the tenant's scope.

    A few queries whatever their number, none if they name nobody. The tenant's own service is asked about ids that are
    unknown.
    """
    naming = [each for each in recipients if isinstance(each, Mapping) and any(each.get(name) for name in NAMES)]
    ids = {id_in(each) for each in naming} - {""}
    roles = {str(each["role"]) for each in naming if each.get("role")}
    if not ids and not roles:
        return Roster()
    people = people_by_user_id(ids)
    unknown = ids - people.keys()
    barred = barred_among(unknown)
    asked = ask_about(unknown - barred)
    people |= asked.people
    members = {role: find_people(roles=[role], limit=_MOST) for role in sorted(roles)}
    everybody = {person.id: person for group in (people.values(), *members.values()) for person in group}
    found = {channel: addresses_of(list(everybody.values()), channel) for channel in channels}
    return Roster(people, members, frozenset(barred), asked.unanswered, found)


def address_person(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of one record that names a person by ``user_id``, with what is known of them filled in.

    The recipient, if it is missing, is their address on the channel: of several devices the one registered last. The
    context has them as ``user``. Needs the tenant's scope. Raises ``InvalidInput`` for the field ``user_id``, and
    ``Unavailable`` if the tenant's own service does not say who that is.
    """
    if not data.get("user_id"):
        return dict(data)
    channel, user_id = data["channel"], data["user_id"]
    roster = roster_of([data], [channel])
    if user_id in roster.barred:
        raise _refusal(f"{user_id!r} may not be written to: not active.")
    person = roster.people.get(user_id) or unknown_person(user_id)
    addresses = [data["recipient"]] if data.get("recipient") else addresses_of([person], channel)[person.id]
    if not addresses and user_id in roster.unanswered:
        raise Unavailable(unanswered(user_id), retry_after=OPEN_SECONDS)
    if not addresses:
        known = "has no address" if user_id in roster.people else "is unknown, so there is no address"
        raise _refusal(f"{user_id!r} {known} on channel {channel!r}.")
    context = dict(data.get("context") or {})
    if user_id in roster.people:
        context.setdefault("user", person.context)
    locale = data.get("locale") or person.locale
    return {**data, "user_id": person.user_id, "recipient": addresses[-1], "context": context, "locale": locale}


def unknown_person(user_id: str) -> Person:
    """Return somebody of whom only the id is known: they may have devices, and an in-app inbox."""
    return Person(id=UUID(int=0), user_id=user_id)


def unanswered(user_id: str) -> str:
    """Return what to say of somebody about whom the tenant's own service said nothing."""
    return f"Your user service did not say who {user_id!r} is."


def _refusal(message: str) -> InvalidInput:
    return InvalidInput.at("user_id", message)
