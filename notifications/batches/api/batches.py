"""``/api/v1/services/notifications/send-batch``, ``send-chunk`` and ``batches``: many notifications in one call."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.batches import services
from notifications.batches.models import Batch, BatchStatus
from notifications.batches.services import MAX_CHUNK, MAX_ITEMS, BatchCall
from notifications.records.api import RecordFilter, RecordOut
from notifications.records.idempotency import Answer, answer_once, fingerprint_of
from notifications.records.models import NotificationRecord
from notifications.records.representation import for_lists
from notifications.records.states import Lane
from notifications.templates.named import ListedField, LocaleField
from tenants.api.fields import SmallObject
from tenants.api.pagination import Cursor
from tenants.api.views import TenantView
from tenants.permissions import Permission

#: What sets the fingerprints of these resources apart from those of others.
BATCH_DOOR, CHUNK_DOOR = "send-batch", "send-chunk"
_EXAMPLE = {
    "channel": "email",
    "content": {"subject": "Hi {{name}}", "body": "Dear {{name}}, your parcel is on its way."},
    "items": [
        {"recipient": "ada@example.com", "context": {"name": "Ada"}},
        {"recipient": "grace@example.com", "context": {"name": "Grace"}},
    ],
}
_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Repeat a request with the same key as often as you like: it is carried out once.",
)


class DefaultsIn(serializers.Serializer[Any]):
    """Fields that an item may have itself; here they are those of every item that has not."""

    channel = serializers.CharField(max_length=32, required=False)
    content = SmallObject(required=False, help_text="The words; their fields depend on the channel.")
    template = serializers.CharField(max_length=255, required=False, help_text="A template's key, instead of content.")
    context = SmallObject(required=False, help_text="Values for the placeholders; an item's own win.")  # type: ignore[assignment]
    metadata = SmallObject(required=False, help_text="Yours: kept with each notification, never sent.")
    locale = LocaleField(required=False)
    lane = ListedField("lane", choices=Lane.choices, required=False, help_text="Default: `normal`.")
    scheduled_at = serializers.DateTimeField(required=False)
    expires_at = serializers.DateTimeField(required=False)

    def call(self, items: list[Any]) -> BatchCall:
        """Return the call that the validated fields make."""
        shared = DefaultsIn().fields.keys()
        return BatchCall(items, {name: value for name, value in self.validated_data.items() if name in shared})


class BatchIn(DefaultsIn):
    items = serializers.ListField(
        child=serializers.JSONField(allow_null=True),
        min_length=1,
        max_length=MAX_ITEMS,
        help_text="Objects: `recipient` (or `email`, `phone`, `token`; `user_id` for in-app messages and for push to "
        "each of that person's devices), and any of the fields above.",
    )


class ChunkIn(DefaultsIn):
    batch_id = serializers.UUIDField(required=False, help_text="Which batch; a new one if not given.")
    chunk = serializers.IntegerField(min_value=0, max_value=2**31 - 1, help_text="A number that you use once.")
    final = serializers.BooleanField(required=False, help_text="Whether this is the last one: the batch is closed.")
    items = serializers.ListField(child=serializers.JSONField(allow_null=True), required=False, max_length=MAX_CHUNK)


class ItemErrorOut(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="Which item, counted from 0.")
    field = serializers.CharField(help_text="Which of its fields; empty if it is the item as a whole.")
    code = serializers.CharField()
    detail = serializers.CharField()


class SentOut(serializers.Serializer[Any]):
    batch_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=BatchStatus.choices)
    accepted = serializers.IntegerField(help_text="Items.")
    rejected = serializers.IntegerField(help_text="Items.")
    notifications = serializers.IntegerField(help_text="Records: a person with three devices makes three.")
    errors = ItemErrorOut(many=True)  # type: ignore[assignment]


class ChunkOut(SentOut):
    chunk = serializers.IntegerField()


class CountsOut(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    in_progress = serializers.IntegerField(help_text="Waiting, scheduled, being sent, or to be tried again.")
    success = serializers.IntegerField()
    failed = serializers.IntegerField()
    suppressed = serializers.IntegerField()
    cancelled = serializers.IntegerField()


class BatchOut(serializers.ModelSerializer[Batch]):
    counts = serializers.SerializerMethodField()
    completed = serializers.SerializerMethodField()

    class Meta:
        model = Batch
        fields = [
            "id",
            "source",
            "status",
            "completed",
            "held",
            "mode",
            "counts",
            "rejected",
            "created_by",
            "created_at",
            "closed_at",
            "cancelled_at",
        ]
        read_only_fields = fields

    @extend_schema_field(CountsOut)
    def get_counts(self, batch: Batch) -> dict[str, int]:
        """Records by state, exact."""
        names = ("total", "in_progress", "success", "failed", "suppressed", "cancelled")
        return {name: getattr(batch, name) for name in names}

    def get_completed(self, batch: Batch) -> bool:
        """Whether it takes no more and every record has its end."""
        return batch.status != BatchStatus.OPEN and not batch.in_progress


@extend_schema(tags=["batches"])
class SendBatch(TenantView):
    """Send up to 10,000 notifications at once: what is right is accepted, the rest is named by its place."""

    permissions = Permission.NOTIFICATIONS_WRITE

    @extend_schema(
        operation_id="services_notifications_send_batch",
        request=BatchIn,
        responses={201: SentOut},
        parameters=[_KEY],
        examples=[OpenApiExample("Two mails", value=_EXAMPLE, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        checked = BatchIn(data=request.data)
        checked.is_valid(raise_exception=True)
        call = checked.call(checked.validated_data["items"])

        def act() -> Answer:
            sent = services.send_batch(self.caller, call)
            body = {"batch_id": str(sent.batch.id), "status": str(sent.batch.status), **services.answer_of(sent)}
            return Answer(201, body)

        tenant_id, key = self.caller.required_tenant_id(), request.headers.get("Idempotency-Key")
        answer = answer_once(tenant_id, key, fingerprint_of(BATCH_DOOR, request.data) if key else b"", act)
        return _answered(answer.body, replayed=answer.replayed)


@extend_schema(tags=["batches"])
class SendChunk(TenantView):
    """Append a chunk to a batch, or open one with it. The same chunk again gets the same answer."""

    permissions = Permission.NOTIFICATIONS_WRITE

    @extend_schema(
        operation_id="services_notifications_send_chunk",
        request=ChunkIn,
        responses={201: ChunkOut},
        parameters=[_KEY],
        examples=[OpenApiExample("The first of several", value={**_EXAMPLE, "chunk": 1}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        checked = ChunkIn(data=request.data)
        checked.is_valid(raise_exception=True)
        data = checked.validated_data
        # Which batch it is for is no part of a chunk: the one that opened the batch could not name it yet.
        chunk = {name: value for name, value in dict(request.data).items() if name != "batch_id"}
        was_sent = False

        def act() -> Answer:
            nonlocal was_sent
            body, was_sent = services.send_chunk(
                self.caller,
                batch_id=data.get("batch_id"),
                number=data["chunk"],
                call=checked.call(data.get("items", [])),
                final=data.get("final", False),
                fingerprint=fingerprint_of(CHUNK_DOOR, chunk),
            )
            return Answer(201, body)

        tenant_id, key = self.caller.required_tenant_id(), request.headers.get("Idempotency-Key")
        answer = answer_once(tenant_id, key, fingerprint_of(CHUNK_DOOR, request.data) if key else b"", act)
        return _answered(answer.body, replayed=answer.replayed or was_sent)


@extend_schema(tags=["batches"])
class BatchList(TenantView):
    """The tenant's batches, newest first."""

    permissions = Permission.NOTIFICATIONS_READ

    @extend_schema(operation_id="services_notifications_batches_list", responses=BatchOut(many=True))
    def get(self, request: Request) -> Response:
        return self.paginated(Batch.objects.all(), BatchOut)


