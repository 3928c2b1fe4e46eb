"""``POST /api/notifications/webhook/`` and the sources that may sign for it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from notification_service.lib.errors import NotAuthenticated, PermissionDenied
from notification_service.lib.scope import tenant_scope
from notifications.events import services, sources
from notifications.events.models import MAX_CLIENT_ID, EventSource
from notifications.records.states import Lane
from tenants.api.fields import JsonObject
from tenants.api.permissions import PUBLIC
from tenants.api.views import ServiceView, TenantView
from tenants.authentication import ApiKeyAuthentication, JwtAuthentication
from tenants.callers import Caller
from tenants.permissions import Permission

_EXAMPLE = {
    "tenant_id": "01a1f945-17a8-70a7-a3c8-1a9deeb10f4a",
    "channel": "sms",
    "recipient": "+353861234567",
    "content": {"body": "Your parcel {{number}} is here."},
    "context": {"number": "17"},
}
_HEADERS = [
    OpenApiParameter("X-Webhook-Source", str, OpenApiParameter.HEADER, description="Id of the source that signs."),
    OpenApiParameter("X-Webhook-Timestamp", str, OpenApiParameter.HEADER, description="Seconds since 1970."),
    OpenApiParameter(
        "X-Webhook-Signature",
        str,
        OpenApiParameter.HEADER,
        description="`sha256=` and HMAC-SHA256, in hex, of `<timestamp>.<body>` with the source's secret.",
    ),
]


class TriggerIn(serializers.Serializer[Any]):
    tenant_id = serializers.UUIDField(required=False, help_text="Must be the one whose key or source signs.")
    channel = serializers.CharField(max_length=32)
    recipient = serializers.CharField(max_length=2048)
    content = JsonObject()
    context = JsonObject(required=False)  # type: ignore[assignment]
    metadata = JsonObject(required=False)
    lane = serializers.ChoiceField(choices=Lane.choices, required=False)
    event_id = serializers.CharField(
        max_length=MAX_CLIENT_ID, required=False, help_text="Yours: the same is done once."
    )


class TriggerOut(serializers.Serializer[Any]):
    event_id = serializers.UUIDField()
    id = serializers.UUIDField(help_text="The notification's.")
    status = serializers.CharField()
    duplicate = serializers.BooleanField()


@extend_schema(tags=["events"])
class Webhook(ServiceView):
    """One message, asked for by an outside system: with an API key or token, or signed by a source."""

    permissions = PUBLIC

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Whoever signs shows nothing else; whoever does not is asked as everywhere."""
        if self.request is not None and "HTTP_X_WEBHOOK_SOURCE" in self.request.META:
            return []
        return [ApiKeyAuthentication(), JwtAuthentication()]

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        request.body  # noqa: B018 - the signature is of the bytes, which the parser would consume
        return super().initialize_request(request, *args, **kwargs)

    @extend_schema(
        operation_id="webhook_trigger",
        request=TriggerIn,
        responses={201: TriggerOut, 200: TriggerOut},
        parameters=_HEADERS,
        examples=[OpenApiExample("A text message", value=_EXAMPLE, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        caller, signature = self._who(request)
        valid = self.valid(TriggerIn)
        if valid.pop("tenant_id", None) not in (None, caller.tenant_id):
            raise PermissionDenied("You act for another tenant.", code="wrong_tenant")
        if signature:
            valid.setdefault("event_id", services.key_of_signature(signature))
        with tenant_scope(caller.required_tenant_id()):
            trigger = services.Trigger(**valid, source=caller.actor_label or "webhook")
            accepted = services.trigger(caller, trigger)
            record = services.records_of(accepted.event)
        answer = {
            "event_id": accepted.event.id,
            "id": record[0].id if record else None,
            "status": record[0].status if record else accepted.event.status,
            "duplicate": accepted.duplicate,
        }
        return Response(answer, status=200 if accepted.duplicate else 201)

    def _who(self, request: Request) -> tuple[Caller, str]:
        headers = request.headers
        if source := headers.get("X-Webhook-Source"):
            signature = headers.get("X-Webhook-Signature", "")
            timestamp = headers.get("X-Webhook-Timestamp", "")
            return sources.caller_of(source, timestamp, signature, request._request.body), signature
        caller = request.auth
        if not isinstance(caller, Caller):
            raise NotAuthenticated
        if not caller.may(Permission.NOTIFICATIONS_WRITE):
            raise PermissionDenied
        return caller, ""


class SourceIn(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)


class SourceChange(serializers.Serializer[Any]):
    enabled = serializers.BooleanField(required=False)
    rotate_secret = serializers.BooleanField(required=False, help_text="Give it a new secret; the old one is void.")


class SourceOut(serializers.ModelSerializer[EventSource]):
    class Meta:
        model = EventSource
        fields = ["id", "name", "enabled", "created_by", "created_at", "last_used_at"]
        read_only_fields = fields


class SourceWithSecret(SourceOut):
    secret = serializers.CharField(allow_null=True, help_text="Shown when it is made, and never again.")

    class Meta(SourceOut.Meta):
        fields = [*SourceOut.Meta.fields, "secret"]
        read_only_fields = fields


@extend_schema(tags=["events"])
class SourceList(TenantView):
    """Systems that may call the webhook with a signature."""

    permissions = Permission.WEBHOOKS_MANAGE

    @extend_schema(operation_id="events_sources_list", responses=SourceOut(many=True))
    def get(self, request: Request) -> Response:
        return self.paginated(sources.list_sources(), SourceOut)

    @extend_schema(operation_id="events_sources_create", request=SourceIn, responses={201: SourceWithSecret})
    def post(self, request: Request) -> Response:
        source, secret = sources.create_source(self.caller, self.valid(SourceIn)["name"])
        return Response({**SourceOut(source).data, "secret": secret}, status=201)


@extend_schema(tags=["events"])
class SourceDetail(TenantView):
    """One source."""

    permissions = Permission.WEBHOOKS_MANAGE

    @extend_schema(operation_id="events_sources_retrieve", responses=SourceOut)
    def get(self, request: Request, source_id: UUID) -> Response:
        return Response(SourceOut(sources.get_source(source_id)).data)

    @extend_schema(operation_id="events_sources_update", request=SourceChange, responses=SourceWithSecret)
    def patch(self, request: Request, source_id: UUID) -> Response:
        valid = self.valid(SourceChange)
        source, secret = sources.change_source(
            self.caller, source_id, enabled=valid.get("enabled"), rotate=valid.get("rotate_secret", False)
        )
        return Response({**SourceOut(source).data, "secret": secret})

    @extend_schema(operation_id="events_sources_delete", responses={204: None})
    def delete(self, request: Request, source_id: UUID) -> Response:
        sources.delete_source(self.caller, source_id)
        return Response(status=204)
