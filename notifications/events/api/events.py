"""``/api/v1/events``: send events, one or a thousand; see what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import django_filters
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notification_service.lib.errors import InvalidInput, ServiceError
from notifications.events import services
from notifications.events.intake import Accepted
from notifications.events.models import MAX_CLIENT_ID, MAX_TYPE, Event, EventStatus
from notifications.events.shapes import NewEvent, user_of
from notifications.records.api import RecordOut
from tenants.api.fields import JsonObject
from tenants.api.views import TenantView
from tenants.permissions import Permission

_EXAMPLE = {
    "type": "task.assigned",
    "clientEventId": "task-9-assigned",
    "payload": {"user_id": "crm-17", "email": "ada@example.com", "name": "Ada", "title": "Prepare the offer"},
    "timestamp": "2026-12-03T10:30:00Z",
}
#: Names of the specification and those of Kafka mean the same.
_ALIASES = {
    "event_type": "type",
    "eventType": "type",
    "client_event_id": "clientEventId",
    "event_id": "clientEventId",
    "user_id": "userId",
    "caused_by": "causedBy",
}


class EventIn(serializers.Serializer[Any]):
    type = serializers.CharField(max_length=MAX_TYPE, help_text="For example `task.assigned`; see the catalogue.")
    payload = JsonObject(required=False, help_text="What happened. Fields that are secret are never stored in clear.")
    clientEventId = serializers.CharField(
        max_length=MAX_CLIENT_ID,
        required=False,
        allow_null=True,
        help_text="Your id: the same event sent twice is one event. Also `client_event_id`.",
    )
    timestamp = serializers.DateTimeField(required=False, allow_null=True, help_text="When it happened.")
    source = serializers.CharField(max_length=100, required=False, allow_blank=True, help_text="Which system says so.")  # type: ignore[assignment]
    userId = serializers.CharField(
        max_length=255, required=False, allow_blank=True, help_text="Whom it is about; else `userId` of the payload."
    )
    metadata = JsonObject(required=False)
    causedBy = serializers.UUIDField(
        required=False, allow_null=True, help_text="The event or notification of ours that led to it, if one did."
    )

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            data = {_ALIASES.get(name, name): value for name, value in data.items()}
        return super().to_internal_value(data)


class EventBatchIn(serializers.Serializer[Any]):
    # Whatever an item is, it is its own matter: a wrong one does not keep the others out.
    events = serializers.ListField(
        child=serializers.JSONField(allow_null=True), min_length=1, max_length=services.MAX_BATCH
    )


class EventOut(serializers.ModelSerializer[Event]):
    clientEventId = serializers.CharField(source="client_event_id", allow_null=True)
    timestamp = serializers.DateTimeField(source="client_timestamp", allow_null=True)
    receivedAt = serializers.DateTimeField(source="received_at")
    processedAt = serializers.DateTimeField(source="processed_at", allow_null=True)

    class Meta:
        model = Event
        fields = [
            "id",
            "type",
            "status",
            "detail",
            "clientEventId",
            "source",
            "user_id",
            "mode",
            "timestamp",
            "receivedAt",
            "processedAt",
        ]
        read_only_fields = fields


class ReactionOut(serializers.Serializer[Any]):
    by = serializers.CharField(help_text="`catalogue`, `webhook`, `loop_guard`, `user_service`, or the name of a rule.")
    rule_id = serializers.UUIDField(required=False)
    matched = serializers.BooleanField()
    why = serializers.CharField()
    records = serializers.ListField(child=serializers.DictField(), help_text="What it made.")
    skipped = serializers.ListField(child=serializers.DictField(), help_text="Where it could make nothing, and why.")


class EventDetailOut(EventOut):
    reactions = ReactionOut(many=True)
    notifications = serializers.SerializerMethodField()

    class Meta(EventOut.Meta):
        fields = [*EventOut.Meta.fields, "payload", "metadata", "reactions", "notifications"]
        read_only_fields = fields

    def get_notifications(self, event: Event) -> list[dict[str, Any]]:
        """The records that came of it, as they stand now."""
        return list(RecordOut(services.records_of(event), many=True).data)


class EventAccepted(EventOut):
    duplicate = serializers.BooleanField()

    class Meta(EventOut.Meta):
        fields = [*EventOut.Meta.fields, "duplicate"]
        read_only_fields = fields


class BatchItemOut(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    status = serializers.ChoiceField(choices=["accepted", "duplicate", "refused"])
    event = EventOut(allow_null=True)
    code = serializers.CharField(required=False)
    detail = serializers.CharField(required=False)
    errors = serializers.DictField(required=False)  # type: ignore[assignment]


class EventBatchOut(serializers.Serializer[Any]):
    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = BatchItemOut(many=True)


class EventFilter(django_filters.FilterSet):  # type: ignore[misc]
    """``?type=task.assigned&status=processed&client_event_id=…&user_id=…``."""

    type = django_filters.CharFilter()
    status = django_filters.ChoiceFilter(choices=EventStatus.choices)
    client_event_id = django_filters.CharFilter()
    user_id = django_filters.CharFilter()
    source = django_filters.CharFilter()
    received_after = django_filters.IsoDateTimeFilter(field_name="received_at", lookup_expr="gte")
    received_before = django_filters.IsoDateTimeFilter(field_name="received_at", lookup_expr="lt")

    class Meta:
        model = Event
        fields: list[str] = []


@extend_schema(tags=["events"])
class EventList(TenantView):
    """Events: what happened at the tenant's."""

    permissions = {"GET": Permission.EVENTS_READ, "POST": Permission.EVENTS_WRITE}
    filterset_class = EventFilter

    @extend_schema(operation_id="events_list", responses=EventOut(many=True), filters=True)
    def get(self, request: Request) -> Response:
        return self.paginated(self.filtered(Event.objects.all()), EventOut)

    @extend_schema(
        operation_id="events_create",
        request=EventIn,
        responses={201: EventAccepted, 200: EventAccepted},
        examples=[OpenApiExample("A task was assigned", value=_EXAMPLE, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Accept an event (201); one that came before is answered with what it is by now (200)."""
        accepted = services.submit(self.caller, new_event(self.valid(EventIn)))
        return Response(accepted_out(accepted), status=200 if accepted.duplicate else 201)


@extend_schema(tags=["events"])
class EventBatch(TenantView):
    """Up to 1,000 events in one call, each on its own merits."""

    permissions = Permission.EVENTS_WRITE

    @extend_schema(
        operation_id="events_batch",
        request=EventBatchIn,
        responses={
            200: EventBatchOut,
        },
        examples=[OpenApiExample("Two events", value={"events": [_EXAMPLE, _EXAMPLE]}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        items = request.data if isinstance(request.data, list) else self.valid(EventBatchIn)["events"]
        if not 1 <= len(items) <= services.MAX_BATCH:
            message = f"Has {len(items)} events; 1 to {services.MAX_BATCH} are allowed."
            raise InvalidInput.at("events", message)
        results = services.submit_batch(self.caller, [_read(item) for item in items])
        shown = [_item(index, result) for index, result in enumerate(results)]
        counted = [each["status"] for each in shown]
        return Response(
            {
                "accepted": counted.count("accepted"),
                "duplicates": counted.count("duplicate"),
                "refused": counted.count("refused"),
                "results": shown,
            }
        )


@extend_schema(tags=["events"])
class EventDetail(TenantView):
    """One event: its status, which rules matched and why, and what came of it."""

    permissions = Permission.EVENTS_READ

    @extend_schema(operation_id="events_retrieve", responses=EventDetailOut)
    def get(self, request: Request, event_id: UUID) -> Response:
        return Response(EventDetailOut(services.get_event(event_id)).data)


def new_event(valid: Mapping[str, Any]) -> NewEvent:
    """Return the event that validated fields describe."""
    payload = valid.get("payload") or {}
    return NewEvent(
        type=valid["type"],
        payload=payload,
        metadata=valid.get("metadata") or {},
        user_id=valid.get("userId") or user_of(payload),
        source=valid.get("source") or "api",
        client_event_id=valid.get("clientEventId") or None,
        timestamp=valid.get("timestamp"),
        caused_by=valid.get("causedBy"),
    )


def accepted_out(accepted: Accepted) -> dict[str, Any]:
    """Return the answer to whoever sent an event."""
    return {**EventOut(accepted.row).data, "duplicate": accepted.duplicate}


def _read(item: Any) -> NewEvent | ServiceError:
    checked = EventIn(data=item)
    if checked.is_valid():
        return new_event(checked.validated_data)
    errors = {name: [str(each) for each in _flat(messages)] for name, messages in checked.errors.items()}
    where, messages = next(iter(errors.items()))
    return InvalidInput(f"{where}: {messages[0]}", errors=errors)


def _flat(messages: Any) -> list[Any]:
    if isinstance(messages, Mapping):
        return [each for inner in messages.values() for each in _flat(inner)]
    return list(messages) if isinstance(messages, list | tuple) else [messages]


def _item(index: int, result: Accepted | ServiceError) -> dict[str, Any]:
    if isinstance(result, ServiceError):
        refusal = {"code": result.error_code, "detail": result.message, "errors": result.errors}
        return {"index": index, "status": "refused", "event": None, **refusal}
    status = "duplicate" if result.duplicate else "accepted"
    return {"index": index, "status": status, "event": EventOut(result.row).data}
