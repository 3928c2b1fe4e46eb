"""What people want: which kinds of message on which channels, when not to be disturbed, and how that is decided.

A switch is found by category and channel; ``*`` stands for every other one, and the closer word counts. Required
categories and the critical lane pass everything: who wants no newsletters still asks for a password code.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from django.db import connection

from notification_service.lib.errors import Conflict, InvalidInput, NotFound
from notification_service.lib.scope import current_tenant_id
from notifications.channels.registry import channels
from notifications.recipients import hooks
from notifications.recipients.digest_times import MARGIN, next_digest
from notifications.recipients.models import Category, Digest, Preference, Recipient
from notifications.recipients.people import by_user_id
from notifications.recipients.quiet_hours import QuietHours
from notifications.recipients.user_fields import check_time_zone
from tenants import audit
from tenants.callers import Caller
from tenants.models import Tenant

ANY: Final = "*"
MAX_CATEGORIES: Final = 200
#: How every reason begins that is somebody's choice.
CHOSEN: Final = "preference:"
QUIET: Final = f"{CHOSEN}quiet_hours"
DIGEST: Final = f"{CHOSEN}digest:"
#: As late as can be: a message with no deadline of its own that a digest would miss.
ANY_TIME: Final = datetime.max.replace(tzinfo=UTC)
_CRITICAL: Final = "critical"


class Planned(NamedTuple):
    """A message to be: ``user_id`` is the tenant's word, ``due_at`` (aware) when it would go out.

    It may be gathered into a digest that goes out before ``gather_before`` (aware); None: into none.
    """

    user_id: str
    channel: str
    due_at: datetime
    category: str = ""
    lane: str = "normal"
    gather_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Withhold:
    """It must not go out; ``reason`` is ``preference:<category>:<channel>``, the switch that says so."""

    reason: str


@dataclass(frozen=True, slots=True)
class Defer:
    """It must wait (until a moment in UTC) for the end of quiet hours, or for a ``digest`` (``hourly``, ``daily``)."""

    until: datetime
    digest: str = ""

    @property
    def due_at(self) -> datetime:
        """When it goes out by itself: what waits for a digest, only if nobody has gathered it."""
        return self.until + MARGIN if self.digest else self.until

    @property
    def reason(self) -> str:
        """Why it waits: ``preference:quiet_hours`` or ``preference:digest:<digest>``."""
        return f"{DIGEST}{self.digest}" if self.digest else QUIET


class _Wishes(NamedTuple):
    switches: Mapping[str, Mapping[str, bool]]
    quiet: QuietHours | None
    digest: str = Digest.INSTANT
    zone: str = ""


class _Kind(NamedTuple):
    required: bool
    default_on: bool


_NO_WISHES: Final = _Wishes({}, None)
_ORDINARY: Final = _Kind(False, True)

_FIND: Final = """
SELECT false, user_id, switches, quiet_start, quiet_end, time_zone, digest, false, false
FROM preference WHERE tenant_id = %(tenant)s AND user_id = ANY (%(users)s)
UNION ALL
SELECT true, key, NULL, NULL, NULL, '', '', required, default_on FROM category WHERE tenant_id = %(tenant)s
"""


def decide(planned: Sequence[Planned]) -> list[Withhold | Defer | None]:
    """Say of each message what its recipient's preferences make of it; one query for all. Needs the tenant's scope.

    A message without a user id, or of somebody who has chosen nothing, has only its category's default against it.
    People with a digest who have not said in which time zone they are cost two queries more.
    """
    if not planned:
        return []
    wishes: dict[str, _Wishes] = {}
    kinds: dict[str, _Kind] = {}
    with connection.cursor() as cursor:
        users = sorted({each.user_id for each in planned if each.user_id})
        cursor.execute(_FIND, {"tenant": current_tenant_id(), "users": users})
        for is_category, key, switches, start, end, zone, digest, required, default_on in cursor.fetchall():
            if is_category:
                kinds[key] = _Kind(required, default_on)
            else:
                wishes[key] = _Wishes(orjson.loads(switches), quiet_hours(start, end, zone), digest, zone)
    somewhere = [user_id for user_id, each in wishes.items() if each.digest != Digest.INSTANT and not each.zone]
    for user_id, zone in _zones_of(somewhere).items():
        wishes[user_id] = wishes[user_id]._replace(zone=zone)
    return [
        _decision(each, wishes.get(each.user_id, _NO_WISHES), kinds.get(each.category, _ORDINARY)) for each in planned
    ]


def _decision(planned: Planned, wishes: _Wishes, kind: _Kind) -> Withhold | Defer | None:
    if not planned.user_id or kind.required or planned.lane == _CRITICAL:
        return None
    switch, on = switch_of(wishes.switches, planned.category, planned.channel, kind.default_on)
    if not on:
        return Withhold(f"preference:{switch}")
    return _digest(planned, wishes) or _quiet(planned.due_at, wishes.quiet)


def _quiet(moment: datetime, quiet: QuietHours | None) -> Defer | None:
    until = quiet.end_after(moment) if quiet else None
    return Defer(until) if until else None


def _digest(planned: Planned, wishes: _Wishes) -> Defer | None:
    if wishes.digest == Digest.INSTANT or planned.channel != "email" or planned.gather_before is None:
        return None
    until = next_digest(wishes.digest, planned.due_at, ZoneInfo(wishes.zone))
    if wishes.quiet:
        until = wishes.quiet.end_after(until) or until
    found = Defer(until, str(wishes.digest))
    return found if found.due_at < planned.gather_before else None


def switch_of(
    switches: Mapping[str, Mapping[str, bool]], category: str, channel: str, default_on: bool
) -> tuple[str, bool]:
    """Return the switch (``<category>:<channel>``) that counts for a message, and whether it is on.

    A category that is off by default is off until it is chosen by name.
    """
    category = category or ANY
    for name in dict.fromkeys((category, ANY) if default_on else (category,)):
        chosen = switches.get(name, {})
        for where in (channel, ANY):
            if where in chosen:
                return f"{name}:{where}", chosen[where]
    return f"{category}:{channel}", default_on


def quiet_hours(start: time | None, end: time | None, zone: str) -> QuietHours | None:
    """Return stored quiet hours, or None if there are none."""
    return QuietHours(start, end, ZoneInfo(zone or "UTC")) if start is not None and end is not None else None


# --- A person's choice --------------------------------------------------------------------------------------------


def get_preferences(user_id: str) -> Preference:
    """Return what a person has chosen; a new, unsaved row of defaults if nothing. Needs the tenant's scope."""
    found = Preference.objects.filter(user_id=user_id).first()
    return found or Preference(tenant_id=current_tenant_id(), user_id=user_id)


