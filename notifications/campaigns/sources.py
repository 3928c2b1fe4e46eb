"""Where recipients come from, read a page at a time: rows of a file, people by a filter, those of an earlier campaign.

What is given in the request itself is staged at once (``services.py``); everything else by turns, each of which commits
its rows together with how far it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson
from django.db import connection
from django.utils import timezone

from notification_service.lib.errors import InvalidInput
from notifications.batches.models import Job, JobStatus, Phase
from notifications.batches.staging import START, staged_rows
from notifications.campaigns.models import Campaign
from notifications.campaigns.moves import save
from notifications.campaigns.staging import CHUNK, Candidate, check, stage
from notifications.campaigns.states import Segment, Staging
from notifications.recipients.people import addresses_of, check_where, find_people


@dataclass(frozen=True, slots=True)
class Page:
    """Some candidates, and the position after them (None: these were the last). ``wait``: more will come later."""

    candidates: Sequence[Candidate]
    position: Any
    wait: bool = False


#: (source, position, channel) → the page after the position.
Reader = Callable[[Mapping[str, Any], Any, str], Page]


def stage_some(campaign: Campaign) -> bool:
    """Stage the next page of a locked campaign's source; return whether it makes us wait. Needs the tenant's scope.

    Raises ``ServiceError`` for a source that has come to nothing.
    """
    page = _READERS[campaign.source["type"]](campaign.source, campaign.staged_up_to, campaign.channel)
    stage(campaign, check(campaign, page.candidates))
    save(
        campaign,
        staged_up_to=page.position,
        staging=Staging.DONE if page.position is None else Staging.RUNNING,
    )
    return page.wait


def check_source(source: Mapping[str, Any], channel: str) -> None:
    """Raise ``InvalidInput`` naming the field for a source that can not be read. Needs the tenant's scope."""
    if source["type"] == "campaign":
        earlier = Campaign.objects.filter(id=source["campaign"], deleted_at=None).first()
        if earlier is None:
            _refuse("segment.campaign", "There is no such campaign.")
        elif earlier.channel != channel:
            _refuse("segment.campaign", f"That campaign is on {earlier.channel}, not on {channel}.")
    elif source["type"] == "csv_job":
        job = Job.objects.filter(id=source["csv_job"]).first()
        if job is None:
            _refuse("csv_job", "There is no such job.")
        elif job.channel != channel:
            _refuse("csv_job", f"That file is for {job.channel}, not for {channel}.")
        elif problem := _lost(job):
            _refuse("csv_job", problem)
    elif source["type"] == "filter":
        check_where(source.get("where", {}), "recipient_filter.where")


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
#: How a filter names people (``find_people``).
_NAMES: Final = ("user_ids", "external_user_ids", "roles", "emails", "where")
_FIRST: Final = str(UUID(int=0))


def _read_segment(source: Mapping[str, Any], position: Any, channel: str) -> Page:
    statement = _SEGMENT.format(condition=_CONDITIONS[source["segment"]])
    with connection.cursor() as cursor:
        cursor.execute(statement, [source["campaign"], position or _FIRST, CHUNK])
        rows = cursor.fetchall()
    candidates = [Candidate(row[6], row[1], orjson.loads(row[2]), row[3], row[4], row[5]) for row in rows]
    return Page(candidates, str(rows[-1][0]) if len(rows) == CHUNK else None)


def _read_job(source: Mapping[str, Any], position: Any, channel: str) -> Page:
    """Read what a job has staged; it may still be at it."""
    job = Job.objects.filter(id=source["csv_job"]).first()
    problem = "The job whose rows it was for is gone." if job is None else _lost(job)
    if job is None or problem:
        raise InvalidInput(problem, errors={"csv_job": [problem]})
    rows = staged_rows(job.id, UUID(position) if position else START, CHUNK)
    candidates = [Candidate(row.row_number, row.address, row.context, row.user_id, row.locale) for row in rows]
    last = str(rows[-1].id) if rows else position or str(START)
    if len(rows) == CHUNK:
        return Page(candidates, last)
    if job.phase in (Phase.CONVERT, Phase.STAGE):
        return Page(candidates, last, wait=True)
    return Page(candidates, None)


def _lost(job: Job) -> str:
    """Return why a job's rows can not be used (any more), or nothing."""
    if job.purged_at is not None:
        return "The rows of that file have been deleted by now."
    if job.status in (JobStatus.FAILED, JobStatus.CANCELLED):
        return f"That job is {job.status}."
    return ""


def _read_people(source: Mapping[str, Any], position: Any, channel: str) -> Page:
    after = UUID(position["after"]) if position else None
    number = position["number"] if position else 0
    people = find_people(**_filter(source), after=after, limit=CHUNK)
    addresses = addresses_of(people, channel)
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
        return Page(candidates, None)
    return Page(candidates, {"after": str(people[-1].id), "number": number + len(people)})


def _filter(source: Mapping[str, Any]) -> dict[str, Any]:
    return {name: source[name] for name in _NAMES if name in source}


_READERS: Final[Mapping[str, Reader]] = {
    "campaign": _read_segment,
    "csv_job": _read_job,
    "filter": _read_people,
}


def is_read_by_turns(source: Mapping[str, Any]) -> bool:
    """Whether recipients of this source are staged in the background."""
    return source.get("type") in _READERS


def begin(campaign: Campaign) -> None:
    """Have a new campaign's source read, if it is one of those."""
    if is_read_by_turns(campaign.source):
        campaign.staging, campaign.next_turn_at = Staging.RUNNING, timezone.now()


def _refuse(field: str, message: str) -> None:
    raise InvalidInput.at(field, message)
