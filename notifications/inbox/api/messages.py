"""One's own messages, by the addresses of all specifications: the same views everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import UUID

import django_filters
import orjson
from django.db.models import Q, QuerySet
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from notification_service.lib.scope import tenant_scope
from notifications.inbox import services
from notifications.inbox.api.serializers import (
    ChangedOut,
    DeleteIn,
    IdsOrAllIn,
    MessageChange,
    MessageOut,
    SnoozeIn,
    UnreadOut,
)
from notifications.inbox.broadcasts import Person, person_of
from notifications.inbox.frames import represent_message
from notifications.inbox.models import InboxMessage, Priority
from notifications.inbox.streams import Changed
from tenants.api.filters import TrueOrFalseFilter
from tenants.api.views import TenantView
from tenants.permissions import Permission

_STREAMED_TOGETHER = 500


class MessageFilter(django_filters.FilterSet):  # type: ignore[misc]
    """``?status=unread&priority=high,urgent&category=interviews&since=2026-11-20T00:00:00Z``."""

    status = django_filters.ChoiceFilter(
        choices=[(name, name) for name in ("unread", "read", "archived", "snoozed", "all")],
        method="on_status",
        help_text="Without it: what is neither archived nor snoozed.",
    )
    read = TrueOrFalseFilter(method="on_read")
    archived = TrueOrFalseFilter(method="on_archived")
    priority = django_filters.BaseInFilter(field_name="priority", lookup_expr="in", help_text="Or several, by comma.")
    category = django_filters.CharFilter()
    since = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    before = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = InboxMessage
        fields: list[str] = []

    def filter_queryset(self, queryset: QuerySet[InboxMessage]) -> QuerySet[InboxMessage]:
        given = self.form.cleaned_data
        if unknown := set(given.get("priority") or ()) - set(Priority.values):
            known = ", ".join(Priority.values)
            raise serializers.ValidationError({"priority": [f"Unknown: {', '.join(sorted(unknown))}; known: {known}."]})
        if not given["status"]:
            queryset = queryset.filter(snoozed_until=None)
            if given["archived"] is None:
                queryset = queryset.filter(archived_at=None)
        rows: QuerySet[InboxMessage] = super().filter_queryset(queryset)
        return rows

    def on_status(self, rows: QuerySet[InboxMessage], name: str, value: str) -> QuerySet[InboxMessage]:
        shown = Q(archived_at=None, snoozed_until=None)
        return rows.filter(
            {
                "unread": shown & Q(read_at=None),
                "read": shown & Q(read_at__isnull=False),
                "archived": Q(archived_at__isnull=False),
                "snoozed": Q(snoozed_until__isnull=False),
                "all": Q(),
            }[value]
        )

    def on_read(self, rows: QuerySet[InboxMessage], name: str, value: bool) -> QuerySet[InboxMessage]:
        return rows.filter(read_at__isnull=not value)

    def on_archived(self, rows: QuerySet[InboxMessage], name: str, value: bool) -> QuerySet[InboxMessage]:
        return rows.filter(archived_at__isnull=not value)


class JsonLines(BaseRenderer):
    """``Accept: application/x-ndjson``; the view streams by itself."""

    media_type = "application/x-ndjson"
    format = "ndjson"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """An error: one line."""
        return orjson.dumps(data) + b"\n"


class MyView(TenantView):
    """A view of the caller's own inbox, which is brought up to date first."""

    permissions = Permission.SELF

    @property
    def person(self) -> Person:
        return person_of(self.caller)

    @property
    def user_id(self) -> str:
        return self.caller.actor_id

    def changed(self, changed: Changed, status: int = 200) -> Response:
        body = {"changed": len(changed.ids), "unread": changed.unread, "count": changed.unread}
        return Response(body, status=status)

    def one(self, message_id: UUID) -> InboxMessage:
        services.look(self.person)
        return services.get_message(message_id, self.user_id)


_LIST = extend_schema(
    filters=True,
    parameters=[OpenApiParameter("cursor", str), OpenApiParameter("page_size", int)],
    responses={
        (200, "application/json"): MessageOut(many=True),
        (200, "application/x-ndjson"): OpenApiResponse(OpenApiTypes.STR, description="A message a line, all of them."),
    },
)


@extend_schema(tags=["inbox"])
class MyMessages(MyView):
    """My messages, the newest first; or all of them as JSON lines."""

    filterset_class = MessageFilter
    renderer_classes = [*TenantView.renderer_classes, JsonLines]

    @_LIST
    def get(self, request: Request) -> HttpResponseBase:
        services.look(self.person)
        rows = self.filtered(services.messages_of(self.user_id, snoozed=True))
        if request.accepted_renderer.media_type == JsonLines.media_type:
            return StreamingHttpResponse(
                _lines(self.caller.required_tenant_id(), rows), content_type=JsonLines.media_type
            )
        return self.paginated(rows, MessageOut)


