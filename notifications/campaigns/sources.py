"""Where recipients come from, read a page at a time: people by a filter, or those of an earlier campaign.

What is given in the request itself is staged at once (``services.py``); everything else by turns, each of which commits
its rows together with how far it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

import orjson
from django.db import connection
from django.utils import timezone

from notification_service.lib.errors import InvalidInput
from notifications.campaigns.models import Campaign
from notifications.campaigns.moves import save
from notifications.campaigns.staging import CHUNK, Candidate, check, stage
from notifications.campaigns.states import Segment, Staging
from notifications.recipients.people import addresses_of, find_people

#: (source, position, campaign) → candidates, and the position after them (None: these were the last).
Reader = Callable[[Mapping[str, Any], Any, Campaign], tuple[list[Candidate], Any]]


def stage_some(campaign: Campaign) -> None:
    """Stage the next page of a locked campaign's source. Needs the tenant's scope."""
    candidates, position = _READERS[campaign.source["type"]](campaign.source, campaign.staged_up_to, campaign)
    stage(campaign, check(campaign, candidates))
    save(
        campaign,
        staged_up_to=position,
        staging=Staging.DONE if position is None else Staging.RUNNING,
    )


def check_source(source: Mapping[str, Any], channel: str) -> None:
    """Raise ``InvalidInput`` naming the field for a source that can not be read. Needs the tenant's scope."""
    if source["type"] == "campaign":
        earlier = Campaign.objects.filter(id=source["campaign"], deleted_at=None).first()
        if earlier is None:
            _refuse("segment.campaign", "There is no such campaign.")
        elif earlier.channel != channel:
            _refuse("segment.campaign", f"That campaign is on {earlier.channel}, not on {channel}.")
    elif source["type"] == "filter":
        find_people(**_filter(source), limit=1)


# What a segment asks of the earlier campaign's row (r) and of its record (n).
_CONDITIONS: Final[Mapping[str, str]] = {
    Segment.ALL: "true",
    Segment.SENT: "n.status = 'success'",
    Segment.DELIVERED: "r.delivered_at IS NOT NULL",
    Segment.OPENED: "r.opened_at IS NOT NULL",
    Segment.NOT_OPENED: "n.status = 'success' AND r.opened_at IS NULL AND r.bounced_at IS NULL",
    Segment.CLICKED: "r.clicked_at IS NOT NULL",
    Segment.NOT_CLICKED: "n.status = 'success' AND r.clicked_at IS NULL AND r.bounced_at IS NULL",
    Segment.FAILED: "n.status = 'failed'",
    Segment.BOUNCED: "r.bounced_at IS NOT NULL",
}
_SEGMENT: Final = """
SELECT r.id, r.address, r.context, r.user_id, r.locale, r.timezone, r.number FROM campaign_recipient AS r
LEFT JOIN notification_record AS n ON n.id = r.record_id
WHERE r.campaign_id = %s AND r.id > %s AND (r.state <> 'rejected' OR r.reason = '') AND {condition}
ORDER BY r.id LIMIT %s
"""
_FIRST: Final = str(UUID(int=0))


def _read_segment(source: Mapping[str, Any], position: Any, campaign: Campaign) -> tuple[list[Candidate], Any]:
    statement = _SEGMENT.format(condition=_CONDITIONS[source["segment"]])
    with connection.cursor() as cursor:
        cursor.execute(statement, [source["campaign"], position or _FIRST, CHUNK])
        rows = cursor.fetchall()
    candidates = [Candidate(row[6], row[1], orjson.loads(row[2]), row[3], row[4], row[5]) for row in rows]
    return candidates, str(rows[-1][0]) if len(rows) == CHUNK else None


def _read_people(source: Mapping[str, Any], position: Any, campaign: Campaign) -> tuple[list[Candidate], Any]:
    after = UUID(position["after"]) if position else None
    number = position["number"] if position else 0
    people = find_people(**_filter(source), after=after, limit=CHUNK)
    addresses = addresses_of(people, campaign.channel)
    candidates = []
    for place, person in enumerate(people, start=number + 1):
        about = {"name": person.name, "user": person.context}
        # Who has no address on this channel is listed with that reason.
        for address in addresses[person.id] or [""]:
            refused = "" if address else "no_address"
            candidates.append(
                Candidate(place, address, about, person.user_id, person.locale, person.time_zone, refused)
            )
    if len(people) < CHUNK:
        return candidates, None
    return candidates, {"after": str(people[-1].id), "number": number + len(people)}


def _filter(source: Mapping[str, Any]) -> dict[str, Any]:
    return {name: source[name] for name in ("user_ids", "roles", "emails", "where") if name in source}


_READERS: Final[Mapping[str, Reader]] = {"campaign": _read_segment, "filter": _read_people}


def is_read_by_turns(source: Mapping[str, Any]) -> bool:
    """Whether recipients of this source are staged in the background."""
    return source.get("type") in _READERS


def begin(campaign: Campaign) -> None:
    """Have a new campaign's source read, if it is one of those."""
    if is_read_by_turns(campaign.source):
        campaign.staging, campaign.next_turn_at = Staging.RUNNING, timezone.now()


def _refuse(field: str, message: str) -> None:
    raise InvalidInput(f"{field}: {message}", errors={field: [message]})
