"""Where a tenant wants to hear of what happens, and each thing that it is told."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import models

from tenants.isolation import TenantModel

MAX_URL = 2048
#: Longest part of an answer that is kept, in bytes.
MAX_RESPONSE = 20_000
#: Failures without a success in between after which an endpoint gets its probes and nothing else.
FAILURES_TO_OPEN: Final = 5


class DisabledReason(models.TextChoices):
    """Why an endpoint is told nothing: 410 (Gone), days of failure, or the tenant's own wish."""

    NONE = "", "Not disabled"
    GONE = "gone", "Gone"
    FAILING = "failing", "Failing"
    MANUAL = "manual", "Manual"


class OrderedBy(models.TextChoices):
    """What stays in order at an ordered endpoint: events about the same thing, or all of its events."""

    KEY = "key", "Key"
    ENDPOINT = "endpoint", "Endpoint"


class WebhookEndpoint(TenantModel):
    """An address of a tenant's that is told of events, signed with its secret (Standard Webhooks).

    The secret is ``whsec_…`` (HMAC-SHA256, ``v1``) or ``whsk_…`` (ed25519, ``v1a``), encrypted and bound to the row.
    After a rotation the previous one signs too, until ``previous_secret_until``.
    """

    url = models.CharField(max_length=MAX_URL)
    description = models.CharField(max_length=255, blank=True, default="")
    # Empty: everything.
    event_types = models.JSONField(default=list, blank=True)
    # Events of the same key (or all) arrive one after the other, in their order; a failing one holds up those after it.
    ordered = models.BooleanField(default=False)
    ordered_by = models.CharField(max_length=16, choices=OrderedBy, default=OrderedBy.KEY)
    # A further header with ``sha256=`` and the HMAC of the body, for older receivers; empty: none.
    legacy_header = models.CharField(max_length=64, blank=True, default="")
    # The one of ``/api/v1/projects/me/webhook``.
    is_default = models.BooleanField(default=False)
    secret_encrypted = models.BinaryField()
    previous_secret_encrypted = models.BinaryField(null=True)
    previous_secret_until = models.DateTimeField(null=True)

    enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=16, choices=DisabledReason, blank=True, default=DisabledReason.NONE)
    # How it goes: failures in a row, and since when; when the next probe is made (null: it does not fail).
    failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True)
    probe_at = models.DateTimeField(null=True)
    # Each step doubles the time to the next probe and halves how many calls it gets at once.
    backoff = models.PositiveSmallIntegerField(default=0)
    # It asked (Retry-After) to be left alone until then.
    not_before = models.DateTimeField(null=True)
    last_success_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(TenantModel.Meta):
        db_table = "webhook_endpoint"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"], condition=models.Q(is_default=True), name="webhook_endpoint_one_default"
            )
        ]

    def __str__(self) -> str:
        return self.url

    @property
    def is_open(self) -> bool:
        """Whether it has failed so often that it gets its probes and nothing else."""
        return self.failures >= FAILURES_TO_OPEN

    @property
    def paused_until(self) -> datetime | None:
        """Until when nobody calls it: it asked for that, or its circuit is open."""
        moments = [self.not_before, self.probe_at if self.is_open else None]
        return max((moment for moment in moments if moment), default=None)

    @property
    def associated_data(self) -> bytes:
        """What binds the ciphertext to this row of this tenant."""
        return b"webhook_endpoint:" + self.tenant_id.bytes + self.id.bytes


class DeliveryStatus(models.TextChoices):
    """``cancelled``: the endpoint was disabled before its turn came. What is final can be replayed."""

    PENDING = "pending", "Pending"
    SENDING = "sending", "Sending"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


#: Statuses of deliveries that are still to be made.
UNFINISHED = [DeliveryStatus.PENDING, DeliveryStatus.SENDING]


class WebhookDelivery(TenantModel):
    """One event for one endpoint: what is sent, the queue that keeps it, and the latest answer.

    ``due_at`` says when it is tried in any case; of a claimed one, when its worker counts as lost. A probe of its
    endpoint takes it earlier, but not before ``not_before``. ``log`` has an entry for each attempt: ``number``, ``at``,
    ``duration_ms``, ``status`` (of HTTP, or null), ``error``; of many the first and the latest.
    """

    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="+")
    # The same for every endpoint and attempt: ``webhook-id`` is made of it.
    event_id = models.UUIDField()
    event_type = models.CharField(max_length=64)
    key = models.CharField(max_length=255, blank=True, default="")
    body = models.TextField()
    status = models.CharField(max_length=16, choices=DeliveryStatus, default=DeliveryStatus.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    # When its first attempt failed: it is given up so many days later.
    failing_since = models.DateTimeField(null=True)
    due_at = models.DateTimeField()
    # What the receiver asked for (Retry-After).
    not_before = models.DateTimeField(null=True)
    lease_token = models.UUIDField(null=True)
    response_status = models.PositiveSmallIntegerField(null=True)
    response_body = models.TextField(blank=True, default="")
    error = models.CharField(max_length=500, blank=True, default="")
    duration_ms = models.PositiveIntegerField(null=True)
    log = models.JSONField(default=list)
    created_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True)
    replayed_at = models.DateTimeField(null=True)

    endpoint_id: UUID

    class Meta(TenantModel.Meta):
        db_table = "webhook_delivery"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["endpoint", "event_id"], name="webhook_delivery_once")]
        indexes = [
            models.Index(
                fields=["endpoint", "due_at"], name="webhook_delivery_due", condition=models.Q(status__in=UNFINISHED)
            ),
            models.Index(
                fields=["endpoint", "key", "id"],
                name="webhook_delivery_order",
                condition=models.Q(status__in=UNFINISHED),
            ),
            models.Index(
                fields=["endpoint", "id"], name="webhook_delivery_first", condition=models.Q(status__in=UNFINISHED)
            ),
            models.Index(fields=["tenant", "-id"], name="webhook_delivery_list"),
            models.Index(fields=["endpoint", "-id"], name="webhook_delivery_of"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.status}"

    @property
    def webhook_id(self) -> str:
        """The event's id as the receiver sees it: the same on each attempt, so that it can tell a repetition."""
        return f"msg_{self.event_id.hex}"
