"""Celery entry points of campaigns: a turn, and the tick that finds whose turn nobody takes."""

from __future__ import annotations

from uuid import UUID

import structlog
from celery import shared_task
from django.conf import settings
from django.db.models import F
from django.utils import timezone

from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.campaigns import retention, tallies
from notifications.campaigns.models import Campaign
from notifications.campaigns.turns import run_turn
from notifications.campaigns.wake import TURN_TASK, again, finished, take, wake

log = structlog.get_logger(__name__)

#: Up to so many seconds a turn waits as a message of the broker; longer waits are the tick's.
_SHORT_WAIT = 2.0
_MOST_AT_ONCE = 500


@shared_task(name=TURN_TASK)
def turn(tenant_id: str, campaign_id: str, text: str = "") -> None:
    """Give one campaign a turn, and put its token back at the queue's tail if it wants another soon."""
    tenant, campaign = UUID(tenant_id), UUID(campaign_id)
    token = take(campaign, text)
    if token is None:
        return
    try:
        wait = run_turn(tenant, campaign, token)
    except BaseException:
        finished(campaign)
        raise
    if wait is not None and wait <= _SHORT_WAIT:
        again(tenant, campaign, token, wait)
    else:
        finished(campaign)


@shared_task(name="notifications.campaigns.tasks.tick", expires=settings.SWEEP_SECONDS * 3)
def tick() -> None:
    """Wake every campaign whose turn is due, whoever has lost its token; add up long tails of counters."""
    with platform_scope("campaigns whose turn is due"):
        due = list(
            Campaign.objects.filter(next_turn_at__lte=timezone.now())
            .order_by(F("next_turn_at"))
            .values_list("tenant_id", "id")[:_MOST_AT_ONCE]
        )
        long = tallies.long_tails()
    for tenant_id, campaign_id in due:
        wake(tenant_id, campaign_id)
    for tenant_id, campaign_id in long:
        with tenant_scope(tenant_id):
            tallies.fold(campaign_id)


@shared_task(name="notifications.campaigns.tasks.housekeep")
def housekeep() -> None:
    """Delete recipients of campaigns that are past their tenant's time."""
    deleted = retention.delete_old(now=timezone.now())
    if deleted:
        log.info("campaign_housekeeping", recipients_deleted=deleted)
