"""Verbs of webhooks: endpoints, their secrets, deliveries, replay, and ``publish`` for the rooms beside and above."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from notification_service.lib.encryption import key_ring
from notification_service.lib.errors import Conflict, InvalidInput, NotFound
from notification_service.lib.ids import id_floor, new_id
from notification_service.lib.masking import mask
from notification_service.lib.net import NetworkPolicy, check_url
from notification_service.lib.scope import current_tenant_id
from notifications.webhooks import health, publishing
from notifications.webhooks.event_types import EVENT_TYPES, TEST_TYPE
from notifications.webhooks.models import (
    DeliveryStatus,
    DisabledReason,
    WebhookDelivery,
    WebhookEndpoint,
)
from notifications.webhooks.publishing import News, delivery_of, event_id_of, publish_news
from notifications.webhooks.signing import Scheme, check_secret, new_secret, public_key, scheme_of
from notifications.webhooks.wake import wake_after_commit
from tenants import audit
from tenants.callers import Caller

MAX_ENDPOINTS: Final = 200
#: Deliveries that one call can replay.
MAX_REPLAY: Final = 10_000
MAX_OVERLAP_HOURS: Final = 7 * 24
#: What a replay by time takes unless it is told otherwise.
LOST: Final = (DeliveryStatus.FAILED, DeliveryStatus.CANCELLED)
_FINAL: Final = (DeliveryStatus.DELIVERED, *LOST)
_HEADER: Final = re.compile(r"X-[A-Za-z0-9-]{1,60}")
_CHANGEABLE: Final = ("url", "description", "event_types", "ordered", "ordered_by", "legacy_header", "enabled")


@dataclass(frozen=True, slots=True)
class Made:
    """An endpoint, and its secret where it is shown: this once, and never a private key."""

    endpoint: WebhookEndpoint
    secret: str | None = field(default=None, repr=False)


def publish(
    event_type: str, data: Mapping[str, Any], *, key: str = "", unique: str = "", at: datetime | None = None
) -> int:
    """Tell the tenant's endpoints of something, in the current transaction; return how many are told.

    ``data`` is JSON; ``key`` is what the event is kept in order by; with ``unique`` the same thing is told once,
    however often this is called. Needs the tenant's scope. Raises ``ValueError`` for an unknown type.
    """
    if event_type not in EVENT_TYPES:
        raise ValueError(f"unknown webhook event type {event_type!r}")
    event_id = event_id_of(current_tenant_id(), event_type, unique) if unique else new_id()
    return publish_news([News(event_type, data, key or event_type, event_id, at or timezone.now())])


# --- Endpoints ----------------------------------------------------------------------------------------------------


def list_endpoints() -> QuerySet[WebhookEndpoint]:
    """Return the tenant's endpoints, the newest first."""
    return WebhookEndpoint.objects.order_by("-id")


def get_endpoint(endpoint_id: UUID) -> WebhookEndpoint:
    """Return an endpoint. Raises ``NotFound``."""
    found = WebhookEndpoint.objects.filter(id=endpoint_id).first()
    if found is None:
        raise NotFound
    return found


def create_endpoint(
    caller: Caller, *, url: str, scheme: Scheme = "v1", secret: str = "", is_default: bool = False, **fields: Any
) -> Made:
    """Make an endpoint; ``fields`` are those that can be changed. Raises ``InvalidInput`` by field, ``Conflict``.

    Without a ``secret`` of the tenant's own (``whsec_…``, for ``v1``) it gets a new one.
    """
    if WebhookEndpoint.objects.count() >= MAX_ENDPOINTS:
        raise Conflict(f"There are {MAX_ENDPOINTS} endpoints already.", code="too_many_endpoints")
    tenant_id = caller.required_tenant_id()
    endpoint = WebhookEndpoint(id=new_id(), tenant_id=tenant_id, is_default=is_default)
    _apply(endpoint, {"url": url, **fields})
    chosen = _own_secret(secret, scheme) if secret else new_secret(scheme)
    endpoint.secret_encrypted = _encrypt(endpoint, chosen)
    endpoint.save()
    publishing.endpoints_changed(endpoint.tenant_id)
    audit.record(caller, "webhook_endpoint.created", "webhook_endpoint", endpoint.id, **_facts(endpoint))
    return Made(endpoint, _shown(chosen))


def change_endpoint(caller: Caller, endpoint_id: UUID, **changes: Any) -> WebhookEndpoint:
    """Change an endpoint. Raises ``NotFound``, and ``InvalidInput`` naming the field.

    Enabling it gives it a clean slate; disabling it cancels what waits for it.
    """
    endpoint = _locked(endpoint_id)
    before, was_enabled = _facts(endpoint), endpoint.enabled
    _apply(endpoint, changes)
    if endpoint.enabled and not was_enabled:
        health.forgive(endpoint)
    elif was_enabled and not endpoint.enabled:
        endpoint.disabled_reason = DisabledReason.MANUAL
        health.cancel_waiting(endpoint)
    endpoint.save()
    publishing.endpoints_changed(endpoint.tenant_id)
    audit.record(
        caller,
        "webhook_endpoint.updated",
        "webhook_endpoint",
        endpoint.id,
        before=before,
        after=_facts(endpoint),
    )
    return endpoint


