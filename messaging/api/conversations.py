"""``/api/notifications/chat/conversations/``: conversations, who is in them, and how far they have read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from messaging.api.shapes import (
    ConversationChange,
    ConversationIn,
    ConversationOut,
    ParticipantChange,
    ParticipantOut,
    ParticipantsIn,
    ReadIn,
)
from messaging.models import Conversation, ConversationKind, Participant
from messaging.representation import represent_participant
from messaging.services import conversations, messages
from tenants.api.pagination import NumberedPages
from tenants.api.views import TenantView
from tenants.permissions import Permission


@extend_schema(tags=["chat"])
class ConversationList(TenantView):
    """The caller's conversations."""

    permissions = Permission.SELF

    @extend_schema(
        operation_id="chat_conversations_list",
        responses=ConversationOut(many=True),
        parameters=[
            OpenApiParameter("kind", str, enum=ConversationKind.values),
            OpenApiParameter("open", bool, description="Channels that anybody of the tenant may join, instead."),
            OpenApiParameter("page", int),
            OpenApiParameter("page_size", int),
        ],
    )
    def get(self, request: Request) -> Response:
        """The one in which something was said last comes first."""
        wants_open = request.query_params.get("open", "").lower() in ("true", "1")
        rows = conversations.list_open(self.caller) if wants_open else conversations.list_own(self.caller)
        if kind := request.query_params.get("kind"):
            if kind not in ConversationKind.values:
                raise serializers.ValidationError({"kind": [f"Must be one of {', '.join(ConversationKind.values)}."]})
            rows = rows.filter(kind=kind)
        pages = NumberedPages()
        page: Sequence[Conversation] = pages.paginate_queryset(rows, request, self) or []
        return pages.get_paginated_response(conversations.describe(self.caller, page))

    @extend_schema(
        operation_id="chat_conversations_create",
        request=ConversationIn,
        responses={201: ConversationOut, 200: ConversationOut},
        examples=[
            OpenApiExample(
                "A group", value={"kind": "group", "title": "Launch", "user_ids": ["7", "9"]}, request_only=True
            ),
            OpenApiExample("Two people", value={"kind": "direct", "user_ids": ["7"]}, request_only=True),
        ],
    )
    def post(self, request: Request) -> Response:
        """Make a conversation (201); the direct one with a person is found again (200)."""
        made, created = conversations.create(self.caller, **self.valid(ConversationIn))
        return Response(conversations.describe(self.caller, [made])[0], status=201 if created else 200)


@extend_schema(tags=["chat"])
class ConversationDetail(TenantView):
    """One conversation."""

    permissions = Permission.SELF

    @extend_schema(operation_id="chat_conversations_retrieve", responses=ConversationOut)
    def get(self, request: Request, conversation_id: UUID) -> Response:
        return self._shown(conversations.get(self.caller, conversation_id))

    @extend_schema(operation_id="chat_conversations_update", request=ConversationChange, responses=ConversationOut)
    def patch(self, request: Request, conversation_id: UUID) -> Response:
        return self._shown(conversations.update(self.caller, conversation_id, self.valid(ConversationChange)))

    def _shown(self, conversation: Conversation) -> Response:
        return Response(conversations.describe(self.caller, [conversation])[0])


@extend_schema(tags=["chat"])
class ParticipantList(TenantView):
    """Who is in a conversation."""

    permissions = Permission.SELF

    @extend_schema(
        operation_id="chat_participants_list",
        responses=ParticipantOut(many=True),
        parameters=[OpenApiParameter("page", int), OpenApiParameter("page_size", int)],
    )
    def get(self, request: Request, conversation_id: UUID) -> Response:
        pages = NumberedPages()
        rows = conversations.participants(self.caller, conversation_id)
        page: Sequence[Participant] = pages.paginate_queryset(rows, request, self) or []
        return pages.get_paginated_response([represent_participant(each) for each in page])

    @extend_schema(
        operation_id="chat_participants_add",
        request=ParticipantsIn,
        responses={201: ParticipantOut(many=True)},
        examples=[OpenApiExample("Two more", value={"user_ids": ["11", "12"]}, request_only=True)],
    )
    def post(self, request: Request, conversation_id: UUID) -> Response:
        """Add people; to join an open channel, add yourself."""
        added = conversations.add(self.caller, conversation_id, **self.valid(ParticipantsIn))
        return Response([represent_participant(each) for each in added], status=201)


@extend_schema(tags=["chat"])
class ParticipantDetail(TenantView):
    """One person in a conversation."""

    permissions = Permission.SELF

    @extend_schema(operation_id="chat_participants_update", request=ParticipantChange, responses=ParticipantOut)
    def patch(self, request: Request, conversation_id: UUID, user_id: str) -> Response:
        changes: dict[str, Any] = self.valid(ParticipantChange)
        changed = conversations.change_participant(self.caller, conversation_id, user_id, **changes)
        return Response(represent_participant(changed))

    @extend_schema(operation_id="chat_participants_remove", responses={204: None})
    def delete(self, request: Request, conversation_id: UUID, user_id: str) -> Response:
        """Remove somebody, or leave yourself: access ends at once, to files and on open sockets, too."""
        conversations.remove(self.caller, conversation_id, user_id)
        return Response(status=204)


@extend_schema(tags=["chat"])
class Read(TenantView):
    """How far the caller has read."""

    permissions = Permission.SELF

    @extend_schema(operation_id="chat_conversations_read", request=ReadIn, responses=ParticipantOut)
    def post(self, request: Request, conversation_id: UUID) -> Response:
        """Mark everything up to and including `seq` as read; it never moves back."""
        place = messages.mark_read(self.caller, conversation_id, **self.valid(ReadIn))
        return Response(represent_participant(place))
