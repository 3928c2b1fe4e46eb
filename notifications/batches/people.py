"""People among recipients: where they are reached, and what they have chosen. Each asked once for many."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from notifications.recipients.people import addresses_of, barred_among, people_by_user_id
from notifications.recipients.preferences import Defer, Planned, Withhold, decide
from notifications.recipients.services import PUSH, devices_of
from notifications.recipients.suppressions import category_of
from notifications.records.bulk import Row, Shared


def addresses_by_user(user_ids: Collection[str], channel: str) -> dict[str, list[str]]:
    """Return the addresses of people on a channel; who is unknown, barred or has none is not in it.

    Devices belong to their user id even if nobody has registered the person. Needs the tenant's scope.
    """
    if not user_ids:
        return {}
    people = people_by_user_id(user_ids)
    addresses = addresses_of(list(people.values()), channel)
    found = {user_id: addresses[person.id] for user_id, person in people.items() if addresses[person.id]}
    if channel == PUSH:
        strangers = set(user_ids) - people.keys()
        for user_id, devices in devices_of(strangers - barred_among(strangers)).items():
            found[user_id] = [device.token for device in devices]
    return found


def heed_preferences(shared: Shared, rows: Sequence[Row]) -> list[Row]:
    """Return rows with what their people have chosen: withheld with a reason, or due after their quiet hours.

    Needs the tenant's scope.
    """
    of_people = [index for index, row in enumerate(rows) if row.user_id]
    planned = [
        Planned(
            row.user_id,
            shared.channel,
            row.due_at or shared.due_at,
            category_of(shared.metadata if row.metadata is None else row.metadata),
            str(shared.lane),
        )
        for row in (rows[index] for index in of_people)
    ]
    heeded = list(rows)
    for index, decision in zip(of_people, decide(planned), strict=True):
        match decision:
            case Withhold(reason):
                heeded[index] = replace(rows[index], withheld=reason)
            case Defer(until):
                heeded[index] = replace(rows[index], due_at=until)
    return heeded