def delete_endpoint(caller: Caller, endpoint_id: UUID) -> None:
    """Forget an endpoint and its deliveries. Raises ``NotFound``."""
    endpoint = _locked(endpoint_id)
    audit.record(caller, "webhook_endpoint.deleted", "webhook_endpoint", endpoint.id, url=endpoint.url)
    WebhookDelivery.objects.filter(endpoint_id=endpoint.id).delete()
    endpoint.delete()
    publishing.endpoints_changed(endpoint.tenant_id)


def rotate_secret(caller: Caller, endpoint_id: UUID, *, secret: str = "", overlap_hours: int = 24) -> Made:
    """Give an endpoint a new secret; the old one signs too for some hours. Raises ``NotFound``, ``InvalidInput``."""
    if not 0 <= overlap_hours <= MAX_OVERLAP_HOURS:
        _refuse("overlap_hours", f"Must be between 0 and {MAX_OVERLAP_HOURS}.")
    endpoint = _locked(endpoint_id)
    scheme = scheme_of(_current_secret(endpoint))
    chosen = _own_secret(secret, scheme) if secret else new_secret(scheme)
    endpoint.previous_secret_encrypted = bytes(endpoint.secret_encrypted) if overlap_hours else None
    endpoint.previous_secret_until = timezone.now() + timedelta(hours=overlap_hours) if overlap_hours else None
    endpoint.secret_encrypted = _encrypt(endpoint, chosen)
    endpoint.save()
    audit.record(
        caller,
        "webhook_endpoint.secret_rotated",
        "webhook_endpoint",
        endpoint.id,
        overlap_hours=overlap_hours,
    )
    return Made(endpoint, _shown(chosen))


def send_test(caller: Caller, endpoint_id: UUID) -> WebhookDelivery:
    """Send an endpoint an event of the type ``webhook.test``. Raises ``NotFound``, ``Conflict`` if it is disabled."""
    endpoint = get_endpoint(endpoint_id)
    if not endpoint.enabled:
        raise Conflict("The endpoint is disabled: enable it first.", code="endpoint_disabled")
    now, event_id = timezone.now(), new_id()
    data = {"message": "This is a test.", "endpointId": endpoint.id}
    delivery = delivery_of(endpoint.tenant_id, endpoint.id, News(TEST_TYPE, data, str(event_id), event_id, now))
    delivery.save()
    wake_after_commit(endpoint.tenant_id, [endpoint.id])
    audit.record(caller, "webhook_endpoint.tested", "webhook_endpoint", endpoint.id)
    return delivery


def masked_secret(endpoint: WebhookEndpoint) -> str:
    """Return the secret as it may be shown after the first time; of a key pair, the public key."""
    secret = _current_secret(endpoint)
    return public_key(secret) or mask(secret)


def endpoint_scheme(endpoint: WebhookEndpoint) -> Scheme:
    """Return how an endpoint's deliveries are signed."""
    return scheme_of(_current_secret(endpoint))


# --- The simple door: one endpoint of the project ------------------------------------------------------------------


def get_default() -> WebhookEndpoint:
    """Return the project's webhook. Raises ``NotFound``."""
    found = WebhookEndpoint.objects.filter(is_default=True).first()
    if found is None:
        raise NotFound
    return found


def set_default(caller: Caller, *, secret: str = "", **fields: Any) -> Made:
    """Make or replace the project's webhook: what is not given is as in a new one.

    But its secret stays, unless ``secret`` replaces it, at once.
    """
    found = WebhookEndpoint.objects.filter(is_default=True).first()
    if found is None:
        return create_endpoint(caller, secret=secret, is_default=True, **fields)
    endpoint = change_endpoint(caller, found.id, **{**_facts(WebhookEndpoint()), **fields})
    return rotate_secret(caller, endpoint.id, secret=secret, overlap_hours=0) if secret else Made(endpoint)


# --- Deliveries ---------------------------------------------------------------------------------------------------


def list_deliveries() -> QuerySet[WebhookDelivery]:
    """Return what the tenant's endpoints were told, the newest first."""
    return WebhookDelivery.objects.select_related("endpoint").order_by("-id")


def get_delivery(delivery_id: UUID) -> WebhookDelivery:
    """Return a delivery. Raises ``NotFound``."""
    found = list_deliveries().filter(id=delivery_id).first()
    if found is None:
        raise NotFound
    return found


