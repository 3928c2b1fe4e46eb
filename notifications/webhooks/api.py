"""``/api/v1/webhooks/…`` and the simple door ``/api/v1/projects/me/webhook``."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import django_filters
import orjson
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.webhooks import services
from notifications.webhooks.event_types import EVENT_TYPES
from notifications.webhooks.models import MAX_URL, DeliveryStatus, OrderedBy, WebhookDelivery, WebhookEndpoint
from tenants.api.views import TenantView
from tenants.permissions import Permission

_SECRET = "Your own (`whsec_` and 24 to 64 bytes in base64) instead of a new one."  # noqa: S105 - a help text
_EXAMPLE = {"url": "https://crm.example.com/webhooks", "event_types": ["notification.failed"]}


class EndpointChange(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=MAX_URL)
    description = serializers.CharField(max_length=255, allow_blank=True, required=False)
    event_types = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, help_text="Empty or left out: everything."
    )
    ordered = serializers.BooleanField(
        required=False, help_text="Events about the same thing one after the other; a failing one holds up the rest."
    )
    ordered_by = serializers.ChoiceField(
        choices=OrderedBy.choices,
        required=False,
        help_text="What `ordered` is about: events about the same thing (`key`, the default), or all (`endpoint`).",
    )
    legacy_header = serializers.CharField(
        max_length=64,
        allow_blank=True,
        required=False,
        help_text="A further header, such as `X-Webhook-Signature`, with `sha256=` and the body's HMAC in hex.",
    )
    enabled = serializers.BooleanField(required=False)


class EndpointIn(EndpointChange):
    scheme = serializers.ChoiceField(
        choices=["v1", "v1a"], required=False, help_text="`v1` HMAC-SHA256 (default), `v1a` ed25519."
    )
    secret = serializers.CharField(max_length=128, required=False, help_text=_SECRET)


class ProjectWebhookIn(EndpointChange):
    secret = serializers.CharField(max_length=128, required=False, help_text=_SECRET)


class EndpointOut(serializers.ModelSerializer[WebhookEndpoint]):
    scheme = serializers.SerializerMethodField()
    secret = serializers.SerializerMethodField()
    paused_until = serializers.DateTimeField(
        read_only=True,
        allow_null=True,
        help_text="Nobody calls it before: it asked for that (`Retry-After`), or failed too often in a row.",
    )

    class Meta:
        model = WebhookEndpoint
        fields = [
            "id",
            "url",
            "description",
            "event_types",
            "ordered",
            "ordered_by",
            "legacy_header",
            "is_default",
            "scheme",
            "secret",
            "previous_secret_until",
            "enabled",
            "disabled_reason",
            "failures",
            "paused_until",
            "failing_since",
            "last_success_at",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields

    def get_scheme(self, endpoint: WebhookEndpoint) -> str:
        """How deliveries are signed."""
        return services.endpoint_scheme(endpoint)

    def get_secret(self, endpoint: WebhookEndpoint) -> str:
        """Masked, but in the answer that made it; of `v1a` the public key (`whpk_…`)."""
        return services.masked_secret(endpoint)


class RotateIn(serializers.Serializer[Any]):
    secret = serializers.CharField(max_length=128, required=False, help_text=_SECRET)
    overlap_hours = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=services.MAX_OVERLAP_HOURS,
        help_text="For how long the old secret signs too (default 24).",
    )


class ReplayIn(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField(required=False)
    statuses = serializers.ListField(
        child=serializers.ChoiceField(choices=["failed", "cancelled", "delivered"]),
        required=False,
        help_text="Default: failed and cancelled.",
    )
    event_types = serializers.ListField(child=serializers.CharField(max_length=64), required=False)


class ReplayOut(serializers.Serializer[Any]):
    replayed = serializers.IntegerField(help_text=f"At most {services.MAX_REPLAY} at once: then call again.")


class DeliveryBrief(serializers.ModelSerializer[WebhookDelivery]):
    webhook_id = serializers.CharField(read_only=True)
    endpoint_id = serializers.UUIDField(read_only=True)

    class Meta:
        model = WebhookDelivery
        fields = [
            "id",
            "webhook_id",
            "endpoint_id",
            "event_type",
            "key",
            "status",
            "attempts",
            "due_at",
            "response_status",
            "duration_ms",
            "error",
            "created_at",
            "delivered_at",
            "replayed_at",
        ]
        read_only_fields = fields


class DeliveryRequest(serializers.Serializer[Any]):
    url = serializers.CharField()
    headers = serializers.DictField(child=serializers.CharField())
    body = serializers.DictField()


class DeliveryResponse(serializers.Serializer[Any]):
    status = serializers.IntegerField(allow_null=True)
    body = serializers.CharField(help_text="At most 20,000 bytes of it.")
    duration_ms = serializers.IntegerField(allow_null=True)


class DeliveryAttempt(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    at = serializers.DateTimeField()
    duration_ms = serializers.IntegerField()
    status = serializers.IntegerField(allow_null=True)
    error = serializers.CharField()


class DeliveryOut(DeliveryBrief):
    request = serializers.SerializerMethodField()
    response = serializers.SerializerMethodField()
    attempt_log = DeliveryAttempt(
        source="log", many=True, read_only=True, help_text="Of more than 100 the first and the latest."
    )

    class Meta(DeliveryBrief.Meta):
        fields = [*DeliveryBrief.Meta.fields, "request", "response", "attempt_log"]
        read_only_fields = fields

    @extend_schema_field(DeliveryRequest)
    def get_request(self, delivery: WebhookDelivery) -> dict[str, Any]:
        """What is sent; timestamp and signature are made anew for each attempt."""
        headers = {"Content-Type": "application/json", "webhook-id": delivery.webhook_id}
        return {"url": delivery.endpoint.url, "headers": headers, "body": orjson.loads(delivery.body)}

    @extend_schema_field(DeliveryResponse)
    def get_response(self, delivery: WebhookDelivery) -> dict[str, Any]:
        """The latest answer."""
        return {
            "status": delivery.response_status,
            "body": delivery.response_body,
            "duration_ms": delivery.duration_ms,
        }


class DeliveryFilter(django_filters.FilterSet):  # type: ignore[misc]
    """``?endpoint_id=…&status=failed&event_type=notification.failed&created_after=…``."""

    endpoint_id = django_filters.UUIDFilter()
    status = django_filters.ChoiceFilter(choices=DeliveryStatus.choices)
    event_type = django_filters.CharFilter()
    key = django_filters.CharFilter()
    created_after = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = WebhookDelivery
        fields: list[str] = []


class EventTypeOut(serializers.Serializer[Any]):
    type = serializers.CharField()
    description = serializers.CharField()


def _shown(made: services.Made) -> dict[str, Any]:
    """Return an endpoint with its secret, if this is the one time."""
    body = dict(EndpointOut(made.endpoint).data)
    return {**body, "secret": made.secret} if made.secret else body


@extend_schema(tags=["webhooks"])
class EventTypes(TenantView):
    """What endpoints can ask for."""

    permissions = Permission.WEBHOOKS_MANAGE

    @extend_schema(operation_id="webhook_event_types_list", responses=EventTypeOut(many=True))
    def get(self, request: Request) -> Response:
        return Response([{"type": name, "description": text} for name, text in EVENT_TYPES.items()])


@extend_schema(tags=["webhooks"])
class EndpointList(TenantView):
    """The tenant's endpoints."""

    permissions = Permission.WEBHOOKS_MANAGE

    @extend_schema(operation_id="webhook_endpoints_list", responses=EndpointOut(many=True))
    def get(self, request: Request) -> Response:
        return self.paginated(services.list_endpoints(), EndpointOut)

    @extend_schema(
        operation_id="webhook_endpoints_create",
        request=EndpointIn,
        responses={201: EndpointOut},
        examples=[OpenApiExample("Failures", value=_EXAMPLE, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        return Response(_shown(services.create_endpoint(self.caller, **self.valid(EndpointIn))), status=201)


@extend_schema(tags=["webhooks"])
class EndpointDetail(TenantView):
    """One endpoint."""

    permissions = Permission.WEBHOOKS_MANAGE

    @extend_schema(operation_id="webhook_endpoints_retrieve", responses=EndpointOut)
    def get(self, request: Request, endpoint_id: UUID) -> Response:
        return Response(EndpointOut(services.get_endpoint(endpoint_id)).data)

    @extend_schema(operation_id="webhook_endpoints_update", request=EndpointChange, responses=EndpointOut)
    def patch(self, request: Request, endpoint_id: UUID) -> Response:
        changes = self.valid(EndpointChange, partial=True)
        return Response(EndpointOut(services.change_endpoint(self.caller, endpoint_id, **changes)).data)

    @extend_schema(operation_id="webhook_endpoints_delete", responses={204: None})
    def delete(self, request: Request, endpoint_id: UUID) -> Response:
        services.delete_endpoint(self.caller, endpoint_id)
        return Response(status=204)


@extend_schema(tags=["webhooks"])
class EndpointRotate(TenantView):
    """A new secret; for a while the old one signs too."""

    permissions = Permission.WEBHOOKS_MANAGE

    @extend_schema(operation_id="webhook_endpoints_rotate_secret", request=RotateIn, responses=EndpointOut)
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        return Response(_shown(services.rotate_secret(self.caller, endpoint_id, **self.valid(RotateIn))))


@extend_schema(tags=["webhooks"])
class EndpointTest(TenantView):
    """Send `webhook.test` to an endpoint."""

    permissions = Permission.WEBHOOKS_MANAGE

    @extend_schema(operation_id="webhook_endpoints_test", request=None, responses={202: DeliveryOut})
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        delivery = services.send_test(self.caller, endpoint_id)
        return Response(DeliveryOut(services.get_delivery(delivery.id)).data, status=202)


@extend_schema(tags=["webhooks"])
class EndpointReplay(TenantView):
    """Make an endpoint's deliveries of a time once more."""

    permissions = Permission.WEBHOOKS_MANAGE

    @extend_schema(operation_id="webhook_endpoints_replay", request=ReplayIn, responses={202: ReplayOut})
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        count = services.replay_between(self.caller, endpoint_id=endpoint_id, **self.valid(ReplayIn))
        return Response({"replayed": count}, status=202)


@extend_schema(tags=["webhooks"])
class DeliveryList(TenantView):
    """What endpoints were told."""

    permissions = Permission.WEBHOOKS_MANAGE
    filterset_class = DeliveryFilter

    @extend_schema(operation_id="webhook_deliveries_list", responses=DeliveryBrief(many=True), filters=True)
    def get(self, request: Request) -> Response:
        return self.paginated(self.filtered(services.list_deliveries()), DeliveryBrief)


@extend_schema(tags=["webhooks"])
class DeliveryDetail(TenantView):
    """One delivery: request, latest response, and all attempts with their timing."""

    permissions = Permission.WEBHOOKS_MANAGE

    @extend_schema(operation_id="webhook_deliveries_retrieve", responses=DeliveryOut)
    def get(self, request: Request, delivery_id: UUID) -> Response:
        return Response(DeliveryOut(services.get_delivery(delivery_id)).data)


@extend_schema(tags=["webhooks"])
class DeliveryReplay(TenantView):
    """Make a delivery once more."""

    permissions = Permission.WEBHOOKS_MANAGE

    @extend_schema(operation_id="webhook_deliveries_replay", request=None, responses={202: DeliveryOut})
    def post(self, request: Request, delivery_id: UUID) -> Response:
        return Response(DeliveryOut(services.replay(self.caller, delivery_id)).data, status=202)


@extend_schema(tags=["webhooks"])
class ProjectWebhook(TenantView):
    """The simple door: one webhook for the project."""

    permissions = Permission.WEBHOOKS_MANAGE

    @extend_schema(operation_id="project_webhook_retrieve", responses=EndpointOut)
    def get(self, request: Request) -> Response:
        return Response(EndpointOut(services.get_default()).data)

    @extend_schema(
        operation_id="project_webhook_replace",
        request=ProjectWebhookIn,
        responses=EndpointOut,
        examples=[OpenApiExample("Everything", value={"url": "https://crm.example.com/webhooks"}, request_only=True)],
    )
    def put(self, request: Request) -> Response:
        return Response(_shown(services.set_default(self.caller, **self.valid(ProjectWebhookIn))))

    @extend_schema(operation_id="project_webhook_delete", responses={204: None})
    def delete(self, request: Request) -> Response:
        services.delete_endpoint(self.caller, services.get_default().id)
        return Response(status=204)
