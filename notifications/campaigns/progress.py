"""How far a campaign is: its counters in words, how quick it goes, and when it will be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from notifications.campaigns import tallies
from notifications.campaigns.models import Campaign
from notifications.campaigns.states import CampaignStatus
from notifications.campaigns.tallies import Totals

#: A rate is measured over at least so long, and an older one counts for so much of it.
_MEASURE_SECONDS, _INERTIA = 1.0, 0.6


@dataclass(frozen=True, slots=True)
class Progress:
    """A campaign's numbers at one moment.

    ``total`` = ``staged`` + ``handled``: recipients, each address once. Of those handled, ``recorded`` became messages
    that are ``waiting``, ``sent`` (the provider took them), ``failed``, ``suppressed`` or ``stopped`` (cancelled while
    they waited); the others were ``withheld``, ``rejected`` or ``cancelled`` before that.
    """

    campaign_id: UUID
    tenant_id: UUID
    status: str
    total: int
    staged: int
    recorded: int
    waiting: int
    sent: int
    failed: int
    suppressed: int
    stopped: int
    withheld: int
    rejected: int
    cancelled: int
    duplicates: int
    delivered: int
    opened: int
    clicked: int
    bounced: int
    complained: int
    percent: float
    #: Messages that had their end, a second.
    rate: float
    eta: datetime | None
    staging: str
    winner: str
    next_turn_at: datetime | None
    problem: str
    launched_at: datetime | None
    finished_at: datetime | None


OnProgress = Callable[[Progress], None]
_callbacks: list[OnProgress] = []


def on_progress(callback: OnProgress) -> OnProgress:
    """Call ``callback`` after each committed turn of a campaign and each change of its status, outside its transaction.

    What it raises is logged and stops nothing.
    """
    _callbacks.append(callback)
    return callback


def callbacks() -> list[OnProgress]:
    """Return who wants to hear of progress."""
    return list(_callbacks)


def progress_of(campaign: Campaign, counted: Totals | None = None) -> Progress:
    """Return a campaign's progress. Needs a scope that sees it."""
    counted = counted if counted is not None else tallies.totals(campaign.id)
    total, handled = counted.of(tallies.STAGED), counted.handled
    done = handled - counted.waiting
    return Progress(
        campaign_id=campaign.id,
        tenant_id=campaign.tenant_id,
        status=str(campaign.status),
        total=total,
        staged=total - handled,
        recorded=counted.of(tallies.RECORDED),
        waiting=counted.waiting,
        sent=counted.of(tallies.SUCCESS),
        failed=counted.of(tallies.FAILED),
        suppressed=counted.of(tallies.SUPPRESSED),
        stopped=counted.of(tallies.STOPPED),
        withheld=counted.of(tallies.WITHHELD),
        rejected=counted.of(tallies.REJECTED),
        cancelled=counted.of(tallies.CANCELLED),
        duplicates=counted.of(tallies.DUPLICATE),
        delivered=counted.of(tallies.DELIVERED),
        opened=counted.of(tallies.OPENED),
        clicked=counted.of(tallies.CLICKED),
        bounced=counted.of(tallies.BOUNCED),
        complained=counted.of(tallies.COMPLAINED),
        percent=round(100 * done / total, 2) if total else (100.0 if campaign.is_final else 0.0),
        rate=round(campaign.rate, 2),
        eta=_eta(campaign, total - done),
        staging=str(campaign.staging),
        winner=campaign.winner,
        next_turn_at=campaign.next_turn_at,
        problem=campaign.problem,
        launched_at=campaign.launched_at,
        finished_at=campaign.finished_at,
    )


def measure(campaign: Campaign, counted: Totals) -> bool:
    """Measure a campaign's rate; return whether anything has ended since it was last measured."""
    now, ended = timezone.now(), counted.ended
    moved = ended != campaign.rate_ended
    if campaign.rate_at is None:
        campaign.rate_at, campaign.rate_ended = now, ended
        return moved
    seconds = (now - campaign.rate_at).total_seconds()
    if seconds >= _MEASURE_SECONDS:
        latest = max(ended - campaign.rate_ended, 0) / seconds
        campaign.rate = _INERTIA * campaign.rate + (1 - _INERTIA) * latest if campaign.rate else latest
        campaign.rate_at, campaign.rate_ended = now, ended
    return moved


def _eta(campaign: Campaign, left: int) -> datetime | None:
    if campaign.status != CampaignStatus.SENDING or left <= 0:
        return None
    rate = campaign.rate
    if campaign.throttle_per_minute:
        rate = min(rate or campaign.throttle_per_minute / 60, campaign.throttle_per_minute / 60)
    if rate < 0.01:
        return None
    start = max(campaign.next_turn_at or timezone.now(), timezone.now())
    seconds = left / rate
    return start + timedelta(seconds=seconds) if seconds < 10 * 366 * 86_400 else None


def as_json(progress: Progress) -> dict[str, Any]:
    """Return progress as JSON values: ids and times as text."""
    return {name: _json_value(getattr(progress, name)) for name in Progress.__slots__ if name not in ("tenant_id",)}


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value) if isinstance(value, UUID) else value
