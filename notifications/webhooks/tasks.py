"""Celery entry points: the token of an endpoint, the sweeper, and what is past its time."""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from uuid import UUID

from celery import shared_task
from celery.signals import worker_process_shutdown
from django.conf import settings
from django.utils import timezone

from notification_service.lib.scope import platform_scope
from notifications.webhooks.dispatcher import close_dispatcher, dispatcher
from notifications.webhooks.queue import due_endpoints
from notifications.webhooks.quotas import tell_quotas
from notifications.webhooks.services import forget_old
from notifications.webhooks.wake import taken, wake


@shared_task(name="notifications.webhooks.tasks.dispatch")
def dispatch(tenant_id: str, endpoint_ids: list[str]) -> None:
    """Make the due deliveries of endpoints; the dispatcher goes on when the task has ended."""
    taken(endpoint_ids)
    for endpoint_id in endpoint_ids:
        dispatcher().serve(UUID(tenant_id), UUID(endpoint_id))


@shared_task(name="notifications.webhooks.tasks.sweep", expires=settings.SWEEP_SECONDS * 3)
def sweep() -> None:
    """Find what has no token: retries whose time came, pauses that are over, workers that were lost."""
    with platform_scope("sweep webhooks"):
        due = due_endpoints()
    for tenant_id, rows in groupby(sorted(due), key=itemgetter(0)):
        wake(tenant_id, [endpoint_id for _, endpoint_id in rows])


@shared_task(name="notifications.webhooks.tasks.quotas", expires=120)
def quotas() -> None:
    """Tell of quotas that run out."""
    tell_quotas()


@shared_task(name="notifications.webhooks.tasks.housekeep")
def housekeep() -> None:
    """Forget deliveries that are past ``WEBHOOK_RETENTION_DAYS`` (0 keeps them)."""
    if settings.WEBHOOK_RETENTION_DAYS:
        with platform_scope("forget old webhook deliveries"):
            forget_old(timezone.now() - timedelta(days=settings.WEBHOOK_RETENTION_DAYS))


@worker_process_shutdown.connect
def _close(**_: object) -> None:
    close_dispatcher()