@extend_schema(tags=["inbox"])
class MyMessagesAndDelete(MyMessages):
    """My messages, and many of them deleted at once."""

    @extend_schema(operation_id="me_notifications_delete_many", request=DeleteIn, responses=ChangedOut)
    def delete(self, request: Request) -> Response:
        """Delete messages: these, all, or all that are read."""
        given = self.valid(DeleteIn)
        return self.changed(services.delete(self.user_id, ids=given.get("ids"), only_read=bool(given.get("read"))))


def _lines(tenant_id: UUID, rows: QuerySet[InboxMessage]) -> Iterator[bytes]:
    """Yield messages as lines, so many at once, each part in a transaction of its own: flat memory, nothing held."""
    last: UUID | None = None
    while True:
        with tenant_scope(tenant_id):
            part = list((rows if last is None else rows.filter(id__lt=last))[:_STREAMED_TOGETHER])
        yield b"".join(orjson.dumps(represent_message(each), option=orjson.OPT_UTC_Z) + b"\n" for each in part)
        if len(part) < _STREAMED_TOGETHER:
            return
        last = part[-1].id


@extend_schema(tags=["inbox"])
class MyMessage(MyView):
    """One of my messages."""

    @extend_schema(responses=MessageOut)
    def get(self, request: Request, message_id: UUID) -> Response:
        return Response(MessageOut(self.one(message_id)).data)

    @extend_schema(request=MessageChange, responses=MessageOut)
    def patch(self, request: Request, message_id: UUID) -> Response:
        """Change whether it is read or archived, or until when it is snoozed."""
        given, ids = self.valid(MessageChange), [self.one(message_id).id]
        if "read" in given:
            services.mark_read(self.user_id, ids=ids, read=given["read"])
        if "archived" in given:
            services.archive(self.user_id, ids=ids, archived=given["archived"])
        if "snoozed_until" in given:
            services.snooze(self.user_id, ids=ids, until=given["snoozed_until"])
        return Response(MessageOut(self.one(message_id)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, message_id: UUID) -> Response:
        services.delete(self.user_id, ids=[self.one(message_id).id])
        return Response(status=204)


@extend_schema(tags=["inbox"])
class MarkAsRead(MyView):
    """Messages marked as read: ``{"ids": […]}`` or ``{"all": true}``."""

    @extend_schema(request=IdsOrAllIn, responses=ChangedOut)
    def post(self, request: Request) -> Response:
        return self.changed(services.mark_read(self.user_id, ids=self.valid(IdsOrAllIn).get("ids")))


@extend_schema(tags=["inbox"])
class MarkAllRead(MyView):
    """All of my messages marked as read."""

    @extend_schema(request=None, responses=ChangedOut)
    def post(self, request: Request) -> Response:
        return self.changed(services.mark_read(self.user_id))


@extend_schema(tags=["inbox"])
class UnreadCount(MyView):
    """How many of my messages are unread. A stored counter: it costs the same however many there are."""

    @extend_schema(responses=UnreadOut)
    def get(self, request: Request) -> Response:
        unread = services.look(self.person).unread
        return Response({"unread": unread, "count": unread})


class _OneVerb(MyView):
    """A verb for one message, answered with the message. Whoever has no such message hears 404."""

    verb: Any

    def act(self, message_id: UUID) -> Response:
        self.verb(self.user_id, ids=[self.one(message_id).id])
        return Response(MessageOut(self.one(message_id)).data)


class _Patched(_OneVerb):
    @extend_schema(tags=["inbox"], request=None, responses=MessageOut)
    def patch(self, request: Request, message_id: UUID) -> Response:
        return self.act(message_id)


class _Posted(_OneVerb):
    @extend_schema(tags=["inbox"], request=None, responses=MessageOut)
    def post(self, request: Request, message_id: UUID) -> Response:
        return self.act(message_id)


class Read(_Patched):
    """One of my messages marked as read."""

    verb = staticmethod(services.mark_read)


class Unread(_Patched):
    """One of my messages marked as unread."""

    verb = staticmethod(partial(services.mark_read, read=False))


class Archive(_Posted):
    """One of my messages put into the archive."""

    verb = staticmethod(services.archive)


class Unarchive(_Posted):
    """One of my messages put back into the inbox."""

    verb = staticmethod(partial(services.archive, archived=False))


@extend_schema(tags=["inbox"])
class Snooze(MyView):
    """One of my messages hidden until a moment."""

    @extend_schema(request=SnoozeIn, responses=MessageOut)
    def post(self, request: Request, message_id: UUID) -> Response:
        until = self.valid(SnoozeIn)["until"]
        services.snooze(self.user_id, ids=[self.one(message_id).id], until=until)
        return Response(MessageOut(self.one(message_id)).data)
