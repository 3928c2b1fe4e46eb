"""The winner of a test: the variant whose sample opened or clicked most, once there was time to do so."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import structlog
from django.utils import timezone

from notifications.campaigns import tallies
from notifications.campaigns.models import Campaign
from notifications.campaigns.moves import save
from notifications.campaigns.tallies import Totals

log = structlog.get_logger(__name__)

_COUNTER: Final = {"opens": tallies.OPENED, "clicks": tallies.CLICKED}


def choose_winner(campaign: Campaign) -> datetime | None:
    """Choose the winner if its time has come; return when to look again: later, or now that it is known.

    The time runs from the moment at which the sample was handed over.
    """
    now = timezone.now()
    if campaign.ab_test is None:
        return None
    if campaign.winner_due_at is None:
        due = now + timedelta(minutes=campaign.ab_test["after_minutes"])
        save(campaign, winner_due_at=due)
    if campaign.winner_due_at is not None and campaign.winner_due_at > now:
        return min(campaign.winner_due_at, now + timedelta(seconds=5))
    winner = best(campaign, tallies.totals(campaign.id))
    save(campaign, winner=winner)
    log.info("campaign_winner", campaign_id=str(campaign.id), variant=winner)
    return now


def best(campaign: Campaign, counted: Totals) -> str:
    """Return the variant with the best share of opens or clicks; of equal ones the first."""
    counter = _COUNTER[(campaign.ab_test or {}).get("winner_by", "opens")]

    def share(name: str) -> float:
        return counted.of(counter, name) / max(counted.of(tallies.RECORDED, name), 1)

    names = [str(each["name"]) for each in campaign.variants]
    return max(names, key=lambda name: (share(name), -names.index(name)))
