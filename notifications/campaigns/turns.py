"""Turns: how a campaign gets on, a short transaction at a time, whoever takes it and however often it is interrupted.

Each step locks the campaign (who finds it locked goes away), does a bounded piece of work, and says when the next one
is due (``next_turn_at``). Nothing is kept in memory between two steps.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from notification_service.lib.errors import ServiceError, TooManyRequests
from notification_service.lib.scope import tenant_scope
from notification_service.lib.tokens import UNNAMED, Taken
from notifications.campaigns import sources, tallies
from notifications.campaigns.fanout import CHUNK, cancel_staged, due_backlog, record_some
from notifications.campaigns.models import Campaign, CampaignRecipient, CampaignTally
from notifications.campaigns.moves import locked, move, save, tell_after_commit
from notifications.campaigns.progress import measure, progress_of
from notifications.campaigns.proof import prove
from notifications.campaigns.staging import look_ahead
from notifications.campaigns.states import CampaignStatus, Staging
from notifications.campaigns.timing import openings
from notifications.campaigns.wake import running
from notifications.campaigns.winner import choose_winner
from notifications.campaigns.words import sample_limit
from notifications.records import holding
from notifications.webhooks.services import publish

log = structlog.get_logger(__name__)

#: A turn gives its place to the next after this long, in seconds.
TURN: Final = 2.0
#: While messages are on their way a campaign is looked at this often: as long as they move, and when they do not.
_SOON, _LATER = timedelta(seconds=1), timedelta(seconds=5)
#: How often what does not end is looked for in the records themselves.
_PROVE_EVERY = timedelta(seconds=60)
#: How long the throttle saves up what was not used.
_THROTTLE_BURST_SECONDS: Final = 5.0
#: A campaign fails after so many turns in a row that raised; the last of them came minutes apart.
_MOST_FAILURES: Final = 12
_PURGE: Final = 10_000


def run_turn(tenant_id: UUID, campaign_id: UUID, token: Taken = UNNAMED) -> float | None:
    """Give a campaign a turn; return in how many seconds it wants the next one, or None if it wants none now."""
    ends = time.monotonic() + TURN
    while True:
        running(campaign_id, token)
        try:
            due = _step(tenant_id, campaign_id)
        except (OperationalError, InterfaceError):
            raise  # the database: the tick tries again when it is back
        except Exception as error:  # whatever it is, it must not stop at one campaign unseen
            log.exception("campaign_turn_failed", campaign_id=str(campaign_id))
            due = _failed(tenant_id, campaign_id, error)
        if due is None:
            return None
        wait = (due - timezone.now()).total_seconds()
        if wait > 0 or time.monotonic() > ends:
            return max(wait, 0.0)


def _step(tenant_id: UUID, campaign_id: UUID) -> datetime | None:
    with tenant_scope(tenant_id):
        campaign = locked(campaign_id, skip_locked=True)
        if campaign is None or campaign.next_turn_at is None:
            return None
        if campaign.next_turn_at > timezone.now():
            return campaign.next_turn_at
        due = _work(campaign)
        if campaign.pk is None:
            return None
        save(
            campaign,
            next_turn_at=due,
            failed_turns=0,
            reached=campaign.reached,
            allowance=campaign.allowance,
            allowance_at=campaign.allowance_at,
            rate=campaign.rate,
            rate_at=campaign.rate_at,
            rate_ended=campaign.rate_ended,
            proved_at=campaign.proved_at,
            problem=campaign.problem,
        )
        tallies.fold(campaign.id)
        tell_after_commit(campaign)
        return due


def _failed(tenant_id: UUID, campaign_id: UUID, error: Exception) -> datetime | None:
    words = error.message if isinstance(error, ServiceError) else type(error).__name__
    with tenant_scope(tenant_id):
        campaign = locked(campaign_id)
        if campaign is None:
            return None
        failures = campaign.failed_turns + 1
        is_running = campaign.status in (CampaignStatus.SENDING, CampaignStatus.SCHEDULED)
        if is_running and (failures >= _MOST_FAILURES or isinstance(error, ServiceError)):
            move(campaign, CampaignStatus.FAILED, problem=words)
            return campaign.next_turn_at
        if campaign.status == CampaignStatus.DRAFT and isinstance(error, ServiceError):
            save(campaign, staging=Staging.DONE, problem=words[:500], next_turn_at=None)
            return None
        due = timezone.now() + timedelta(seconds=min(2.0**failures, 60.0))
        save(
            campaign, failed_turns=min(failures, 1000), problem=f"The last turn failed: {words}"[:500], next_turn_at=due
        )
        return due


def _work(campaign: Campaign) -> datetime | None:
    """Do one piece of work; return when the next is due."""
    now = timezone.now()
    if campaign.deleted_at:
        return _purge(campaign)
    if campaign.status in (CampaignStatus.CANCELLED, CampaignStatus.FAILED):
        return _stop(campaign)
    if campaign.status == CampaignStatus.COMPLETED:
        return None
    if campaign.staging == Staging.RUNNING:
        return now + _SOON if sources.stage_some(campaign) else now
    if campaign.status == CampaignStatus.SCHEDULED:
        if not campaign.began:
            return campaign.scheduled_at
        move(campaign, CampaignStatus.SENDING)
        return now
    if campaign.status == CampaignStatus.PAUSED:
        return now if holding.hold(holding.campaign(campaign.id)).count == holding.LIMIT else now + _LATER
    if campaign.status == CampaignStatus.SENDING:
        return _send(campaign)
    return None


def _send(campaign: Campaign) -> datetime | None:
    now, below = timezone.now(), sample_limit(campaign)
    zones = look_ahead(campaign)
    if not zones:
        return _settle(campaign)
    ready = [zone for zone, bucket in zones.items() if bucket < below]
    if not ready:  # the sample is on its way; the rest waits for what it says
        return choose_winner(campaign) or _keep_up(campaign)
    opening = openings(
        ready,
        default_zone=campaign.timezone,
        local_start=campaign.local_start,
        window=campaign.window,
        now=now,
    )
    if not opening.zones:
        _keep_up(campaign)
        return min(opening.next_at or now + _LATER, now + timedelta(minutes=10))
    room = settings.CAMPAIGN_LEAD - due_backlog(settings.CAMPAIGN_LEAD)
    if room <= 0:
        _keep_up(campaign)
        return now + _SOON / 2
    limit = _throttled(campaign, min(CHUNK, room), now)
    if limit < 1:
        _keep_up(campaign)
        return now + timedelta(seconds=max(60.0 / (campaign.throttle_per_minute or 60), 0.5))
    try:
        done = record_some(campaign, opening.zones, limit)
    except TooManyRequests as refusal:
        if refusal.error_code == "quota_exceeded":
            move(campaign, CampaignStatus.PAUSED, problem=refusal.message)
            return now
        return now + timedelta(seconds=refusal.retry_after or 1.0)
    campaign.allowance -= done
    campaign.problem = ""
    _keep_up(campaign)
    return now


def _throttled(campaign: Campaign, wanted: int, now: datetime) -> int:
    """Return how many of these the campaign's throttle lets through (a token bucket kept in its row)."""
    if not campaign.throttle_per_minute:
        return wanted
    per_second = campaign.throttle_per_minute / 60
    most = max(per_second * _THROTTLE_BURST_SECONDS, 1.0)
    waited = (now - campaign.allowance_at).total_seconds() if campaign.allowance_at else 1.0 / per_second
    campaign.allowance = min(campaign.allowance + waited * per_second, most)
    campaign.allowance_at = now
    return min(wanted, int(campaign.allowance))


