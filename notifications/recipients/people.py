"""Who is meant: people by id, role, email or what is known of them, and their addresses on a channel."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.db.models import Q

from notification_service.lib.errors import InvalidInput
from notifications.recipients.models import Recipient, RecipientStatus
from notifications.recipients.services import PUSH, devices_of

#: Statuses of people who may be written to.
RECEIVING: Final = (RecipientStatus.ACTIVE, RecipientStatus.APPROVED)
_FIELDS: Final = ("locale", "time_zone", "name", "email", "phone")
_METADATA: Final = "metadata."
#: Characters of a condition's name.
_LONGEST: Final = 255


@dataclass(frozen=True, slots=True)
class Person:
    """A person who receives. ``user_id`` is the tenant's word: the external id if there is one, else ``str(id)``.

    Texts are empty where nothing is known; ``email`` and ``phone`` are normal addresses of their channels.
    """

    id: UUID
    user_id: str
    name: str = ""
    email: str = ""
    phone: str = ""
    locale: str = ""
    time_zone: str = ""
    roles: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def context(self) -> dict[str, Any]:
        """What a message may say of them: ``{{ user.name }}``, ``{{ user.metadata.city }}``."""
        names = ("name", "email", "phone", "locale", "time_zone")
        about = {name: getattr(self, name) for name in names}
        return {"id": self.user_id, **about, "roles": list(self.roles), "metadata": dict(self.metadata)}


def find_people(
    *,
    user_ids: Collection[str] = (),
    external_user_ids: Collection[str] = (),
    roles: Collection[str] = (),
    emails: Collection[str] = (),
    where: Mapping[str, Any] | None = None,
    after: UUID | None = None,
    limit: int = 1000,
) -> list[Person]:
    """Return people who may be written to (active or approved), by ascending id. Needs the tenant's scope.

    Wanted is who is meant by *any* of ``user_ids`` (the tenant's word or our id), ``external_user_ids``, ``roles`` and
    ``emails``, and of those who fits *all* of ``where``: ``locale``, ``time_zone``, ``name``, ``email``, ``phone`` or
    ``metadata.<path>`` with a value, or a list of values of which one fits. Naming nobody finds nobody; everybody is
    ``where={}``. The next page is ``after`` the last id. Raises ``InvalidInput`` for a condition that is unknown.
    """
    named = _named(user_ids, external_user_ids, roles, emails)
    if named is None and where is None:
        return []
    wanted = Q(deleted_at=None, status__in=RECEIVING) & _conditions(where or {})
    if named is not None:
        wanted &= named
    if after is not None:
        wanted &= Q(id__gt=after)
    return [person_of(row) for row in Recipient.objects.filter(wanted).order_by("id")[:limit]]


def check_where(where: Mapping[str, Any], field: str = "where") -> None:
    """Raise ``InvalidInput`` for a condition of ``find_people`` that is unknown; ``field`` is the caller's word."""
    for name in where:
        if name not in _FIELDS and (not name.startswith(_METADATA) or name == _METADATA or len(name) > _LONGEST):
            message = f"Unknown condition {name[:64]!r}; known: {', '.join(_FIELDS)}, metadata.…"
            raise InvalidInput(message, errors={f"{field}.{name[:64]}": [message]})


def people_by_user_id(user_ids: Iterable[str]) -> dict[str, Person]:
    """Return who is meant by each id that is known and may be written to, in one query. Needs the tenant's scope.

    An id is the tenant's word or ours; where it is both, the tenant's counts.
    """
    wanted = set(user_ids)
    found: dict[str, Person] = {}
    for person in find_people(user_ids=wanted, limit=2 * len(wanted)):
        if str(person.id) in wanted:
            found.setdefault(str(person.id), person)
        if person.user_id in wanted:
            found[person.user_id] = person
    return found


def barred_among(user_ids: Collection[str]) -> set[str]:
    """Return the ids of people who are known and may not be written to, such as pending ones. Needs tenant scope."""
    if not user_ids:
        return set()
    rows = Recipient.objects.filter(by_user_id(user_ids), deleted_at=None).exclude(status__in=RECEIVING)
    return {key for row in rows for key in (row.user_id, str(row.id)) if key in user_ids}


def addresses_of(people: Sequence[Person], channel: str) -> dict[UUID, list[str]]:
    """Return everybody's addresses on a channel, by ``Person.id``; an empty list for who has none.

    Push: the tokens of their active devices, under either of their ids; in-app: the user id; SMS and WhatsApp: the
    phone; email: the email. Needs the tenant's scope; one query for push, none for the others.
    """
    if channel == PUSH:
        devices = devices_of({key for person in people for key in _keys(person)})
        return {
            person.id: [
                device.token
                for key in dict.fromkeys((person.user_id, str(person.id)))
                for device in devices.get(key, [])
            ]
            for person in people
        }
    return {person.id: [address] if (address := _address(person, channel)) else [] for person in people}


def person_of(row: Recipient) -> Person:
    """Return a row as other rooms see it."""
    return Person(
        id=row.id,
        user_id=row.user_id,
        name=row.name,
        email=row.email,
        phone=row.phone,
        locale=row.locale,
        time_zone=row.time_zone,
        roles=tuple(row.roles),
        metadata=row.metadata,
    )


def by_user_id(user_ids: Collection[str]) -> Q:
    """Return the condition that a row of ``Recipient`` is meant by one of the ids: the tenant's word or ours."""
    ids = [found for text in user_ids if (found := _uuid(text))]
    return by_external_id(user_ids) | Q(id__in=ids)


def by_external_id(external_user_ids: Collection[str]) -> Q:
    """Return the condition that a row of ``Recipient`` has one of the external ids."""
    # Saying that it is not empty, which follows from the rest, lets the planner use the (partial) index.
    return Q(external_user_id__in=list(external_user_ids)) & ~Q(external_user_id="")


def by_email(emails: Collection[str]) -> Q:
    """Return the condition that a row of ``Recipient`` has one of the emails, in any case."""
    return Q(email_key__in=[text.lower() for text in emails]) & ~Q(email="")


def _named(
    user_ids: Collection[str], external_user_ids: Collection[str], roles: Collection[str], emails: Collection[str]
) -> Q | None:
    conditions = [
        (user_ids, by_user_id(user_ids)),
        (external_user_ids, by_external_id(external_user_ids)),
        (roles, Q(roles__overlap=list(roles))),
        (emails, by_email(emails)),
    ]
    named: Q | None = None
    for given, condition in conditions:
        if given:
            named = condition if named is None else named | condition
    return named


def _conditions(where: Mapping[str, Any]) -> Q:
    check_where(where)
    conditions = Q()
    for name, value in where.items():
        values = value if isinstance(value, list | tuple) else [value]
        if name in _FIELDS:
            conditions &= Q(**{f"{name}__in": [str(each) for each in values]})
        else:
            one_of = Q(id__in=[])
            for each in values:
                one_of |= Q(metadata__contains=_nested(name.removeprefix(_METADATA).split("."), each))
            conditions &= one_of
    return conditions


def _nested(path: Sequence[str], value: Any) -> dict[str, Any]:
    return {path[0]: _nested(path[1:], value) if len(path) > 1 else value}


def _keys(person: Person) -> list[str]:
    """Return the ids under which a person may have registered devices."""
    return list(dict.fromkeys((person.user_id, str(person.id))))


def _address(person: Person, channel: str) -> str:
    match channel:
        case "email":
            return person.email
        case "sms" | "whatsapp":
            return person.phone
        case "inapp":
            return person.user_id
        case _:
            return ""


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