def replay(caller: Caller, delivery_id: UUID) -> WebhookDelivery:
    """Make a delivery once more, under the same ``webhook-id``. Raises ``NotFound``, ``Conflict``."""
    delivery = get_delivery(delivery_id)
    _must_be_enabled(delivery.endpoint)
    if not _again(WebhookDelivery.objects.filter(id=delivery_id, status__in=_FINAL)):
        raise Conflict("The delivery is not over yet.", code="not_finished")
    wake_after_commit(delivery.tenant_id, [delivery.endpoint_id])
    audit.record(caller, "webhook_delivery.replayed", "webhook_delivery", delivery_id)
    return get_delivery(delivery_id)


def replay_between(
    caller: Caller,
    *,
    endpoint_id: UUID,
    since: datetime,
    until: datetime | None = None,
    statuses: Collection[str] = LOST,
    event_types: Collection[str] = (),
) -> int:
    """Make an endpoint's deliveries of a time once more, the oldest first; return how many: at most ``MAX_REPLAY``.

    Raises ``NotFound``, ``InvalidInput`` naming the field, ``Conflict``.
    """
    endpoint = get_endpoint(endpoint_id)
    _must_be_enabled(endpoint)
    end = until or timezone.now()
    if since >= end:
        _refuse("since", "Must be before 'until'.")
    wanted = [status for status in statuses if status in _FINAL]
    rows = WebhookDelivery.objects.filter(
        endpoint_id=endpoint.id, status__in=wanted, id__gte=id_floor(since), id__lt=id_floor(end)
    )
    if event_types:
        rows = rows.filter(event_type__in=list(event_types))
    ids = list(rows.order_by("id").values_list("id", flat=True)[:MAX_REPLAY])
    count = _again(WebhookDelivery.objects.filter(id__in=ids, status__in=_FINAL))
    wake_after_commit(endpoint.tenant_id, [endpoint.id])
    audit.record(
        caller,
        "webhook_delivery.replayed",
        "webhook_endpoint",
        endpoint.id,
        since=since.isoformat(),
        until=end.isoformat(),
        count=count,
    )
    return count


def forget_old(before: datetime, *, at_once: int = 10_000) -> int:
    """Delete deliveries that were made before a moment; return how many. Needs ``platform_scope``."""
    old = WebhookDelivery.objects.filter(id__lt=id_floor(before), status__in=_FINAL).order_by("id")
    return WebhookDelivery.objects.filter(id__in=list(old.values_list("id", flat=True)[:at_once])).delete()[0]


def _again(rows: QuerySet[WebhookDelivery]) -> int:
    now = timezone.now()
    return rows.update(
        status=DeliveryStatus.PENDING,
        attempts=0,
        failing_since=None,
        not_before=None,
        due_at=now,
        replayed_at=now,
        error="",
    )


def _must_be_enabled(endpoint: WebhookEndpoint) -> None:
    if not endpoint.enabled:
        raise Conflict("The endpoint is disabled: enable it first.", code="endpoint_disabled")


# --- What an endpoint may look like --------------------------------------------------------------------------------


def _apply(endpoint: WebhookEndpoint, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        assert name in _CHANGEABLE, name  # noqa: S101 - views pass nothing else
        setattr(endpoint, name, value)
    if "url" in changes:
        _check_url(endpoint.url)
    unknown = sorted(set(endpoint.event_types) - EVENT_TYPES.keys())
    if unknown:
        _refuse("event_types", f"Unknown: {', '.join(unknown)}. Known: {', '.join(EVENT_TYPES)}.")
    if endpoint.legacy_header and not _HEADER.fullmatch(endpoint.legacy_header):
        _refuse("legacy_header", "Must be the name of a header that begins with 'X-'.")


def _check_url(url: str) -> None:
    policy = NetworkPolicy.parse(settings.OUTBOUND_ALLOWED_NETWORKS)
    try:
        check_url(url, policy, example="https://example.com/webhooks")
    except ValueError as error:
        _refuse("url", str(error))


def _refuse(field: str, message: str) -> None:
    raise InvalidInput.at(field, message)


def _own_secret(secret: str, scheme: Scheme) -> str:
    if scheme != "v1":
        _refuse("secret", "Can be chosen for the scheme v1 only.")
    try:
        return check_secret(secret)
    except ValueError:
        message = "Must be 'whsec_' and 24 to 64 bytes in base64."
        raise InvalidInput.at("secret", message) from None


def _encrypt(endpoint: WebhookEndpoint, secret: str) -> bytes:
    return key_ring().encrypt(secret.encode(), associated_data=endpoint.associated_data)


def _current_secret(endpoint: WebhookEndpoint) -> str:
    return key_ring().decrypt(bytes(endpoint.secret_encrypted), associated_data=endpoint.associated_data).decode()


def _shown(secret: str) -> str:
    return public_key(secret) or secret


def _locked(endpoint_id: UUID) -> WebhookEndpoint:
    found = WebhookEndpoint.objects.select_for_update(no_key=True).filter(id=endpoint_id).first()
    if found is None:
        raise NotFound
    return found


def _facts(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return {name: getattr(endpoint, name) for name in _CHANGEABLE}
