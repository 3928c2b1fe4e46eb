"""Shapes of the inbox's API. Messages are shown as sockets show them (``frames.represent_message``)."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from notifications.inbox.frames import represent_message
from notifications.inbox.models import MAX_USER_ID, Audience, Broadcast, InboxMessage, Priority, Sound
from notifications.inbox.services import MOST_IDS


class MessageOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    title = serializers.CharField()
    body = serializers.CharField(help_text="Text, not HTML.")
    description = serializers.CharField(help_text="The same as `body`.")
    category = serializers.CharField()
    priority = serializers.ChoiceField(choices=Priority.choices)
    sound = serializers.CharField(allow_null=True)
    image = serializers.CharField(allow_null=True)
    action = serializers.JSONField(allow_null=True, help_text="`{url, label}`: where a click leads.")
    actions = serializers.ListField(
        child=serializers.JSONField(), help_text="Buttons: `{label}` and either `url` or `callback`."
    )
    data = serializers.JSONField()  # type: ignore[assignment] # the field, not the property of serializers
    created_at = serializers.DateTimeField()
    timestamp = serializers.DateTimeField(help_text="The same as `created_at`.")
    expires_at = serializers.DateTimeField(allow_null=True)
    read_at = serializers.DateTimeField(allow_null=True)
    archived_at = serializers.DateTimeField(allow_null=True)
    snoozed_until = serializers.DateTimeField(allow_null=True)
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    broadcast_id = serializers.UUIDField(allow_null=True)

    def to_representation(self, instance: InboxMessage) -> dict[str, Any]:
        return represent_message(instance)


class TenantMessageOut(MessageOut):
    """A message as those see it who look after the tenant."""

    user_id = serializers.CharField()
    message = serializers.CharField(help_text="The same as `body`.")
    delivered = serializers.BooleanField(help_text="Always true: what is not in the inbox yet is a record.")
    acknowledged_by = serializers.CharField(allow_blank=True)

    def to_representation(self, instance: InboxMessage) -> dict[str, Any]:
        shown = super().to_representation(instance)
        return {
            **shown,
            "user_id": instance.user_id,
            "message": shown["body"],
            "delivered": True,
            "acknowledged_by": instance.acknowledged_by,
        }


_IDS_HELP = f"At most {MOST_IDS}."


class IdsIn(serializers.Serializer[Any]):
    ids = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=MOST_IDS, help_text=_IDS_HELP)


class IdsOrAllIn(serializers.Serializer[Any]):
    ids = serializers.ListField(
        child=serializers.UUIDField(), min_length=1, max_length=MOST_IDS, required=False, help_text=_IDS_HELP
    )
    all = serializers.BooleanField(required=False, help_text="Instead of `ids`: every message.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("ids" in attrs) == bool(attrs.get("all")):
            raise serializers.ValidationError({"ids": ["Give either ids or all."]})
        return attrs


class DeleteIn(IdsOrAllIn):
    read = serializers.BooleanField(required=False, help_text="Instead of `ids` and `all`: every message that is read.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if sum((("ids" in attrs), bool(attrs.get("all")), bool(attrs.get("read")))) != 1:
            raise serializers.ValidationError({"ids": ["Give one of ids, all and read."]})
        return attrs


class MessageChange(serializers.Serializer[Any]):
    read = serializers.BooleanField(required=False)
    archived = serializers.BooleanField(required=False)
    snoozed_until = serializers.DateTimeField(required=False, allow_null=True)


class SnoozeIn(serializers.Serializer[Any]):
    until = serializers.DateTimeField(allow_null=True, help_text="Null: show it again now.")


class UnreadOut(serializers.Serializer[Any]):
    unread = serializers.IntegerField()
    count = serializers.IntegerField(help_text="The same.")


class ChangedOut(UnreadOut):
    changed = serializers.IntegerField(help_text="How many messages were changed.")


class StatsOut(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    unread = serializers.IntegerField()
    read = serializers.IntegerField()
    acknowledged = serializers.IntegerField()
    archived = serializers.IntegerField()
    people = serializers.IntegerField()
    by_priority = serializers.DictField(child=serializers.IntegerField())
    by_category = serializers.DictField(child=serializers.IntegerField(), help_text="The fifty most frequent.")


class BroadcastIn(serializers.Serializer[Any]):
    audience = serializers.ChoiceField(choices=Audience.choices)
    roles = serializers.ListField(child=serializers.CharField(max_length=64), required=False)
    user_ids = serializers.ListField(child=serializers.CharField(max_length=MAX_USER_ID), required=False)
    content = serializers.DictField(help_text="As of an in-app record, without placeholders.")
    category = serializers.CharField(max_length=64, required=False, allow_blank=True)
    expires_at = serializers.DateTimeField(required=False, help_text="30 days from now if not given.")


class BroadcastOut(serializers.ModelSerializer[Broadcast]):
    class Meta:
        model = Broadcast
        fields = [
            "id",
            "audience",
            "roles",
            "user_ids",
            "content",
            "category",
            "priority",
            "expires_at",
            "created_by",
            "created_at",
            "retracted_at",
        ]
        read_only_fields = fields


class BroadcastDetailOut(BroadcastOut):
    """With what became of it so far: in how many inboxes it is, and in how many of them read."""

    reached = serializers.IntegerField(read_only=True)
    read = serializers.IntegerField(read_only=True)

    class Meta(BroadcastOut.Meta):
        fields = [*BroadcastOut.Meta.fields, "reached", "read"]
        read_only_fields = fields


class SoundOut(serializers.ModelSerializer[Sound]):
    url = serializers.SerializerMethodField()

    class Meta:
        model = Sound
        fields = ["id", "name", "content_type", "size", "sha256", "url", "created_by", "created_at"]
        read_only_fields = fields

    def get_url(self, sound: Sound) -> str:
        """Where it is; the same content always, so it may be kept for good."""
        return f"/api/v1/sounds/{sound.id}"


class SoundIn(serializers.Serializer[Any]):
    file = serializers.FileField(help_text="MP3, Ogg, WAV, FLAC, AAC or MP4 audio.")
    name = serializers.RegexField(
        r"^[A-Za-z0-9._-]{1,100}$", required=False, help_text="What messages call it; the file's name if not given."
    )
