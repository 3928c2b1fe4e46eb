"""``/api/notifications/devices/`` and ``/api/notifications/suppressions/``: shape in, one service call, shape out."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import django_filters
from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notification_service.lib.masking import mask
from notifications.channels.registry import channels
from notifications.recipients import services, suppressions
from notifications.recipients.models import MAX_ADDRESS, Device, Platform, Suppression, SuppressionReason
from tenants.api.filters import TrueOrFalseFilter
from tenants.api.permissions import AnyOf, reading_and_writing
from tenants.api.views import TenantView
from tenants.permissions import Permission

_DEVICE = {"device_id": "7f2c-pixel-9", "platform": "android", "token": "dJx4…:APA91b…", "locale": "en-IE"}
_BROWSER = {
    "device_id": "firefox-on-my-laptop",
    "platform": "web",
    "subscription": {
        "endpoint": "https://updates.push.services.mozilla.com/wpush/v2/gAAAA…",
        "keys": {"p256dh": "BLc4xRzKlKORKWlbdgFaBrrPK3yd…", "auth": "5I2Bu2oKdyy9CwL8QVF0NQ"},
    },
}


class _DeviceFields(serializers.Serializer[Any]):
    platform = serializers.ChoiceField(choices=Platform.choices)
    token = serializers.CharField(max_length=MAX_ADDRESS, required=False, help_text="The push service's token.")
    subscription = serializers.DictField(
        required=False, help_text="Instead of a token: what a browser's `PushSubscription.toJSON()` returned."
    )
    app_version = serializers.CharField(max_length=64, required=False, allow_blank=True)
    locale = serializers.CharField(max_length=35, required=False, allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = [name for name in ("token", "subscription") if name in attrs]
        if len(given) == 2 or (not given and not self.partial):
            raise serializers.ValidationError({"token": ["Give either a token or a subscription."]})
        if "subscription" in attrs:
            attrs["token"] = attrs.pop("subscription")
        return attrs


class DeviceIn(_DeviceFields):
    user_id = serializers.CharField(max_length=255, required=False, help_text="Whose device; yours if not given.")
    device_id = serializers.CharField(max_length=255, help_text="Your name for the installation; it stays the same.")


class DeviceChange(_DeviceFields):
    active = serializers.BooleanField(required=False)


class DeviceOut(serializers.ModelSerializer[Device]):
    token = serializers.SerializerMethodField()

    class Meta:
        model = Device
        fields = [
            "id",
            "user_id",
            "device_id",
            "platform",
            "token",
            "app_version",
            "locale",
            "active",
            "deactivated_reason",
            "last_seen_at",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields

    def get_token(self, device: Device) -> str:
        """Its last characters: enough to compare, too few to use."""
        return mask(device.token)


class DeviceFilter(django_filters.FilterSet):  # type: ignore[misc]
    platform = django_filters.ChoiceFilter(choices=Platform.choices)
    active = TrueOrFalseFilter()
    device_id = django_filters.CharFilter()

    class Meta:
        model = Device
        fields: list[str] = []


_OWN_OR_READ = AnyOf({Permission.SELF, *services.READ_OTHERS})
_OWN_OR_MANAGE = AnyOf({Permission.SELF, *services.MANAGE_OTHERS})
_DEVICE_PERMISSIONS = {
    "GET": _OWN_OR_READ,
    "POST": _OWN_OR_MANAGE,
    "PUT": _OWN_OR_MANAGE,
    "PATCH": _OWN_OR_MANAGE,
    "DELETE": _OWN_OR_MANAGE,
}


@extend_schema(tags=["devices"])
class DeviceList(TenantView):
    """Devices that receive push notifications: one's own, or other people's for those who look after them."""

    permissions = _DEVICE_PERMISSIONS
    filterset_class = DeviceFilter

    @extend_schema(
        operation_id="devices_list",
        responses=DeviceOut(many=True),
        filters=True,
        parameters=[
            OpenApiParameter("user_id", str, description="Whose devices; yours if not given."),
            OpenApiParameter("all", bool, description="Everybody's; what an API key gets if it names nobody."),
        ],
    )
    def get(self, request: Request) -> Response:
        everybody = request.query_params.get("all", "").lower() in ("true", "1")
        user_id = request.query_params.get("user_id")
        if user_id is not None and "\x00" in user_id:
            raise serializers.ValidationError({"user_id": ["Null characters are not allowed."]})
        rows = services.list_devices(self.caller, user_id, everybody=everybody)
        return self.paginated(self.filtered(rows), DeviceOut)

    @extend_schema(
        operation_id="devices_register",
        request=DeviceIn,
        responses={201: DeviceOut, 200: DeviceOut},
        examples=[
            OpenApiExample("A telephone", value=_DEVICE, request_only=True),
            OpenApiExample("A browser", value=_BROWSER, request_only=True),
        ],
    )
    def post(self, request: Request) -> Response:
        """Register a device (201), or give a known one its new token (200)."""
        device, created = services.register_device(self.caller, **self.valid(DeviceIn))
        return Response(DeviceOut(device).data, status=201 if created else 200)


@extend_schema(tags=["devices"])
class DeviceDetail(TenantView):
    """One device."""

    permissions = _DEVICE_PERMISSIONS

    @extend_schema(operation_id="devices_retrieve", responses=DeviceOut)
    def get(self, request: Request, device_pk: UUID) -> Response:
        return Response(DeviceOut(services.get_device(self.caller, device_pk)).data)

    @extend_schema(operation_id="devices_replace", request=DeviceChange, responses=DeviceOut)
    def put(self, request: Request, device_pk: UUID) -> Response:
        defaults = {"app_version": "", "locale": "", "active": True}
        changes = {**defaults, **self.valid(DeviceChange)}
        return Response(DeviceOut(services.update_device(self.caller, device_pk, changes)).data)

    @extend_schema(operation_id="devices_update", request=DeviceChange(partial=True), responses=DeviceOut)
    def patch(self, request: Request, device_pk: UUID) -> Response:
        changes = self.valid(DeviceChange, partial=True)
        return Response(DeviceOut(services.update_device(self.caller, device_pk, changes)).data)

    @extend_schema(operation_id="devices_delete", responses={204: None})
    def delete(self, request: Request, device_pk: UUID) -> Response:
        services.delete_device(self.caller, device_pk)
        return Response(status=204)


class SuppressionIn(serializers.Serializer[Any]):
    channel = serializers.CharField(max_length=32)
    address = serializers.CharField(max_length=MAX_ADDRESS)
    reason = serializers.ChoiceField(choices=SuppressionReason.choices, required=False, help_text="Default: `manual`.")
    category = serializers.CharField(
        max_length=64, required=False, allow_blank=True, help_text="Of `metadata.category`; blank: every message."
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True, help_text="Null: for good.")


class SuppressionOut(serializers.ModelSerializer[Suppression]):
    class Meta:
        model = Suppression
        fields = [
            "id",
            "channel",
            "address",
            "category",
            "reason",
            "source_record_id",
            "expires_at",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields


class SuppressionFilter(django_filters.FilterSet):  # type: ignore[misc]
    """``?channel=email&reason=hard_bounce&search=example.com&active=true``."""

    channel = django_filters.CharFilter(method="on_channel")
    address = django_filters.CharFilter(lookup_expr="iexact")
    search = django_filters.CharFilter(field_name="address", lookup_expr="icontains")
    reason = django_filters.ChoiceFilter(choices=SuppressionReason.choices)
    category = django_filters.CharFilter()
    active = TrueOrFalseFilter(method="still_holds", help_text="Whether it has not expired.")
    created_after = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = Suppression
        fields: list[str] = []

    def on_channel(self, rows: QuerySet[Suppression], name: str, value: str) -> QuerySet[Suppression]:
        if value not in channels:
            known = ", ".join(channels.keys())
            raise serializers.ValidationError({"channel": [f"Unknown channel {value!r}; known: {known}."]})
        return rows.filter(channel=value)

    def still_holds(self, rows: QuerySet[Suppression], name: str, value: bool) -> QuerySet[Suppression]:
        holding = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        return rows.filter(holding if value else ~holding)


_PERMISSIONS = reading_and_writing(Permission.NOTIFICATIONS_READ, Permission.NOTIFICATIONS_WRITE)


@extend_schema(tags=["suppressions"])
class SuppressionList(TenantView):
    """Addresses that get nothing more."""

    permissions = _PERMISSIONS
    filterset_class = SuppressionFilter

    @extend_schema(operation_id="suppressions_list", responses=SuppressionOut(many=True), filters=True)
    def get(self, request: Request) -> Response:
        return self.paginated(self.filtered(Suppression.objects.all()), SuppressionOut)

    @extend_schema(
        operation_id="suppressions_create",
        request=SuppressionIn,
        responses={201: SuppressionOut, 200: SuppressionOut},
        examples=[
            OpenApiExample(
                "Somebody who wrote to us", value={"channel": "email", "address": "ada@example.com"}, request_only=True
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Suppress an address (201); what already holds at least as much stays as it is (200)."""
        held, changed = suppressions.create_suppression(self.caller, **self.valid(SuppressionIn))
        return Response(SuppressionOut(held).data, status=201 if changed else 200)

    @extend_schema(
        operation_id="suppressions_delete_address",
        parameters=[
            OpenApiParameter("channel", str, required=True),
            OpenApiParameter("address", str, required=True),
        ],
        responses={204: None},
    )
    def delete(self, request: Request) -> Response:
        """Lift every suppression of one address."""
        wanted = {name: request.query_params.get(name, "") for name in ("channel", "address")}
        if missing := [name for name, value in wanted.items() if not value]:
            raise serializers.ValidationError({name: ["This parameter is required."] for name in missing})
        suppressions.lift_address(self.caller, **wanted)
        return Response(status=204)


@extend_schema(tags=["suppressions"])
class SuppressionDetail(TenantView):
    """One suppression."""

    permissions = _PERMISSIONS

    @extend_schema(operation_id="suppressions_retrieve", responses=SuppressionOut)
    def get(self, request: Request, suppression_id: UUID) -> Response:
        return Response(SuppressionOut(suppressions.get_suppression(suppression_id)).data)

    @extend_schema(operation_id="suppressions_delete", responses={204: None})
    def delete(self, request: Request, suppression_id: UUID) -> Response:
        suppressions.lift_suppression(self.caller, suppressions.get_suppression(suppression_id))
        return Response(status=204)
