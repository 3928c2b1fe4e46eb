"""Chat: conversations, who is in them, what was said, and who is still to be told of it.

Presence is not here: it is a heartbeat that expires, and lives in Redis (``messaging/services/presence.py``).
"""

from __future__ import annotations

from typing import Final

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models

from tenants.isolation import TenantModel

MAX_USER_ID: Final = 255
MAX_TEXT: Final = 4_000
MAX_TITLE: Final = 200
MAX_DESCRIPTION: Final = 1_000
MAX_CLIENT_ID: Final = 64
#: The longest emoji of Unicode are families of some ten code points; tenants may use short names (``:shipit:``).
MAX_EMOJI: Final = 32
MAX_FILE_NAME: Final = 255


class ConversationKind(models.TextChoices):
    """Between two people, among invited ones, or a place that people of the tenant may find and join."""

    DIRECT = "direct", "Direct"
    GROUP = "group", "Group"
    CHANNEL = "channel", "Channel"


class ParticipantRole(models.TextChoices):
    """Moderators may delete messages and remove members; admins may do everything."""

    ADMIN = "admin", "Admin"
    MODERATOR = "moderator", "Moderator"
    MEMBER = "member", "Member"


class MessageType(models.TextChoices):
    TEXT = "text", "Text"
    EMOJI = "emoji", "Emoji"
    FILE = "file", "File"
    IMAGE = "image", "Image"
    SYSTEM = "system", "System"


class Conversation(TenantModel):
    """A conversation and its two counters, which only change under this row's lock.

    ``last_seq`` numbers the messages without gaps; ``revision`` numbers every change: messages, edits, deletions,
    reactions.
    """

    kind = models.CharField(max_length=16, choices=ConversationKind)
    title = models.CharField(max_length=MAX_TITLE, blank=True, default="")
    description = models.CharField(max_length=MAX_DESCRIPTION, blank=True, default="")
    # Whether anybody of the tenant may find and join it; only of channels.
    is_open = models.BooleanField(default=False)
    # A digest of the two people of a direct conversation: there is one of each pair.
    direct_key = models.CharField(max_length=64, null=True, blank=True)
    last_seq = models.BigIntegerField(default=0)
    revision = models.BigIntegerField(default=0)
    created_by = models.CharField(max_length=MAX_USER_ID, blank=True, default="")
    # When something was last said: lists of conversations come in this order.
    active_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(TenantModel.Meta):
        db_table = "chat_conversation"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "direct_key"], name="chat_direct_unique"),
            models.CheckConstraint(
                condition=models.Q(kind="direct", direct_key__isnull=False)
                | (~models.Q(kind="direct") & models.Q(direct_key=None)),
                name="chat_direct_has_key",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "-id"], condition=models.Q(is_open=True), name="chat_conversation_open")
        ]

    def __str__(self) -> str:
        return self.title or f"{self.kind} {self.id}"


class Participant(TenantModel):
    """A person in a conversation, by the id that the tenant knows them by. Who left keeps the row and loses access."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="participants")
    user_id = models.CharField(max_length=MAX_USER_ID)
    name = models.CharField(max_length=255, blank=True, default="")
    role = models.CharField(max_length=16, choices=ParticipantRole, default=ParticipantRole.MEMBER)
    last_read_seq = models.BigIntegerField(default=0)
    read_at = models.DateTimeField(null=True)
    # Up to which message they were told of by a notification; no more of those until they have read on.
    notified_seq = models.BigIntegerField(default=0)
    muted = models.BooleanField(default=False)
    joined_at = models.DateTimeField()
    left_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        db_table = "chat_participant"
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["conversation", "user_id"], name="chat_participant_unique")]
        indexes = [
            models.Index(
                fields=["tenant", "user_id", "conversation"],
                condition=models.Q(left_at=None),
                name="chat_participant_own",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name or self.user_id} as {self.role}"


class ChatFile(TenantModel):
    """A file of a conversation. ``key`` is its name in the storage; the file that people sent is never served."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="files")
    uploaded_by = models.CharField(max_length=MAX_USER_ID)
    name = models.CharField(max_length=MAX_FILE_NAME)
    content_type = models.CharField(max_length=100)
    size = models.BigIntegerField()
    width = models.IntegerField(null=True)
    height = models.IntegerField(null=True)
    key = models.CharField(max_length=300, unique=True)
    # What the virus scanner said: ``clean``, or ``not_scanned`` where there is none.
    scan = models.CharField(max_length=16, default="not_scanned")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        db_table = "chat_file"
        ordering = ["-id"]
        indexes = [models.Index(fields=["uploaded_by"], name="chat_file_uploaded_by")]

    def __str__(self) -> str:
        return self.name


class ChatMessage(TenantModel):
    """What was said. Deleted messages keep their place (``seq``) and lose what they said."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    seq = models.BigIntegerField()
    # The conversation's revision when this message last changed.
    revision = models.BigIntegerField()
    # Null: the service itself said it, or whoever did has been erased.
    sender_id = models.CharField(max_length=MAX_USER_ID, null=True)
    sender_name = models.CharField(max_length=255, blank=True, default="")
    client_message_id = models.CharField(max_length=MAX_CLIENT_ID)
    message_type = models.CharField(max_length=16, choices=MessageType, default=MessageType.TEXT)
    text = models.CharField(max_length=MAX_TEXT, blank=True, default="")
    file = models.ForeignKey(ChatFile, on_delete=models.SET_NULL, null=True, related_name="messages")
    reply_to = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField()
    edited_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)
    deleted_by = models.CharField(max_length=MAX_USER_ID, blank=True, default="")
    # The words as they are, of every language: no stemming, no stop words.
    search = models.GeneratedField(
        expression=SearchVector("text", config="simple"), output_field=SearchVectorField(), db_persist=True
    )

    class Meta(TenantModel.Meta):
        db_table = "chat_message"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["conversation", "seq"], name="chat_message_seq"),
            models.UniqueConstraint(fields=["tenant", "sender_id", "client_message_id"], name="chat_message_once"),
        ]
        indexes = [
            models.Index(fields=["conversation", "revision"], name="chat_message_revision"),
            GinIndex(fields=["search"], name="chat_message_search"),
        ]

    def __str__(self) -> str:
        return f"{self.message_type} {self.seq}"


class Reaction(TenantModel):
    """An emoji that a person put on a message."""

    message = models.ForeignKey(ChatMessage, on_delete=models.CASCADE, related_name="reactions")
    user_id = models.CharField(max_length=MAX_USER_ID)
    emoji = models.CharField(max_length=MAX_EMOJI)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        db_table = "chat_reaction"
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["message", "user_id", "emoji"], name="chat_reaction_unique")]
        indexes = [models.Index(fields=["user_id"], name="chat_reaction_user")]

    def __str__(self) -> str:
        return self.emoji


class UnreadNotice(TenantModel):
    """Somebody is to be told at ``due_at`` of messages that they have not read by then, from ``first_seq`` on."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="+")
    user_id = models.CharField(max_length=MAX_USER_ID)
    first_seq = models.BigIntegerField()
    due_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        db_table = "chat_unread_notice"
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["conversation", "user_id"], name="chat_unread_notice_unique")]
        indexes = [models.Index(fields=["due_at"], name="chat_unread_notice_due")]

    def __str__(self) -> str:
        return f"{self.user_id} from {self.first_seq}"
