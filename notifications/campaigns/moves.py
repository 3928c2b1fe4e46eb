"""The one function that moves a campaign from status to status, and what it does to its messages."""

from __future__ import annotations

from functools import partial
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import transaction
from django.utils import timezone

from notification_service.lib.errors import Conflict, NotFound
from notification_service.lib.scope import tenant_scope
from notifications.campaigns import progress, tallies
from notifications.campaigns.models import Campaign
from notifications.campaigns.progress import progress_of
from notifications.campaigns.states import FINAL, TRANSITIONS, CampaignStatus
from notifications.campaigns.wake import wake_after_commit
from notifications.campaigns.words import category_of_campaign
from notifications.records import holding

log = structlog.get_logger(__name__)

_STOPPING: Final = frozenset({CampaignStatus.CANCELLED, CampaignStatus.FAILED})


def locked(campaign_id: UUID, *, skip_locked: bool = False) -> Campaign | None:
    """Return a campaign under a lock that keeps others from moving it; None if there is none (or it is locked)."""
    rows = Campaign.objects.select_for_update(no_key=True, skip_locked=skip_locked)
    return rows.filter(id=campaign_id).first()


def get_locked(campaign_id: UUID) -> Campaign:
    """Return one of the tenant's campaigns under a lock. Raises ``NotFound``."""
    campaign = locked(campaign_id)
    if campaign is None or campaign.deleted_at:
        raise NotFound
    return campaign


def move(campaign: Campaign, target: CampaignStatus, *, problem: str = "") -> None:
    """Move a locked campaign, and with it, in the same transaction, what waits of its messages.

    Paused, they are held back; resumed, let go; cancelled with it. Raises ``Conflict`` if it may not move there.
    """
    if target not in TRANSITIONS[CampaignStatus(campaign.status)]:
        raise wrong_status(campaign, f"A campaign that is {campaign.status} can not become {target}.")
    now = timezone.now()
    changes: dict[str, Any] = {"status": target, "problem": problem[:500], "next_turn_at": now, "failed_turns": 0}
    if target == CampaignStatus.PAUSED:
        holding.hold(holding.campaign(campaign.id))
        changes["paused_at"] = now
    elif target == CampaignStatus.SENDING:
        if campaign.paused_at is not None:
            held, which = now - campaign.paused_at, holding.campaign(campaign.id)
            while holding.release(which, held_for=held, wait=True).count == holding.LIMIT:
                continue
        if campaign.launched_at is None:  # for good, whatever becomes of the template's
            changes["category"] = category_of_campaign(campaign)
        changes |= {"paused_at": None, "launched_at": campaign.launched_at or now, "rate": 0.0, "rate_at": None}
        # Nothing is made up for: what the throttle did not let through is let through from now on.
        changes |= {"allowance": 0.0, "allowance_at": None}
    elif target in _STOPPING:
        holding.cancel(holding.campaign(campaign.id), actor=f"campaign {target}")
    if target in FINAL:
        changes["finished_at"] = now
    save(campaign, **changes)
    wake_after_commit(campaign.tenant_id, campaign.id)
    tell_after_commit(campaign)
    log.info("campaign_moved", campaign_id=str(campaign.id), status=str(target), problem=problem)


def wrong_status(campaign: Campaign, message: str) -> Conflict:
    """Return the refusal of what a campaign's status does not allow."""
    return Conflict(message, code="wrong_status", errors={"status": [f"Is {campaign.status}."]})


def save(campaign: Campaign, **changes: Any) -> None:
    """Set and write some fields of a locked campaign."""
    for name, value in changes.items():
        setattr(campaign, name, value)
    campaign.updated_at = timezone.now()
    campaign.save(update_fields=[*changes, "updated_at"])


def tell_after_commit(campaign: Campaign) -> None:
    """Tell everybody who asked how far a campaign is, once this transaction has committed."""
    if progress.callbacks():
        transaction.on_commit(partial(_tell, campaign), robust=True)


def _tell(campaign: Campaign) -> None:
    with tenant_scope(campaign.tenant_id):
        now = progress_of(campaign, tallies.totals(campaign.id))
    for callback in progress.callbacks():
        try:
            callback(now)
        except Exception:  # it may raise what it likes: the campaign goes on
            log.exception("progress_callback_failed", campaign_id=str(campaign.id))
