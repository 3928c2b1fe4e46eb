"""``/api/v1/notifications``: a tenant's messages, whosever they are, and its broadcasts."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

import django_filters
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notification_service.lib.errors import NotFound
from notifications.inbox import broadcasts, services, tasks
from notifications.inbox.api.messages import MessageFilter
from notifications.inbox.api.serializers import (
    BroadcastDetailOut,
    BroadcastIn,
    BroadcastOut,
    IdsIn,
    StatsOut,
    TenantMessageOut,
)
from notifications.inbox.broadcasts import person_of
from notifications.inbox.models import Broadcast, InboxMessage
from tenants import audit
from tenants.api.filters import TrueOrFalseFilter
from tenants.api.permissions import AnyOf
from tenants.api.views import TenantView
from tenants.permissions import Permission

_OWN_OR_READ = AnyOf({Permission.SELF, Permission.NOTIFICATIONS_READ})
_OWN_OR_WRITE = AnyOf({Permission.SELF, Permission.NOTIFICATIONS_WRITE})


class TenantMessageFilter(MessageFilter):
    user_id = django_filters.CharFilter()
    broadcast_id = django_filters.UUIDFilter()
    acknowledged = TrueOrFalseFilter(field_name="acknowledged_at", lookup_expr="isnull", exclude=True)


class _TenantMessagesView(TenantView):
    def rows(self, everybodys: Permission) -> QuerySet[InboxMessage]:
        """What the caller may see: everybody's messages with the permission, else their own."""
        if self.caller.may(everybodys):
            return services.visible()
        services.look(person_of(self.caller))
        return services.messages_of(self.caller.actor_id, snoozed=True)


@extend_schema(tags=["notifications"])
class TenantMessages(_TenantMessagesView):
    """The tenant's in-app messages for those who may read them; one's own for everybody else."""

    permissions = {"GET": _OWN_OR_READ, "DELETE": Permission.NOTIFICATIONS_WRITE}
    filterset_class = TenantMessageFilter

    @extend_schema(
        operation_id="tenant_notifications_list",
        filters=True,
        parameters=[OpenApiParameter("cursor", str), OpenApiParameter("page_size", int)],
        responses=TenantMessageOut(many=True),
    )
    def get(self, request: Request) -> Response:
        rows = self.rows(Permission.NOTIFICATIONS_READ)
        return self.paginated(self.filtered(rows), TenantMessageOut)

    @extend_schema(operation_id="tenant_notifications_delete_many", request=IdsIn, responses={200: None})
    def delete(self, request: Request) -> Response:
        """Delete messages, whosever they are."""
        deleted = services.delete_anybodys(self.valid(IdsIn)["ids"])
        audit.record(self.caller, "inbox_messages.deleted", "inbox_message", count=deleted)
        return Response({"deleted": deleted})


@extend_schema(tags=["notifications"])
class TenantMessage(_TenantMessagesView):
    """One in-app message of the tenant."""

    permissions = {"GET": _OWN_OR_READ, "DELETE": Permission.NOTIFICATIONS_WRITE}

    @extend_schema(operation_id="tenant_notifications_retrieve", responses=TenantMessageOut)
    def get(self, request: Request, message_id: UUID) -> Response:
        found = self.rows(Permission.NOTIFICATIONS_READ).filter(id=message_id).first()
        if found is None:
            raise NotFound
        return Response(TenantMessageOut(found).data)

    @extend_schema(operation_id="tenant_notifications_delete", responses={204: None})
    def delete(self, request: Request, message_id: UUID) -> Response:
        if not services.delete_anybodys([message_id]):
            raise NotFound
        audit.record(self.caller, "inbox_message.deleted", "inbox_message", message_id)
        return Response(status=204)


