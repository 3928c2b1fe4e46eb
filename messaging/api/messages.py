"""Messages over REST: direct ones, the history of a conversation, search, edits and reactions."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from messaging.api.shapes import (
    ChatMessageChange,
    ChatMessageOut,
    DirectMessageIn,
    HistoryOut,
    MessageIn,
    ReactionIn,
    ReactionSummary,
)
from messaging.services import conversations, history, messages
from messaging.services.messages import Draft
from messaging.services.people import other_user_id, person_of
from notification_service.lib.ids import new_id
from tenants.api.views import TenantView
from tenants.permissions import Permission

_LIMIT = OpenApiParameter("limit", int, description=f"At most {history.MAX_PAGE}; 50 if not given.")
_BEFORE = OpenApiParameter("before", int, description="Messages with a lower `seq`.")


class DirectMessage(TenantView):
    """A message to one person."""

    permissions = Permission.SELF

    @extend_schema(
        tags=["chat"],
        operation_id="messages_send",
        request=DirectMessageIn,
        responses={201: ChatMessageOut, 200: ChatMessageOut},
        examples=[
            OpenApiExample(
                "A direct message",
                value={"recipient_id": "7", "text": "Lunch?", "client_message_id": "4cbe9a33"},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Send (201) in the direct conversation with somebody, which is made if there is none; sent before: 200."""
        fields = self.valid(DirectMessageIn)
        recipient = other_user_id(fields.pop("recipient_id"), "recipient_id")
        conversation, _ = conversations.find_direct(person_of(self.caller), recipient)
        return _send(self, conversation.id, fields)


class MessageList(TenantView):
    """What was said in a conversation."""

    permissions = Permission.SELF

    @extend_schema(
        tags=["chat"],
        operation_id="chat_messages_list",
        responses=HistoryOut,
        parameters=[_BEFORE, OpenApiParameter("after", int, description="Messages with a higher `seq`."), _LIMIT],
    )
    def get(self, request: Request, conversation_id: UUID) -> Response:
        """The newest page, or the one before or after a `seq`; each in the order in which things were said."""
        before, after, limit = (_number(request, name) for name in ("before", "after", "limit"))
        page = history.page(
            self.caller, conversation_id, before=before, after=after, limit=50 if limit is None else limit
        )
        return _history(request, page)

    @extend_schema(
        tags=["chat"],
        operation_id="chat_messages_send",
        request=MessageIn,
        responses={201: ChatMessageOut, 200: ChatMessageOut},
        examples=[
            OpenApiExample("Words", value={"text": "Lunch?", "client_message_id": "4cbe9a33"}, request_only=True)
        ],
    )
    def post(self, request: Request, conversation_id: UUID) -> Response:
        """Send a message (201); one that was sent before with the same `client_message_id` is returned (200)."""
        return _send(self, conversation_id, self.valid(MessageIn))


class Search(TenantView):
    """Search in a conversation."""

    permissions = Permission.SELF

    @extend_schema(
        tags=["chat"],
        operation_id="chat_messages_search",
        responses=HistoryOut,
        parameters=[
            OpenApiParameter("q", str, required=True, description='Words, `"a phrase"`, `or`, `-not`.'),
            _BEFORE,
            _LIMIT,
        ],
    )
    def get(self, request: Request, conversation_id: UUID) -> Response:
        """Messages with these words, the newest first; `previous` leads to older ones."""
        before, limit = _number(request, "before"), _number(request, "limit")
        found = history.search(
            self.caller,
            conversation_id,
            request.query_params.get("q", ""),
            before=before,
            limit=50 if limit is None else limit,
        )
        previous = _link(request, before=found.messages[-1]["seq"]) if found.has_older else None
        return _pages(found, None, previous)


class MessageDetail(TenantView):
    """One message."""

    permissions = Permission.SELF

    @extend_schema(tags=["chat"], operation_id="chat_messages_retrieve", responses=ChatMessageOut)
    def get(self, request: Request, message_id: UUID) -> Response:
        return Response(history.get(self.caller, message_id))

    @extend_schema(
        tags=["chat"], operation_id="chat_messages_edit", request=ChatMessageChange, responses=ChatMessageOut
    )
    def patch(self, request: Request, message_id: UUID) -> Response:
        """Change the text of a message of yours."""
        return Response(messages.edit(self.caller, message_id, self.valid(ChatMessageChange)["text"]))

    @extend_schema(tags=["chat"], operation_id="chat_messages_delete", responses={204: None})
    def delete(self, request: Request, message_id: UUID) -> Response:
        """Delete a message of yours, or, as a moderator, anybody's. It keeps its place and loses what it said."""
        messages.delete(self.caller, message_id)
        return Response(status=204)


class Reactions(TenantView):
    """Reactions to a message."""

    permissions = Permission.SELF

    @extend_schema(tags=["chat"], operation_id="chat_reactions_list", responses=ReactionSummary(many=True))
    def get(self, request: Request, message_id: UUID) -> Response:
        return Response(history.get(self.caller, message_id)["reactions"])

    @extend_schema(
        tags=["chat"],
        operation_id="chat_reactions_add",
        request=ReactionIn,
        responses=ChatMessageOut,
        examples=[OpenApiExample("A thumb", value={"emoji": "👍"}, request_only=True)],
    )
    def post(self, request: Request, message_id: UUID) -> Response:
        """React; once or often makes no difference. Returns the message."""
        return Response(messages.react(self.caller, message_id, self.valid(ReactionIn)["emoji"], present=True))

    @extend_schema(
        tags=["chat"],
        operation_id="chat_reactions_remove",
        parameters=[OpenApiParameter("emoji", str, required=True)],
        responses={204: None},
    )
    def delete(self, request: Request, message_id: UUID) -> Response:
        """Take a reaction of yours back."""
        messages.react(self.caller, message_id, request.query_params.get("emoji", ""), present=False)
        return Response(status=204)


def _send(view: TenantView, conversation_id: UUID, fields: dict[str, Any]) -> Response:
    fields.setdefault("client_message_id", str(new_id()))
    sent = messages.send(view.caller, conversation_id, Draft(**fields))
    return Response(sent.message, status=200 if sent.duplicate else 201)


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise serializers.ValidationError({name: ["A valid integer is required."]})
    return int(text)


def _history(request: Request, page: history.Page) -> Response:
    found = page.messages
    older = _link(request, before=found[0]["seq"]) if found and page.has_older else None
    newer = _link(request, after=found[-1]["seq"]) if found and page.has_newer else None
    return _pages(page, newer, older)


def _pages(page: history.Page, newer: str | None, older: str | None) -> Response:
    return Response(
        {
            "next": newer,
            "previous": older,
            "last_seq": page.conversation.last_seq,
            "revision": page.conversation.revision,
            "results": page.messages,
        }
    )


def _link(request: Request, **changes: int) -> str:
    query = {name: value for name, value in request.query_params.items() if name not in ("before", "after")}
    return request.build_absolute_uri(f"{request.path}?{urlencode({**query, **changes})}")
