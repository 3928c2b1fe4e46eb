"""Celery entry points: pending events, the outbox, and what is past its time."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from celery import shared_task
from confluent_kafka import KafkaException
from django.conf import settings
from django.utils import timezone

from notification_service.lib.scope import platform_scope
from notifications.events import outbox, patience, secrets
from notifications.events.kafka import configured
from notifications.events.models import UNDECIDED, DeadLetter, Event
from notifications.events.processing import TURN, process_turn, tenants_with_pending
from notifications.events.rules import schedule, steps
from notifications.events.wake import take, wake

log = structlog.get_logger(__name__)

#: After this long a tenant's token goes back to the queue's tail, behind the others'.
_PATIENCE: Final = 2.0
_FORGET_AT_ONCE: Final = 10_000


@shared_task(name="notifications.events.tasks.process")
def process(tenant_id: str, text: str = "") -> None:
    """Process a tenant's pending events and take the steps that are due, in turns."""
    tenant, until = UUID(tenant_id), time.monotonic() + _PATIENCE
    token = take(tenant, text)
    if token is None:
        return
    schedule.run_due(tenant)
    while process_turn(tenant) >= TURN or steps.take_steps(tenant) > 0:
        if time.monotonic() > until:
            wake(tenant, token)
            return


@shared_task(name="notifications.events.tasks.sweep", expires=settings.SWEEP_SECONDS * 3)
def sweep() -> None:
    """Find pending events and due steps without a token, whom to ask about again, and secrets that are spent."""
    schedule.follow_zones()
    with platform_scope("ask user services again"):
        patience.ask_again()
    for tenant_id in {*tenants_with_pending(), *steps.tenants_with_due(), *schedule.tenants_with_due()}:
        wake(tenant_id)
    with platform_scope("forget spent secrets"):
        secrets.forget_spent()


@shared_task(name="notifications.events.tasks.publish", expires=settings.SWEEP_SECONDS)
def publish() -> None:
    """Send what the outbox holds."""
    if not configured():
        return
    until = time.monotonic() + 10
    try:
        while outbox.publish() and time.monotonic() < until:
            pass
    except KafkaException as error:
        log.warning("outbox_not_published", error=str(error.args[0]))


@shared_task(name="notifications.events.tasks.housekeep")
def housekeep() -> None:
    """Forget events and dead letters that are past ``EVENT_RETENTION_DAYS`` (0 keeps them)."""
    with platform_scope("forget what rules are done with"):
        steps.forget_old(settings.EVENT_RETENTION_DAYS)
    if not settings.EVENT_RETENTION_DAYS:
        return
    end = timezone.now() - timedelta(days=settings.EVENT_RETENTION_DAYS)
    with platform_scope("forget old events"):
        old = Event.objects.filter(received_at__lt=end).exclude(status__in=UNDECIDED).order_by("id")
        Event.objects.filter(id__in=list(old.values_list("id", flat=True)[:_FORGET_AT_ONCE])).delete()
        buried = DeadLetter.objects.filter(created_at__lt=end).order_by("id")
        DeadLetter.objects.filter(id__in=list(buried.values_list("id", flat=True)[:_FORGET_AT_ONCE])).delete()