@extend_schema(tags=["notifications"])
class Acknowledge(_TenantMessagesView):
    """A message acknowledged by its owner, or for them by somebody who may write notifications."""

    permissions = {"PUT": _OWN_OR_WRITE, "POST": _OWN_OR_WRITE}

    @extend_schema(operation_id="tenant_notifications_acknowledge", request=None, responses=TenantMessageOut)
    def put(self, request: Request, message_id: UUID) -> Response:
        found = self.rows(Permission.NOTIFICATIONS_WRITE).filter(id=message_id).first()
        if found is None:
            raise NotFound
        services.acknowledge(found.user_id, ids=[found.id], by=self.caller.actor_label or self.caller.actor_id)
        return Response(TenantMessageOut(services.get_message(message_id)).data)

    @extend_schema(operation_id="tenant_notifications_acknowledge_post", request=None, responses=TenantMessageOut)
    def post(self, request: Request, message_id: UUID) -> Response:
        return self.put(request, message_id)


@extend_schema(tags=["notifications"])
class Stats(TenantView):
    """What is in the tenant's inboxes."""

    permissions = Permission.NOTIFICATIONS_READ

    @extend_schema(
        operation_id="tenant_notifications_stats",
        parameters=[OpenApiParameter("since", str, description="Only messages from then on (RFC 3339).")],
        responses=StatsOut,
    )
    def get(self, request: Request) -> Response:
        moment = serializers.DateTimeField(required=False)
        rows = services.visible().order_by()
        if since := request.query_params.get("since"):
            try:
                rows = rows.filter(created_at__gte=moment.run_validation(since))
            except serializers.ValidationError as error:
                raise serializers.ValidationError({"since": error.detail}) from None
        counted: dict[str, Any] = rows.aggregate(
            total=Count("id"),
            unread=Count("id", filter=Q(read_at=None, archived_at=None, snoozed_until=None)),
            read=Count("id", filter=Q(read_at__isnull=False)),
            acknowledged=Count("id", filter=Q(acknowledged_at__isnull=False)),
            archived=Count("id", filter=Q(archived_at__isnull=False)),
            people=Count("user_id", distinct=True),
        )
        frequent = rows.values_list("category").annotate(n=Count("id")).order_by("-n", "category")[:50]
        priorities = rows.values_list("priority").annotate(n=Count("id")).order_by("priority")
        return Response({**counted, "by_priority": dict(priorities), "by_category": dict(frequent)})


@extend_schema(tags=["broadcasts"])
class Broadcasts(TenantView):
    """Messages to everybody, to roles, or to a list of people."""

    permissions = {"GET": Permission.NOTIFICATIONS_READ, "POST": Permission.NOTIFICATIONS_WRITE}

    @extend_schema(operation_id="broadcasts_list", responses=BroadcastOut(many=True))
    def get(self, request: Request) -> Response:
        return self.paginated(Broadcast.objects.all(), BroadcastOut)

    @extend_schema(operation_id="broadcasts_create", request=BroadcastIn, responses={201: BroadcastOut})
    def post(self, request: Request) -> Response:
        """Write a broadcast. Who is connected has it at once, everybody else when they next look."""
        return Response(BroadcastOut(broadcasts.create(self.caller, **self.valid(BroadcastIn))).data, status=201)


@extend_schema(tags=["broadcasts"])
class BroadcastDetail(TenantView):
    """One broadcast."""

    permissions = {"GET": Permission.NOTIFICATIONS_READ, "DELETE": Permission.NOTIFICATIONS_WRITE}

    @extend_schema(operation_id="broadcasts_retrieve", responses=BroadcastDetailOut)
    def get(self, request: Request, broadcast_id: UUID) -> Response:
        found = broadcasts.get(broadcast_id)
        return Response({**BroadcastOut(found).data, **broadcasts.reception(found.id)})

    @extend_schema(operation_id="broadcasts_retract", responses={204: None})
    def delete(self, request: Request, broadcast_id: UUID) -> Response:
        """Take it back: nobody else gets it, and it leaves the inboxes that hold it."""
        found = broadcasts.mark_retracted(self.caller, broadcast_id)
        transaction.on_commit(partial(tasks.retract.delay, str(found.tenant_id), str(found.id)), robust=True)
        return Response(status=204)
