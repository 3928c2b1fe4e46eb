"""``/api/v1/events/catalogue``: the events that the service knows, and how the tenant wants to react to them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.events import services
from notifications.events.catalogue import KnownEvent, known_events
from notifications.events.models import EventSetting
from notifications.events.settings_of import settings_by_type
from notifications.records.states import Lane
from tenants.api.fields import JsonObject
from tenants.api.views import TenantView
from tenants.permissions import Permission


class KnownEventOut(serializers.Serializer[Any]):
    type = serializers.CharField()
    description = serializers.CharField()
    enabled = serializers.BooleanField()
    channels = serializers.ListField(child=serializers.CharField())
    priority = serializers.ChoiceField(choices=Lane.choices)
    templates = serializers.DictField(help_text="The words by channel.")
    secret = serializers.ListField(child=serializers.CharField(), help_text="Fields that are never stored in clear.")
    schema = serializers.DictField(help_text="JSON Schema of the payload.")
    defaults = serializers.DictField(help_text="Values for placeholders that the payload leaves out.")
    example = serializers.DictField()
    customised = serializers.BooleanField(help_text="Whether the tenant has changed something.")


class SettingIn(serializers.Serializer[Any]):
    enabled = serializers.BooleanField(required=False)
    channels = serializers.ListField(
        child=serializers.CharField(max_length=32),
        required=False,
        allow_null=True,
        allow_empty=False,
        max_length=16,
        help_text="In which order; null: those that are recommended.",
    )
    priority = serializers.ChoiceField(choices=Lane.choices, required=False, allow_null=True)
    templates = JsonObject(required=False, help_text="By channel: content that replaces the default words.")


@extend_schema(tags=["events"])
class Catalogue(TenantView):
    """Every event that the service knows."""

    permissions = Permission.EVENTS_READ

    @extend_schema(operation_id="events_catalogue_list", responses=KnownEventOut(many=True))
    def get(self, request: Request) -> Response:
        own = settings_by_type()
        shown = [_shown(known, own.get(known.type)) for known in known_events().values()]
        return Response({"count": len(shown), "next": None, "previous": None, "results": shown})


@extend_schema(tags=["events"])
class CatalogueEntry(TenantView):
    """One known event, and the tenant's own way of reacting to it."""

    permissions = {
        "GET": Permission.EVENTS_READ,
        "PUT": Permission.RULES_MANAGE,
        "PATCH": Permission.RULES_MANAGE,
        "DELETE": Permission.RULES_MANAGE,
    }

    @extend_schema(operation_id="events_catalogue_retrieve", responses=KnownEventOut)
    def get(self, request: Request, event_type: str) -> Response:
        return Response(_shown(services.get_known(event_type), services.get_setting(event_type)))

    @extend_schema(
        operation_id="events_catalogue_replace",
        request=SettingIn,
        responses=KnownEventOut,
        examples=[OpenApiExample("Mail only", value={"channels": ["email"], "priority": "normal"}, request_only=True)],
    )
    def put(self, request: Request, event_type: str) -> Response:
        defaults: dict[str, Any] = {"enabled": True, "channels": None, "priority": None, "templates": {}}
        return self._change(event_type, {**defaults, **self.valid(SettingIn)})

    @extend_schema(operation_id="events_catalogue_update", request=SettingIn(partial=True), responses=KnownEventOut)
    def patch(self, request: Request, event_type: str) -> Response:
        return self._change(event_type, self.valid(SettingIn, partial=True))

    @extend_schema(operation_id="events_catalogue_reset", responses={204: None})
    def delete(self, request: Request, event_type: str) -> Response:
        """React as the catalogue says again."""
        services.reset_setting(self.caller, event_type)
        return Response(status=204)

    def _change(self, event_type: str, changes: dict[str, Any]) -> Response:
        setting = services.change_setting(self.caller, event_type, changes)
        return Response(_shown(services.get_known(event_type), setting))


def _shown(known: KnownEvent, own: EventSetting | None) -> dict[str, Any]:
    channels = known.channels if own is None or own.channels is None else own.channels
    return {
        "type": known.type,
        "description": known.description,
        "enabled": own is None or own.enabled,
        "channels": list(channels),
        "priority": (own.priority if own else None) or known.priority,
        "templates": {**known.templates, **(own.templates if own else {})},
        "secret": list(known.secret),
        "schema": known.schema,
        "defaults": known.defaults,
        "example": known.example,
        "customised": own is not None,
    }