@extend_schema(tags=["batches"])
class BatchDetail(TenantView):
    """One batch and how far it is. Costs the same however many notifications it has."""

    permissions = Permission.NOTIFICATIONS_READ

    @extend_schema(operation_id="services_notifications_batches_retrieve", responses=BatchOut)
    def get(self, request: Request, batch_id: UUID) -> Response:
        return Response(BatchOut(services.get_batch(batch_id)).data)


@extend_schema(tags=["batches"])
class BatchNotifications(TenantView):
    """The notifications of a batch, newest first, by cursor."""

    permissions = Permission.NOTIFICATIONS_READ
    filterset_class = RecordFilter
    pagination_class = Cursor

    @extend_schema(
        operation_id="services_notifications_batches_notifications", responses=RecordOut(many=True), filters=True
    )
    def get(self, request: Request, batch_id: UUID) -> Response:
        batch = services.get_batch(batch_id)
        found = self.filtered(for_lists(NotificationRecord.objects.filter(batch_id=batch.id, deleted_at=None)))
        pages = Cursor()
        return pages.get_paginated_response(RecordOut(pages.paginate_queryset(found, request), many=True).data)


@extend_schema(tags=["batches"])
class BatchCancel(TenantView):
    """Send nothing more of a batch."""

    permissions = Permission.NOTIFICATIONS_WRITE

    @extend_schema(operation_id="services_notifications_batches_cancel", request=None, responses=BatchOut)
    def post(self, request: Request, batch_id: UUID) -> Response:
        return Response(BatchOut(services.cancel_batch(self.caller, batch_id)).data)


def _answered(body: Any, *, replayed: bool) -> Response:
    headers = {"Location": f"/api/v1/services/notifications/batches/{body['batch_id']}"}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(body, status=201, headers=headers)
