"""How an endpoint does: its probes, its circuit, the pauses that it asks for, and its end.

An endpoint that fails is probed: after a while one call is made, with whatever is next in line, due or not. It fails:
the next one is made after twice that time, up to five minutes. It succeeds: all that waits is due at once, a few calls
at a time, then more. After some failures in a row its probes are all that it gets (the circuit is open).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Greatest, Now

from notifications.webhooks.client import Answer
from notifications.webhooks.models import DeliveryStatus, DisabledReason, WebhookDelivery, WebhookEndpoint
from notifications.webhooks.publishing import endpoints_changed
from tenants import audit
from tenants.callers import system_caller
from tenants.notices import tell_admins

#: Seconds from a failure to the first probe, from probe to probe at most, and how much longer each may be.
_PROBE_SECONDS: Final = 15
_PROBE_AT_MOST: Final = 300
_JITTER: Final = 0.2
_MOST_BACKOFF: Final = 5
#: If its probe waits for so long, longer than any ``Retry-After``, nothing was there to send: a failure before that
#: says nothing of today.
_STALE: Final = timedelta(days=2)
_GONE: Final = 410
#: ``last_success_at`` is this exact.
_NO_NEWS: Final = timedelta(seconds=30)
_ASKS_TO_WAIT: Final = (429, 503)
_STATE: Final = ("failures", "failing_since", "probe_at", "backoff", "not_before", "last_success_at")
_WHY: Final = {
    DisabledReason.GONE: "It answered 410 (Gone).",
    DisabledReason.FAILING: "It has answered nothing but errors for days.",
}


def is_probed(endpoint: WebhookEndpoint, now: datetime) -> bool:
    """Return whether it is time to find out whether an endpoint is back."""
    return endpoint.probe_at is not None and endpoint.probe_at <= now


def calls_at_once(endpoint: WebhookEndpoint, now: datetime) -> int:
    """Return how many calls an endpoint gets at the same time: none while nobody calls it, one as a probe."""
    asks_to_wait = endpoint.not_before is not None and endpoint.not_before > now
    if not endpoint.enabled or asks_to_wait:
        return 0
    if is_probed(endpoint, now):
        return 1
    return 0 if endpoint.is_open else max(1, settings.WEBHOOK_CONCURRENCY >> endpoint.backoff)


def forgive(endpoint: WebhookEndpoint) -> None:
    """Give an endpoint a clean slate; the caller saves it."""
    endpoint.disabled_reason = DisabledReason.NONE
    endpoint.failures = endpoint.backoff = 0
    endpoint.failing_since = endpoint.probe_at = endpoint.not_before = None


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
        endpoint.not_before = max(endpoint.not_before or asked, asked)
    endpoint.save(update_fields=[*_STATE, "updated_at"])
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
    return not endpoint.failing_since and not endpoint.backoff and bool(last and now - last < _NO_NEWS)


def _recover(endpoint: WebhookEndpoint, now: datetime) -> None:
    if is_probed(endpoint, now):
        waiting = WebhookDelivery.objects.filter(endpoint_id=endpoint.id, status=DeliveryStatus.PENDING)
        waiting.filter(due_at__gt=now).update(due_at=Greatest(Now(), F("not_before")))
    endpoint.failures = 0
    endpoint.backoff = max(0, endpoint.backoff - 1)
    endpoint.failing_since = endpoint.probe_at = None
    endpoint.last_success_at = now


def _fail(endpoint: WebhookEndpoint, failures: int, now: datetime) -> None:
    if endpoint.probe_at and now - endpoint.probe_at > _STALE:
        endpoint.failures, endpoint.failing_since = 0, None
    endpoint.failures += failures
    endpoint.failing_since = endpoint.failing_since or now
    if endpoint.probe_at is None or is_probed(endpoint, now):
        seconds = min(_PROBE_SECONDS * 2**endpoint.backoff, _PROBE_AT_MOST)
        later = random.uniform(1, 1 + _JITTER)  # noqa: S311 - so that what failed together does not come back together
        endpoint.probe_at = now + timedelta(seconds=seconds * later)
        endpoint.backoff = min(endpoint.backoff + 1, _MOST_BACKOFF)
