"""Serializers of chat: what comes in, and what the API's description says of what goes out."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from messaging.models import (
    MAX_CLIENT_ID,
    MAX_DESCRIPTION,
    MAX_EMOJI,
    MAX_TEXT,
    MAX_TITLE,
    MAX_USER_ID,
    ConversationKind,
    MessageType,
    ParticipantRole,
)
from messaging.services.presence import STATUSES

#: What people send themselves.
SENDABLE = [choice for choice in MessageType.choices if choice[0] != MessageType.SYSTEM]


class ConversationIn(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=ConversationKind.choices)
    title = serializers.CharField(max_length=MAX_TITLE, required=False, allow_blank=True)
    description = serializers.CharField(max_length=MAX_DESCRIPTION, required=False, allow_blank=True)
    is_open = serializers.BooleanField(required=False, help_text="Of a channel: anybody of the tenant may join it.")
    user_ids = serializers.ListField(
        child=serializers.CharField(max_length=MAX_USER_ID), required=False, max_length=1000, help_text="Who else."
    )


class ConversationChange(serializers.Serializer[Any]):
    title = serializers.CharField(max_length=MAX_TITLE, required=False)
    description = serializers.CharField(max_length=MAX_DESCRIPTION, required=False, allow_blank=True)
    is_open = serializers.BooleanField(required=False)


class ParticipantOut(serializers.Serializer[Any]):
    user_id = serializers.CharField()
    name = serializers.CharField()
    role = serializers.ChoiceField(choices=ParticipantRole.choices)
    last_read_seq = serializers.IntegerField()
    joined_at = serializers.DateTimeField()


class ParticipantsIn(serializers.Serializer[Any]):
    user_ids = serializers.ListField(child=serializers.CharField(max_length=MAX_USER_ID), min_length=1, max_length=1000)
    role = serializers.ChoiceField(choices=ParticipantRole.choices, required=False, default=ParticipantRole.MEMBER)


class ParticipantChange(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=ParticipantRole.choices, required=False)
    muted = serializers.BooleanField(required=False, help_text="No notices of unread messages; only your own.")


class FileOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    content_type = serializers.CharField()
    size = serializers.IntegerField(help_text="Octets.")
    width = serializers.IntegerField(allow_null=True)
    height = serializers.IntegerField(allow_null=True)


class FileAddressOut(FileOut):
    url = serializers.URLField(help_text="For you alone, until `url_expires_at`.")
    url_expires_at = serializers.DateTimeField()


class FileIn(serializers.Serializer[Any]):
    conversation_id = serializers.UUIDField()
    file = serializers.FileField()


class ReactionSummary(serializers.Serializer[Any]):
    emoji = serializers.CharField()
    count = serializers.IntegerField()
    user_ids = serializers.ListField(child=serializers.CharField(), help_text="The first hundred.")


class ChatMessageOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    conversation_id = serializers.UUIDField()
    seq = serializers.IntegerField()
    revision = serializers.IntegerField()
    client_message_id = serializers.CharField()
    sender_id = serializers.CharField(allow_null=True)
    sender_name = serializers.CharField()
    message_type = serializers.ChoiceField(choices=MessageType.choices)
    text = serializers.CharField()
    file = FileOut(allow_null=True)
    reply_to = serializers.UUIDField(allow_null=True)
    reactions = ReactionSummary(many=True)
    created_at = serializers.DateTimeField()
    edited_at = serializers.DateTimeField(allow_null=True)
    deleted_at = serializers.DateTimeField(allow_null=True)


class ConversationOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=ConversationKind.choices)
    title = serializers.CharField()
    description = serializers.CharField()
    is_open = serializers.BooleanField()
    last_seq = serializers.IntegerField()
    revision = serializers.IntegerField()
    participant_count = serializers.IntegerField()
    participants = ParticipantOut(many=True, help_text="The first ten.")
    last_message = ChatMessageOut(allow_null=True)
    role = serializers.ChoiceField(choices=ParticipantRole.choices, allow_null=True)
    last_read_seq = serializers.IntegerField(allow_null=True)
    unread_count = serializers.IntegerField(allow_null=True)
    muted = serializers.BooleanField(allow_null=True)
    active_at = serializers.DateTimeField()
    created_at = serializers.DateTimeField()


class MessageIn(serializers.Serializer[Any]):
    client_message_id = serializers.CharField(
        max_length=MAX_CLIENT_ID, required=False, help_text="Makes sending it again harmless; one a message."
    )
    message_type = serializers.ChoiceField(choices=SENDABLE, required=False, default=MessageType.TEXT)
    text = serializers.CharField(
        max_length=MAX_TEXT, required=False, allow_blank=True, default="", trim_whitespace=False
    )
    file_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    reply_to = serializers.UUIDField(required=False, allow_null=True, default=None)


class DirectMessageIn(MessageIn):
    recipient_id = serializers.CharField(max_length=MAX_USER_ID, help_text="The user id of whom it is for.")


class ChatMessageChange(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=MAX_TEXT, trim_whitespace=False)


class ReactionIn(serializers.Serializer[Any]):
    emoji = serializers.CharField(max_length=MAX_EMOJI)


class ReadIn(serializers.Serializer[Any]):
    seq = serializers.IntegerField(min_value=0, max_value=2**62, required=False, help_text="All, if not given.")


class HistoryOut(serializers.Serializer[Any]):
    next = serializers.URLField(allow_null=True, help_text="Newer messages.")
    previous = serializers.URLField(allow_null=True, help_text="Older messages.")
    last_seq = serializers.IntegerField(help_text="Of the conversation.")
    revision = serializers.IntegerField(help_text="Of the conversation.")
    results = ChatMessageOut(many=True)


class PresenceOut(serializers.Serializer[Any]):
    user_id = serializers.CharField()
    status = serializers.ChoiceField(choices=STATUSES)
    last_seen_at = serializers.DateTimeField(allow_null=True)


class PresenceList(serializers.Serializer[Any]):
    results = PresenceOut(many=True)


class PresenceIn(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=STATUSES, required=False, default="online")
