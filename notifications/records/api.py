"""``/api/notifications/records/``: shape in, one service call, shape out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.channels.registry import channels
from notifications.providers.base import FailureReason
from notifications.recipients.models import MAX_ADDRESS
from notifications.records import services
from notifications.records.door import DOOR
from notifications.records.idempotency import Answer, answer_once, fingerprint_of
from notifications.records.intake import NewRecord, accept
from notifications.records.models import NotificationRecord
from notifications.records.representation import for_lists, represent
from notifications.records.roster import address_person
from notifications.records.states import DeliveryState, Lane, Status
from notifications.templates.named import ListedField, LocaleField
from tenants import limits
from tenants.api.fields import JsonObject, SmallObject
from tenants.api.permissions import reading_and_writing
from tenants.api.views import TenantView
from tenants.permissions import Permission

_EXAMPLE = {
    "channel": "email",
    "recipient": "ada@example.com",
    "content": {"subject": "Hi {{name}}", "body": "<p>Welcome, {{name}}.</p>"},
    "context": {"name": "Ada"},
}


class WordsIn(serializers.Serializer[Any]):
    """What says something: with a content or a template, and not both."""

    def to_internal_value(self, data: Any) -> Any:
        given = [name for name in ("content", "template") if isinstance(data, Mapping) and name in data]
        errors: dict[str, Any] = {}
        if len(given) == 2:
            errors["template"] = ["Give either content or a template, not both."]
        if not given and not self.partial:
            errors["content"] = ["This field is required, or else a template."]
        try:
            value = super().to_internal_value(data)
        except serializers.ValidationError as error:
            raise serializers.ValidationError({**errors, **_fields(error)}) from None
        if errors:
            raise serializers.ValidationError(errors)
        return value


def _fields(error: serializers.ValidationError) -> dict[str, Any]:
    return error.detail if isinstance(error.detail, dict) else {"non_field_errors": error.detail}


class RecordIn(WordsIn):
    channel = serializers.CharField(max_length=32, help_text="`email`")
    recipient = serializers.CharField(
        max_length=MAX_ADDRESS, required=False, help_text="An address of the channel; needed if there is no `user_id`."
    )
    user_id = serializers.CharField(
        max_length=255,
        required=False,
        allow_blank=True,
        help_text="The person: their preferences count, and their address is taken if there is no `recipient`.",
    )
    content = JsonObject(required=False, help_text="The words; their fields depend on the channel.")
    template = serializers.CharField(
        max_length=100, required=False, help_text="Instead of content: a template's slug or id."
    )
    locale = LocaleField(
        required=False, allow_blank=True, help_text="Language of the template's words, such as `pt-BR`."
    )
    context = SmallObject(required=False, help_text="Values for the placeholders `{{ name }}`.")  # type: ignore[assignment]
    metadata = SmallObject(required=False, help_text="Yours: kept and returned, never sent.")
    lane = ListedField("lane", choices=Lane.choices, required=False)
    scheduled_at = serializers.DateTimeField(required=False, allow_null=True)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)

    def to_internal_value(self, data: Any) -> Any:
        by_name = "user_id" in self.fields and isinstance(data, Mapping) and bool(data.get("user_id"))
        self.fields["recipient"].required = not by_name
        return super().to_internal_value(data)


class RecordChange(RecordIn):
    """What may change while nobody has begun to send: all but the channel and the person."""

    channel = None  # type: ignore[assignment]
    user_id = None  # type: ignore[assignment]


class TemplateVersionOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    slug = serializers.CharField()
    number = serializers.IntegerField()


class RecordOut(serializers.ModelSerializer[NotificationRecord]):
    tenant_id = serializers.UUIDField(read_only=True)  # as text: the answer is kept for its idempotency key
    failure_reason = serializers.SerializerMethodField()
    next_attempt_at = serializers.SerializerMethodField()
    template = serializers.SerializerMethodField()
    template_version = serializers.SerializerMethodField()

    class Meta:
        model = NotificationRecord
        fields = [
            "id",
            "tenant_id",
            "channel",
            "recipient",
            "user_id",
            "content",
            "context",
            "template",
            "template_version",
            "locale",
            "metadata",
            "lane",
            "mode",
            "status",
            "delivery_state",
            "failure_reason",
            "provider",
            "provider_response",
            "provider_message_id",
            "credential_id",
            "segments",
            "encoding",
            "price",
            "price_currency",
            "attempt_count",
            "retry_count",
            "max_retries",
            "next_attempt_at",
            "scheduled_at",
            "expires_at",
            "sent_at",
            "resend_of",
            "created_by",
            "created_at",
            "updated_at",
        ]

    def to_representation(self, instance: NotificationRecord) -> dict[str, Any]:
        return represent(instance)

    def get_failure_reason(self, record: NotificationRecord) -> str | None:
        """Why the last attempt failed, or null."""

    def get_template(self, record: NotificationRecord) -> str | None:
        """Slug of the template, or null if the record has content of its own."""

    @extend_schema_field(TemplateVersionOut(allow_null=True))
    def get_template_version(self, record: NotificationRecord) -> dict[str, Any] | None:
        """The version that it was accepted with."""

    def get_next_attempt_at(self, record: NotificationRecord) -> datetime | None:
        """When it is tried next, or null when nothing more happens by itself."""


class TimelineStep(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    event = serializers.CharField()
    status = serializers.CharField(required=False)


class TimelineOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    status = serializers.CharField()
    timeline = TimelineStep(many=True, help_text="In order; steps carry further fields by their event.")


class RecordFilter(django_filters.FilterSet):  # type: ignore[misc]
    """``?status=failed,retrying&channel=email&created_after=…&search=ada``."""

    status = django_filters.CharFilter(method="any_of", help_text="One or several, separated by commas.")
    channel = django_filters.CharFilter(method="any_of")
    failure_reason = django_filters.CharFilter(method="any_of")
    lane = django_filters.CharFilter(method="any_of")
    delivery_state = django_filters.CharFilter(method="any_of")
    mode = django_filters.CharFilter(method="any_of")
    recipient = django_filters.CharFilter(lookup_expr="iexact")
    search = django_filters.CharFilter(field_name="recipient", lookup_expr="icontains")
    created_after = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")
    sent_after = django_filters.IsoDateTimeFilter(field_name="sent_at", lookup_expr="gte")
    sent_before = django_filters.IsoDateTimeFilter(field_name="sent_at", lookup_expr="lt")
    ordering = django_filters.OrderingFilter(
        fields=[(name, name) for name in ("created_at", "updated_at", "sent_at", "recipient", "status")]
    )

    class Meta:
        model = NotificationRecord
        fields: list[str] = []

    _KNOWN = {
        "status": Status.values,
        "lane": Lane.values,
        "failure_reason": [str(reason) for reason in FailureReason],
        "delivery_state": DeliveryState.values,
        "mode": ["live", "test"],
    }

    def any_of(self, rows: QuerySet[NotificationRecord], name: str, value: str) -> QuerySet[NotificationRecord]:
        wanted = [part.strip().lower() for part in value.split(",") if part.strip()]
        known = channels.keys() if name == "channel" else self._KNOWN.get(name)
        for part in wanted:
            if known is not None and part not in known:
                raise serializers.ValidationError({name: [f"Unknown value {part!r}; known: {', '.join(known)}."]})
        return rows.filter(**{f"{name}__in": wanted})


_PERMISSIONS = reading_and_writing(Permission.NOTIFICATIONS_READ, Permission.NOTIFICATIONS_WRITE)


@extend_schema(tags=["records"])
class RecordList(TenantView):
    """The tenant's notification records."""

    permissions = _PERMISSIONS
    filterset_class = RecordFilter

    @extend_schema(operation_id="records_list", responses=RecordOut(many=True), filters=True)
    def get(self, request: Request) -> Response:
        rows = for_lists(NotificationRecord.objects.filter(deleted_at=None))
        found = self.filtered(rows)
        # The id makes the order total, so that rows that are alike stay on their page.
        return self.paginated(found.order_by(*found.query.order_by, "-id"), RecordOut)

    @extend_schema(
        operation_id="records_create",
        request=RecordIn,
        responses={201: RecordOut},
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                str,
                OpenApiParameter.HEADER,
                description="Repeat a request with the same key as often as you like: it is carried out once.",
            )
        ],
        examples=[OpenApiExample("An email", value=_EXAMPLE, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        data = self.valid(RecordIn)

        def act() -> Answer:
            return Answer(201, RecordOut(accept(self.caller, NewRecord(**address_person(data)))).data)

        tenant_id, key = self.caller.required_tenant_id(), request.headers.get("Idempotency-Key")
        limits.admit(tenant_id, self.caller.mode)
        answer = answer_once(tenant_id, key, fingerprint_of(DOOR, request.data), act)
        headers = {"Idempotent-Replayed": "true"} if answer.replayed else {}
        headers["Location"] = f"/api/notifications/records/{answer.body['id']}/"
        return Response(answer.body, status=answer.status, headers=headers)


@extend_schema(tags=["records"])
class RecordDetail(TenantView):
    """One record."""

    permissions = _PERMISSIONS

    @extend_schema(operation_id="records_retrieve", responses=RecordOut)
    def get(self, request: Request, record_id: UUID) -> Response:
        return Response(RecordOut(services.get_record(record_id)).data)

    @extend_schema(operation_id="records_replace", request=RecordChange, responses=RecordOut)
    def put(self, request: Request, record_id: UUID) -> Response:
        data = self.valid(RecordChange)
        # What is not given goes back to what a new record would have.
        defaults: dict[str, Any] = {
            "context": {},
            "locale": "",
            "metadata": {},
            "lane": Lane.NORMAL,
            "scheduled_at": None,
            "expires_at": None,
        }
        return Response(RecordOut(services.edit_record(self.caller, record_id, {**defaults, **data})).data)

    @extend_schema(operation_id="records_update", request=RecordChange(partial=True), responses=RecordOut)
    def patch(self, request: Request, record_id: UUID) -> Response:
        changes = self.valid(RecordChange, partial=True)
        return Response(RecordOut(services.edit_record(self.caller, record_id, changes)).data)

    @extend_schema(operation_id="records_delete", responses={204: None})
    def delete(self, request: Request, record_id: UUID) -> Response:
        services.delete_record(self.caller, record_id)
        return Response(status=204)


@extend_schema(tags=["records"])
class RecordCancel(TenantView):
    """Cancel a record that waits."""

    permissions = Permission.NOTIFICATIONS_WRITE

    @extend_schema(operation_id="records_cancel", request=None, responses=RecordOut)
    def post(self, request: Request, record_id: UUID) -> Response:
        return Response(RecordOut(services.cancel_record(self.caller, record_id)).data)


@extend_schema(tags=["records"])
class RecordResend(TenantView):
    """Send a record that has its end once more, as a new record."""

    permissions = Permission.NOTIFICATIONS_WRITE

    @extend_schema(operation_id="records_resend", request=None, responses={201: RecordOut})
    def post(self, request: Request, record_id: UUID) -> Response:
        return Response(RecordOut(services.resend_record(self.caller, record_id)).data, status=201)


@extend_schema(tags=["records"])
class RecordTimeline(TenantView):
    """Everything that happened to a record, in order."""

    permissions = Permission.NOTIFICATIONS_READ

    @extend_schema(operation_id="records_timeline", responses=TimelineOut)
    def get(self, request: Request, record_id: UUID) -> Response:
        record = services.get_record(record_id)
        return Response({"id": record.id, "status": record.status, "timeline": services.timeline(record)})
