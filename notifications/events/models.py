"""Events and what belongs to them: how tenants react, who may call in, what could not be read, and news out."""

from __future__ import annotations

from uuid import UUID

from django.db import models

from notifications.events.rules.models import Rule, RuleVersion, Step, Throttle
from tenants.isolation import TenantModel

__all__ = [
    "UNDECIDED",
    "DeadLetter",
    "Event",
    "EventSetting",
    "EventSource",
    "EventStatus",
    "OutboxMessage",
    "Rule",
    "RuleVersion",
    "Step",
    "Throttle",
]

MAX_TYPE = 100
MAX_CLIENT_ID = 255


def place_of_event(tenant_id: UUID, event_id: UUID) -> bytes:
    """Return what binds the encrypted secrets of an event to its row."""
    return f"event:{tenant_id}:{event_id}".encode()


class EventStatus(models.TextChoices):
    """Where an event stands. ``ignored``: nobody wanted to hear of it.

    ``waiting``: the tenant's user service has not said who the person is; it is asked again.
    """

    PENDING = "pending", "Pending"
    WAITING = "waiting", "Waiting"
    PROCESSED = "processed", "Processed"
    IGNORED = "ignored", "Ignored"
    FAILED = "failed", "Failed"


#: Of these nothing has come yet.
UNDECIDED = (EventStatus.PENDING, EventStatus.WAITING)


class Event(TenantModel):
    """Something that happened at a tenant's, and what came of it.

    ``payload`` never holds a secret in clear: the fields that the catalogue marks are replaced by a marker, and their
    values are in ``secrets_encrypted`` until every message that needs them has gone out. ``reactions`` is a list of
    ``{"by", "matched", "why", "records", "skipped" …}``, one for each rule (or the catalogue) that looked at it.
    """

    # PostgreSQL would look each one's tenant up again, and lock it, at the commit; its walls let no other tenant's in.
    tenant = models.ForeignKey(
        "tenants.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    type = models.CharField(max_length=MAX_TYPE)
    payload = models.JSONField(default=dict)
    metadata = models.JSONField(default=dict)
    user_id = models.CharField(max_length=255, blank=True, default="")
    source = models.CharField(max_length=100, blank=True, default="")
    # The sender's own id: an event that comes twice is the same event.
    client_event_id = models.CharField(max_length=MAX_CLIENT_ID, null=True)
    client_timestamp = models.DateTimeField(null=True)
    secrets_encrypted = models.BinaryField(null=True)
    mode = models.CharField(max_length=8, default="live")
    # How many events before this one led to it through our own notifications.
    depth = models.PositiveSmallIntegerField(default=0)
    status = models.CharField(max_length=16, choices=EventStatus, default=EventStatus.PENDING)
    reactions = models.JSONField(default=list)
    detail = models.TextField(blank=True, default="")
    received_at = models.DateTimeField()
    # When it was decided on; while it waits, when that was tried last.
    processed_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        db_table = "event"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "client_event_id"], name="event_client_id_unique")]
        indexes = [
            models.Index(fields=["tenant", "-id"], name="event_list"),
            models.Index(fields=["tenant", "id"], name="event_pending", condition=models.Q(status="pending")),
            models.Index(fields=["processed_at"], name="event_waiting", condition=models.Q(status="waiting")),
            models.Index(
                fields=["received_at"], name="event_secret", condition=models.Q(secrets_encrypted__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"

    @property
    def associated_data(self) -> bytes:
        """What binds the encrypted secrets to this row."""
        return place_of_event(self.tenant_id, self.id)


class EventSetting(TenantModel):
    """How a tenant wants to react to a known event, where that differs from the catalogue (null: as it says)."""

    type = models.CharField(max_length=MAX_TYPE)
    enabled = models.BooleanField(default=True)
    channels = models.JSONField(null=True)
    priority = models.CharField(max_length=16, null=True)
    # By channel: content, or the key of a template.
    templates = models.JSONField(default=dict)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(TenantModel.Meta):
        db_table = "event_setting"
        ordering = ["type"]
        constraints = [models.UniqueConstraint(fields=["tenant", "type"], name="event_setting_unique")]

    def __str__(self) -> str:
        return self.type


class EventSource(TenantModel):
    """A system that calls the webhook and signs what it sends with a secret of its own."""

    name = models.CharField(max_length=100)
    secret_encrypted = models.BinaryField()
    enabled = models.BooleanField(default=True)
    created_by = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        db_table = "event_source"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="event_source_name_unique")]

    def __str__(self) -> str:
        return self.name

    @property
    def associated_data(self) -> bytes:
        """What binds the encrypted secret to this row."""
        return f"event_source:{self.tenant_id}:{self.id}".encode()


class DeadLetter(TenantModel):
    """A Kafka message that could not be taken in, with the reason. ``tenant`` is null if it names none that we know.

    ``shown`` is the message as people may see it, secrets masked; the message itself is encrypted, for the replay.
    """

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+", null=True)  # type: ignore[assignment]
    topic = models.CharField(max_length=249)
    partition = models.IntegerField()
    offset = models.BigIntegerField()
    key = models.CharField(max_length=255, blank=True, default="")
    message_encrypted = models.BinaryField()
    shown = models.JSONField()
    code = models.CharField(max_length=64)
    reason = models.TextField()
    created_at = models.DateTimeField()
    # When it reached the dead-letter topic, and when it was taken in after all.
    published_at = models.DateTimeField(null=True)
    replayed_at = models.DateTimeField(null=True)
    event_id = models.UUIDField(null=True)

    class Meta(TenantModel.Meta):
        db_table = "event_dead_letter"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["id"], name="dead_letter_unpublished", condition=models.Q(published_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset} {self.code}"

    @property
    def associated_data(self) -> bytes:
        """What binds the encrypted message to this row."""
        return f"dead_letter:{self.id}".encode()


class OutboxMessage(TenantModel):
    """News that is to go to Kafka, written with what it tells. Its number ascends for each record in order of time."""

    id = models.BigAutoField(primary_key=True)  # type: ignore[assignment]
    key = models.CharField(max_length=64)
    value = models.JSONField()

    class Meta(TenantModel.Meta):
        db_table = "event_outbox"
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.id} {self.key}"
