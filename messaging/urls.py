"""Addresses of chat."""

from messaging.api import conversations, files, messages, presence
from tenants.api.routing import route

_CHAT = "api/notifications/chat"
_CONVERSATION = f"{_CHAT}/conversations/<uuid:conversation_id>"

urlpatterns = [
    route("api/messages/send/", messages.DirectMessage, "messages-send"),
    route(f"{_CHAT}/conversations/", conversations.ConversationList, "chat-conversations"),
    route(f"{_CONVERSATION}/", conversations.ConversationDetail, "chat-conversation"),
    route(f"{_CONVERSATION}/participants/", conversations.ParticipantList, "chat-participants"),
    route(f"{_CONVERSATION}/participants/<path:user_id>/", conversations.ParticipantDetail, "chat-participant"),
    route(f"{_CONVERSATION}/messages/", messages.MessageList, "chat-messages"),
    route(f"{_CONVERSATION}/search/", messages.Search, "chat-search"),
    route(f"{_CONVERSATION}/read/", conversations.Read, "chat-read"),
    route(f"{_CHAT}/messages/<uuid:message_id>/", messages.MessageDetail, "chat-message"),
    route(f"{_CHAT}/messages/<uuid:message_id>/reactions/", messages.Reactions, "chat-reactions"),
    route(f"{_CHAT}/presence/", presence.Presences, "chat-presence"),
    route(f"{_CHAT}/presence/me/", presence.OwnPresence, "chat-presence-own"),
    route(f"{_CHAT}/upload/", files.Upload, "chat-upload"),
    route(f"{_CHAT}/files/<uuid:file_id>/", files.FileDetail, "chat-file"),
    route(f"{_CHAT}/files/<uuid:file_id>/content", files.FileContent, "chat-file-content"),
]