def _keep_up(campaign: Campaign) -> datetime:
    """Measure how quick it goes; return when to look again."""
    moved = measure(campaign, tallies.totals(campaign.id))
    return timezone.now() + (_SOON if moved else _LATER)


def _settle(campaign: Campaign) -> datetime | None:
    """All rows are dealt with: wait for the last message, then prove that nothing is missing."""
    counted, now = tallies.totals(campaign.id), timezone.now()
    moved = measure(campaign, counted)
    overdue = campaign.proved_at is None or campaign.proved_at + _PROVE_EVERY < now
    if counted.waiting <= 0 or (overdue and not moved):
        campaign.proved_at = now
        if prove(campaign):
            move(campaign, CampaignStatus.COMPLETED)
            publish("campaign.completed", _summary(campaign), key=str(campaign.id), unique=str(campaign.id))
            return now
        campaign.reached = None  # whatever is left is looked for from the start
    return now + (_SOON if moved else _LATER)


def _summary(campaign: Campaign) -> dict[str, Any]:
    now = progress_of(campaign)
    return {
        "campaignId": campaign.id,
        "name": campaign.name,
        "channel": campaign.channel,
        "recipients": now.total,
        "sent": now.sent,
        "failed": now.failed,
        "suppressed": now.suppressed + now.withheld,
        "completedAt": campaign.finished_at,
    }


def _stop(campaign: Campaign) -> datetime | None:
    """End what is left of a campaign that was cancelled or has failed; return None once nothing is."""
    now = timezone.now()
    if cancel_staged(campaign, _PURGE):
        return now
    if holding.cancel(holding.campaign(campaign.id), actor="campaign").count:
        return now
    return None if prove(campaign) else now + _LATER


def _purge(campaign: Campaign) -> datetime | None:
    """Forget the recipients of a deleted campaign, then the campaign; its messages stay records."""
    some = CampaignRecipient.objects.filter(campaign_id=campaign.id).values_list("id", flat=True)[:_PURGE]
    if CampaignRecipient.objects.filter(id__in=list(some)).delete()[0]:
        return timezone.now()
    CampaignTally.objects.filter(campaign_id=campaign.id).delete()
    campaign.delete()
    return None
