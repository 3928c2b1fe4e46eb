"""Admin pages of chat: who talks where, never what they say; and deleting a message that was reported."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from messaging.models import ChatFile, ChatMessage, Conversation, Participant, Reaction, UnreadNotice
from messaging.services.messages import moderate
from notification_service.lib.admin import LongList
from tenants.admin_base import ReadOnlyAdmin
from tenants.callers import Caller


@admin.register(Conversation)
class ConversationAdmin(LongList, ReadOnlyAdmin):
    """Conversations and how much is said in them."""

    list_display = ("__str__", "tenant", "kind", "is_open", "last_seq", "active_at", "made_at")
    list_filter = ("kind", "is_open")
    list_select_related = ("tenant",)
    search_fields = ("=id", "=title")
    exclude = ("direct_key",)


@admin.register(Participant)
class ParticipantAdmin(LongList, ReadOnlyAdmin):
    """Who is in which conversation."""

    list_display = ("user_id", "name", "tenant", "conversation", "role", "joined_at", "left_at")
    list_filter = ("role",)
    list_select_related = ("tenant", "conversation")
    search_fields = ("=user_id",)


@admin.register(ChatMessage)
class ChatMessageAdmin(LongList, ReadOnlyAdmin):
    """Messages, without their words: those are the business of who is in the conversation."""

    list_display = ("id", "tenant", "conversation", "seq", "message_type", "sender_id", "edited_at", "deleted_at")
    list_filter = ("message_type",)
    list_select_related = ("tenant", "conversation")
    search_fields = ("=id", "=sender_id")
    exclude = ("text", "search", "file", "reply_to")
    actions = ("delete_messages",)  # type: ignore[assignment]

    @admin.action(description="Delete what these messages say")
    def delete_messages(self, request: HttpRequest, rows: QuerySet[ChatMessage]) -> None:
        """Delete reported messages, each in the audit log of its tenant."""
        if not request.user.is_superuser:
            self.message_user(request, "Only super admins may delete messages.", messages.ERROR)
            return
        for message in rows.order_by("conversation_id", "id"):
            staff = Caller(message.tenant_id, "user", str(request.user.pk), str(request.user))
            moderate(staff, message)
        self.message_user(request, "Deleted.")


@admin.register(Reaction)
class ReactionAdmin(LongList, ReadOnlyAdmin):
    """Reactions."""

    list_display = ("emoji", "tenant", "message_id", "user_id", "made_at")
    list_select_related = ("tenant",)
    search_fields = ("=user_id",)
    raw_id_fields = ("message",)


@admin.register(ChatFile)
class ChatFileAdmin(LongList, ReadOnlyAdmin):
    """Files: how large, of what type, and what the virus scanner said."""

    list_display = ("id", "tenant", "content_type", "size", "scan", "uploaded_by", "made_at")
    list_filter = ("content_type", "scan")
    list_select_related = ("tenant",)
    search_fields = ("=id", "=uploaded_by")
    exclude = ("name", "key")


@admin.register(UnreadNotice)
class UnreadNoticeAdmin(LongList, ReadOnlyAdmin):
    """Who is to be told of what they have not read, and when."""

    list_display = ("user_id", "tenant", "conversation", "first_seq", "due_at")
    list_select_related = ("tenant", "conversation")
    search_fields = ("=user_id",)