def set_preferences(
    caller: Caller,
    user_id: str,
    *,
    categories: Mapping[str, Mapping[str, bool]] | None = None,
    quiet_hours: Mapping[str, Any] | None = None,
    digest: str = Digest.INSTANT,
) -> Preference:
    """Store everything that a person chooses, in place of what was. ``user_id`` is the tenant's word for them.

    ``quiet_hours`` is ``{start, end, time_zone?}`` with wall times; the zone is the person's, else the tenant's, if it
    is not given. Raises ``InvalidInput`` naming the field, also for a required category that would be off.
    """
    before = get_preferences(user_id).digest
    switches = {name: dict(chosen) for name, chosen in (categories or {}).items() if chosen}
    _check_switches(switches)
    values: dict[str, Any] = {"switches": switches, "digest": digest, **_quiet_values(user_id, quiet_hours)}
    row, _ = Preference.objects.update_or_create(
        tenant_id=caller.required_tenant_id(), user_id=user_id, defaults=values
    )
    audit.record(caller, "preferences.updated", "preference", row.id)
    if before != Digest.INSTANT:
        hooks.chosen_anew(user_id)
    return row


def _check_switches(switches: Mapping[str, Mapping[str, bool]]) -> None:
    required = set(Category.objects.filter(required=True).values_list("key", flat=True))
    errors: dict[str, list[str]] = {}
    if len(switches) > MAX_CATEGORIES:
        errors["categories"] = [f"Has {len(switches)} categories; at most {MAX_CATEGORIES} are allowed."]
    for name, chosen in switches.items():
        if not 1 <= len(name) <= 64 or not name.isprintable():
            errors["categories"] = ["The key of a category has 1 to 64 characters."]
        for channel, on in chosen.items():
            if channel != ANY and channel not in channels:
                known = ", ".join((*channels.keys(), ANY))
                errors[f"categories.{name}.{channel}"] = [f"Unknown channel {channel!r}; known: {known}."]
            elif not on and name in required:
                errors[f"categories.{name}.{channel}"] = [f"{name!r} is required and can not be switched off."]
    if errors:
        field, messages = next(iter(errors.items()))
        raise InvalidInput(f"{field}: {messages[0]}", errors=errors)


