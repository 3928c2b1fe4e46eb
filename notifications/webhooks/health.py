"""How an endpoint does: its circuit, the pauses that it asks for, and its end.

closed → (failures in a row) → paused → (time passes) → one call → closed again, or paused for twice as long. When it
answers again, all that waits for it is due at once, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models.functions import Now

from notifications.webhooks.client import Answer
from notifications.webhooks.models import DeliveryStatus, DisabledReason, WebhookDelivery, WebhookEndpoint
from notifications.webhooks.publishing import endpoints_changed
from tenants import audit
from tenants.callers import system_caller
from tenants.notices import tell_admins

#: Failures without a success in between that open a circuit, and for how long, in seconds.
FAILURES_TO_OPEN: Final = 5
_OPEN_SECONDS: Final = 15
_OPEN_AT_MOST: Final = 300
_GONE: Final = 410
#: ``last_success_at`` is this exact.
_NO_NEWS: Final = timedelta(seconds=30)
_ASKS_TO_WAIT: Final = (429, 503)
_WHY: Final = {
    DisabledReason.GONE: "It answered 410 (Gone).",
    DisabledReason.FAILING: "It has answered nothing but errors for days.",
}


def is_half_open(endpoint: WebhookEndpoint) -> bool:
    """Return whether an endpoint has to prove itself with one call."""
    return endpoint.failures >= FAILURES_TO_OPEN


def report(endpoint: WebhookEndpoint, answers: Sequence[Answer], now: datetime) -> None:
    """Take note of answers. The endpoint's row is locked; needs the tenant's scope."""
    if not answers or not endpoint.enabled:
        return
    if any(answer.status == _GONE for answer in answers):
        disable(endpoint, DisabledReason.GONE)
        return
    if all(answer.ok for answer in answers) and _is_known_to_be_well(endpoint, now):
        return
    if any(answer.ok for answer in answers):
        _recover(endpoint, now)
    else:
        _fail(endpoint, len(answers), now)
    pauses = [answer.retry_after for answer in answers if answer.status in _ASKS_TO_WAIT and answer.retry_after]
    if pauses:
        asked = now + timedelta(seconds=max(pauses))
        endpoint.paused_until = max(endpoint.paused_until or asked, asked)
    endpoint.save(
        update_fields=["failures", "opened", "paused_until", "failing_since", "last_success_at", "updated_at"]
    )
    since = endpoint.failing_since
    if since and now - since > timedelta(days=settings.WEBHOOK_DISABLE_DAYS):
        disable(endpoint, DisabledReason.FAILING)


def disable(endpoint: WebhookEndpoint, reason: DisabledReason) -> None:
    """Tell an endpoint nothing more, and its tenant's admins why; what waits for it is cancelled (replay finds it)."""
    endpoint.enabled, endpoint.disabled_reason = False, reason
    endpoint.save(update_fields=["enabled", "disabled_reason", "updated_at"])
    cancel_waiting(endpoint)
    endpoints_changed(endpoint.tenant_id)
    system = system_caller(endpoint.tenant_id, "webhooks")
    audit.record(
        system, "webhook_endpoint.disabled", "webhook_endpoint", endpoint.id, url=endpoint.url, reason=str(reason)
    )
    text = f"{endpoint.url} gets no more webhooks. {_WHY[reason]} Enable it again once it is put right, then replay."
    tell_admins(endpoint.tenant_id, "A webhook endpoint was disabled", text)


def cancel_waiting(endpoint: WebhookEndpoint) -> None:
    """End what waits for an endpoint."""
    waiting = WebhookDelivery.objects.filter(endpoint_id=endpoint.id, status=DeliveryStatus.PENDING)
    waiting.update(status=DeliveryStatus.CANCELLED, error="the endpoint was disabled")


def _is_known_to_be_well(endpoint: WebhookEndpoint, now: datetime) -> bool:
    """Return whether one more success is no news: its row is not written for each of them."""
    last = endpoint.last_success_at
    return not endpoint.failing_since and not endpoint.paused_until and bool(last and now - last < _NO_NEWS)


def _recover(endpoint: WebhookEndpoint, now: datetime) -> None:
    if is_half_open(endpoint):
        waiting = WebhookDelivery.objects.filter(endpoint_id=endpoint.id, status=DeliveryStatus.PENDING)
        waiting.filter(due_at__gt=now).update(due_at=Now())
    endpoint.failures = endpoint.opened = 0
    endpoint.paused_until = endpoint.failing_since = None
    endpoint.last_success_at = now


def _fail(endpoint: WebhookEndpoint, failures: int, now: datetime) -> None:
    endpoint.failures += failures
    endpoint.failing_since = endpoint.failing_since or now
    if is_half_open(endpoint) and (endpoint.paused_until is None or endpoint.paused_until <= now):
        seconds = min(_OPEN_SECONDS * 2 ** min(endpoint.opened, 10), _OPEN_AT_MOST)
        endpoint.opened += 1
        endpoint.paused_until = now + timedelta(seconds=seconds)
