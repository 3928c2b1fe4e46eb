"""What people find in their inboxes: messages, the stream of changes that live sockets follow, broadcasts, sounds."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from notification_service.lib.ids import new_id
from tenants.isolation import TenantModel

#: Characters of a person's id, as in the in-app channel.
MAX_USER_ID = 255


class Priority(models.TextChoices):
    """How loudly a message asks for attention."""

    LOW = "low", "Low"
    NORMAL = "normal", "Normal"
    HIGH = "high", "High"
    URGENT = "urgent", "Urgent"


class InboxStream(TenantModel):
    """Where one person's stream stands: the number of its last change, and how much is unread.

    ``seq`` has no gaps: whoever changes something locks this row and takes the next number in the same transaction.
    Positions of another ``epoch`` mean nothing. ``broadcast_seq`` is the last broadcast that has been put into the
    inbox. The row without a person is the tenant's: its ``seq`` numbers the broadcasts.
    """

    user_id = models.CharField(max_length=MAX_USER_ID, blank=True)
    epoch = models.UUIDField(default=new_id)
    seq = models.BigIntegerField(default=0)
    unread = models.IntegerField(default=0)
    broadcast_seq = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(TenantModel.Meta):
        db_table = "inbox_stream"
        constraints = [models.UniqueConstraint(fields=["tenant", "user_id"], name="inbox_stream_unique")]

    def __str__(self) -> str:
        return f"{self.user_id} at {self.seq}"


class Audience(models.TextChoices):
    """Whom a broadcast is for."""

    TENANT = "tenant", "Everybody"
    ROLE = "role", "Roles"
    USERS = "users", "A list of people"


class Broadcast(TenantModel):
    """A message to many, written once. It gets into an inbox when its owner is connected or next looks.

    ``seq`` numbers the tenant's broadcasts without gaps. ``content`` is as the in-app channel renders it.
    """

    seq = models.BigIntegerField()
    audience = models.CharField(max_length=16, choices=Audience)
    roles = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    user_ids = ArrayField(models.CharField(max_length=MAX_USER_ID), default=list, blank=True)
    content = models.JSONField()
    category = models.CharField(max_length=64, blank=True, default="")
    priority = models.CharField(max_length=8, choices=Priority, default=Priority.NORMAL)
    expires_at = models.DateTimeField()
    created_by = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField()
    retracted_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        db_table = "broadcast"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "seq"], name="broadcast_seq_unique")]

    def __str__(self) -> str:
        return f"{self.audience} {self.id}"


class InboxMessage(TenantModel):
    """A message in one person's inbox.

    Its id is that of the notification record that brought it; a broadcast's copy has an id of its own. It is unread
    as long as none of ``read_at``, ``archived_at``, ``snoozed_until`` and ``deleted_at`` is set. A deleted message has
    lost its content and keeps its place in the stream for a while. ``wake_at`` is when a snooze or its life ends.
    """

    # Every question names more than the tenant and has an index of its own.
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False)
    user_id = models.CharField(max_length=MAX_USER_ID)
    seq = models.BigIntegerField()
    broadcast = models.ForeignKey(Broadcast, on_delete=models.CASCADE, related_name="+", null=True, db_index=False)
    content = models.JSONField()
    category = models.CharField(max_length=64, blank=True, default="")
    priority = models.CharField(max_length=8, choices=Priority, default=Priority.NORMAL)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)
    archived_at = models.DateTimeField(null=True)
    snoozed_until = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=255, blank=True, default="")
    deleted_at = models.DateTimeField(null=True)
    wake_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        db_table = "inbox_message"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "user_id", "seq"], name="inbox_message_seq_unique")]
        indexes = [
            models.Index(fields=["tenant", "user_id", "-id"], name="inbox_message_list"),
            models.Index(
                fields=["tenant", "user_id", "-id"],
                name="inbox_message_unread",
                condition=models.Q(read_at=None, archived_at=None, deleted_at=None),
            ),
            models.Index(fields=["tenant", "-id"], name="inbox_message_tenant"),
            models.Index(
                fields=["tenant", "user_id", "wake_at"],
                name="inbox_message_wake",
                condition=models.Q(wake_at__isnull=False),
            ),
            models.Index(
                fields=["broadcast", "user_id"],
                name="inbox_message_broadcast",
                condition=models.Q(broadcast__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id} of {self.user_id}"


class InboxChange(TenantModel):
    """A change of a stream that is no new message: the frame that sockets got, for those that resume."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False)
    user_id = models.CharField(max_length=MAX_USER_ID)
    seq = models.BigIntegerField()
    frame = models.TextField()

    class Meta(TenantModel.Meta):
        db_table = "inbox_change"
        ordering = ["seq"]
        constraints = [models.UniqueConstraint(fields=["tenant", "user_id", "seq"], name="inbox_change_seq_unique")]


class Sound(TenantModel):
    """A sound that a tenant's messages may play. ``file`` is its place in the storage, in the tenant's own folder."""

    name = models.CharField(max_length=100)
    content_type = models.CharField(max_length=64)
    size = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    file = models.CharField(max_length=255)
    created_by = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        db_table = "sound"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="sound_name_unique")]

    def __str__(self) -> str:
        return self.name