def _quiet_values(user_id: str, quiet: Mapping[str, Any] | None) -> dict[str, Any]:
    if quiet is None:
        return {"quiet_start": None, "quiet_end": None, "time_zone": ""}
    start, end, zone = quiet["start"], quiet["end"], quiet.get("time_zone") or _zones_of([user_id])[user_id]
    if start == end:
        message = "Must differ from the start; to get nothing, switch the channels off."
        raise InvalidInput.at("quiet_hours.end", message)
    try:
        check_time_zone(zone)
    except ValueError as error:
        raise InvalidInput(str(error), errors={"quiet_hours.time_zone": [str(error)]}) from None
    return {"quiet_start": start, "quiet_end": end, "time_zone": zone}


def _zones_of(user_ids: Collection[str]) -> dict[str, str]:
    """Return the time zone of each person: their own, else the tenant's."""
    if not user_ids:
        return {}
    people = Recipient.objects.filter(by_user_id(user_ids), deleted_at=None).exclude(time_zone="")
    own: dict[str, str] = {}
    for external_id, row_id, zone in people.values_list("external_user_id", "id", "time_zone"):
        own |= {str(row_id): zone, external_id: zone}
    common = Tenant.objects.values_list("timezone", flat=True).get(id=current_tenant_id())
    return {user_id: own.get(user_id) or common or "UTC" for user_id in user_ids}


def describe_preferences(row: Preference) -> dict[str, Any]:
    """Return what a person has chosen, and from what, as the API shows it."""
    quiet = row.quiet_start is not None and row.quiet_end is not None
    known = channels.keys()
    return {
        "user_id": row.user_id,
        "categories": row.switches,
        "quiet_hours": {
            "start": f"{row.quiet_start:%H:%M}",
            "end": f"{row.quiet_end:%H:%M}",
            "time_zone": row.time_zone,
        }
        if quiet
        else None,
        "digest": str(row.digest),
        "available": [
            {
                "key": each.key,
                "name": each.name,
                "description": each.description,
                "required": each.required,
                "default_on": each.default_on,
                "channels": {
                    channel: each.required or switch_of(row.switches, each.key, channel, each.default_on)[1]
                    for channel in known
                },
            }
            for each in Category.objects.order_by("key")
        ],
        "updated_at": None if row._state.adding else row.updated_at,
    }


# --- The tenant's categories --------------------------------------------------------------------------------------


def create_category(caller: Caller, **fields: Any) -> Category:
    """Store a kind of message. Needs the tenant's scope. Raises ``Conflict`` for a key that is taken."""
    if Category.objects.count() >= MAX_CATEGORIES:
        raise Conflict(f"There are {MAX_CATEGORIES} categories already.", code="too_many")
    category = Category(tenant_id=caller.required_tenant_id(), **fields)
    _save_category(category, force_insert=True)
    audit.record(caller, "category.created", "category", category.id, before={}, after=fields)
    return category


def update_category(caller: Caller, category_id: UUID, changes: Mapping[str, Any]) -> Category:
    """Change a kind of message. Raises ``NotFound``, ``Conflict``."""
    category = get_category(category_id)
    before = {name: getattr(category, name) for name in changes}
    for name, value in changes.items():
        setattr(category, name, value)
    _save_category(category)
    audit.record(caller, "category.updated", "category", category.id, before=before, after=changes)
    return category


def delete_category(caller: Caller, category_id: UUID) -> None:
    """Forget a kind of message; what people have chosen of it stays. Raises ``NotFound``."""
    category = get_category(category_id)
    audit.record(caller, "category.deleted", "category", category.id, key=category.key)
    category.delete()


def get_category(category_id: UUID) -> Category:
    """Return a category. Needs the tenant's scope. Raises ``NotFound``."""
    category = Category.objects.filter(id=category_id).first()
    if category is None:
        raise NotFound
    return category


def _save_category(category: Category, *, force_insert: bool = False) -> None:
    if Category.objects.filter(key=category.key).exclude(id=category.id).exists():
        raise Conflict("key: There is a category of this key.", code="duplicate", errors={"key": ["Is taken."]})
    category.save(force_insert=force_insert)
