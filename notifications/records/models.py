"""Records, their attempts and the rarer events of their lives. All three are partitioned by month of id."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from django.db import models

from notifications.recipients.models import MAX_ADDRESS
from notifications.records.states import FINAL, WAITING, DeliveryState, Lane, Status
from tenants.isolation import TenantModel

#: Providers that never report anything later: nobody looks for their messages by the provider's id.
WITHOUT_RECEIPTS = ["apprise", "console", "fcm", "inapp", "smtp", "webpush"]


class NotificationRecord(TenantModel):
    """One message to one recipient: the promise, and the queue that keeps it.

    The committed row is the outbox. ``due_at`` says when it may be claimed; ``lease_token`` and ``lease_until`` say
    which worker has it and for how long it is believed to live.
    """

    # Every question names more than the tenant and has an index of its own: one less to write with each move.
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False)
    channel = models.CharField(max_length=32)
    recipient = models.CharField(max_length=MAX_ADDRESS)
    # The person, in the tenant's words, where one is known.
    user_id = models.CharField(max_length=255, blank=True, default="", db_default="")
    # What it says: content of its own, or a version of a template (which is never changed) in a language.
    content = models.JSONField(default=dict)
    template_version_id = models.UUIDField(null=True)
    locale = models.CharField(max_length=35, blank=True, default="", db_default="")
    context = models.JSONField(default=dict)
    metadata = models.JSONField(default=dict)
    lane = models.CharField(max_length=16, choices=Lane, default=Lane.NORMAL)
    mode = models.CharField(max_length=8, default="live")

    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING)
    delivery_state = models.CharField(max_length=16, choices=DeliveryState, default=DeliveryState.NONE)
    failure_reason = models.CharField(max_length=32, blank=True, default="")
    # The last answer, in the provider's own words.
    provider_response = models.TextField(blank=True, default="")
    provider = models.CharField(max_length=32, blank=True, default="")
    provider_message_id = models.CharField(max_length=255, blank=True, default="")
    credential_id = models.UUIDField(null=True)

    retry_count = models.PositiveSmallIntegerField(default=0)
    max_retries = models.PositiveSmallIntegerField(default=3)
    attempt_count = models.PositiveSmallIntegerField(default=0)
    # How often a worker was lost while it had this record.
    lost_count = models.PositiveSmallIntegerField(default=0)

    due_at = models.DateTimeField()
    scheduled_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    lease_token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)

    # Of a text message: its parts and their alphabet; and what the provider charged, once it has said so.
    segments = models.PositiveSmallIntegerField(null=True)
    encoding = models.CharField(max_length=8, blank=True, default="", db_default="")
    price = models.DecimalField(max_digits=12, decimal_places=6, null=True)
    price_currency = models.CharField(max_length=3, blank=True, default="", db_default="")

    # Where it came from.
    campaign_id = models.UUIDField(null=True)
    batch_id = models.UUIDField(null=True)
    event_id = models.UUIDField(null=True)
    resend_of = models.UUIDField(null=True)
    created_by = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        db_table = "notification_record"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["tenant", "-id"], name="record_list"),
            models.Index(fields=["tenant", "recipient", "-id"], name="record_recipient"),
            models.Index(
                fields=["tenant", "lane", "due_at"],
                name="record_due",
                condition=models.Q(status__in=sorted(WAITING)),
            ),
            models.Index(fields=["lease_until"], name="record_lease", condition=models.Q(status=Status.SENDING)),
            models.Index(
                fields=["campaign_id", "id"], name="record_campaign", condition=models.Q(campaign_id__isnull=False)
            ),
            models.Index(fields=["batch_id", "id"], name="record_batch", condition=models.Q(batch_id__isnull=False)),
            models.Index(
                fields=["tenant", "provider_message_id"],
                name="record_provider_message",
                condition=models.Q(provider_message_id__gt="") & ~models.Q(provider__in=WITHOUT_RECEIPTS),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.id} {self.status}"

    @classmethod
    def of(cls, **values: Any) -> NotificationRecord:
        """Return an unsaved record, as calling the class does, in a third of the time: by place and not by name."""
        row, places = _blank().copy(), _places()
        for name, value in values.items():
            row[places[name]] = value
        make: Callable[..., NotificationRecord] = cls
        return make(*row)

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to it on our side."""
        return self.status in FINAL


@cache
def _places() -> dict[str, int]:
    return {field.attname: place for place, field in enumerate(NotificationRecord._meta.concrete_fields)}


@cache
def _blank() -> list[Any]:
    """The values of a record that nothing is said of; the JSON fields are always said."""
    return [
        field.get_default() if field.has_default() and not callable(field.default) else None
        for field in NotificationRecord._meta.concrete_fields
    ]


class Attempt(TenantModel):
    """One try at a provider, appended with its outcome."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False)
    record_id = models.UUIDField()
    number = models.PositiveSmallIntegerField()
    provider = models.CharField(max_length=32)
    credential_id = models.UUIDField(null=True)
    # What the record moved to: success, failed, retrying, or pending (put back).
    outcome = models.CharField(max_length=16, choices=Status)
    failure_reason = models.CharField(max_length=32, blank=True, default="")
    code = models.CharField(max_length=64, blank=True, default="")
    response = models.TextField(blank=True, default="")
    provider_message_id = models.CharField(max_length=255, blank=True, default="")
    # Whether the provider may have taken the message although it did not say so.
    ambiguous = models.BooleanField(default=False)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    next_due_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        db_table = "attempt"
        ordering = ["id"]
        indexes = [models.Index(fields=["record_id"], name="attempt_record")]


class RecordEvent(TenantModel):
    """Something that happened to a record and is neither its birth nor an attempt: edited, cancelled, resent, lost."""

    record_id = models.UUIDField()
    kind = models.CharField(max_length=32)
    actor = models.CharField(max_length=255, blank=True, default="")
    detail = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        db_table = "record_event"
        ordering = ["id"]
        indexes = [models.Index(fields=["record_id"], name="record_event_record")]


class IdempotencyKey(TenantModel):
    """The answer that a key was given, kept for a day."""

    key = models.CharField(max_length=255)
    request_hash = models.BinaryField(max_length=32)
    status_code = models.PositiveSmallIntegerField(default=201)
    response = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta(TenantModel.Meta):
        db_table = "idempotency_key"
        constraints = [models.UniqueConstraint(fields=["tenant", "key"], name="idempotency_key_unique")]


class Receipt(TenantModel):
    """What a provider reported about a message after it took it; kept for a month, so that replays change nothing.

    ``payload`` is the parsed report: ``code``, ``detail``, ``address``, ``suppress``, ``reason``, ``price``,
    ``currency``. A receipt whose record is not known yet waits with ``applied_at`` null.
    """

    provider = models.CharField(max_length=32)
    credential_id = models.UUIDField()
    # SHA-256 of what makes the report the same report.
    event_key = models.CharField(max_length=64)
    record_id = models.UUIDField(null=True)
    provider_message_id = models.CharField(max_length=255, blank=True, default="")
    state = models.CharField(max_length=16)
    payload = models.JSONField(default=dict)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    applied_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        db_table = "receipt"
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "provider", "event_key"], name="receipt_unique")]
        indexes = [
            models.Index(
                fields=["tenant", "provider_message_id"],
                name="receipt_waiting",
                condition=models.Q(applied_at=None),
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.state} {self.provider_message_id}"
