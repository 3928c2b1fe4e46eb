"""``/api/v1/rules``: what the tenant wants to happen when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.events.api.events import EventIn, new_event
from notifications.events.rules import services
from notifications.events.rules.definition import read_definition
from notifications.events.rules.matching import ActiveRule
from notifications.events.rules.models import Rule, Step
from tenants.api.fields import JsonObject
from tenants.api.pagination import PageOrCursorPagination
from tenants.api.views import TenantView
from tenants.permissions import Permission

_EXAMPLE = {
    "name": "Large transactions",
    "condition": 'amount > 1000 AND currency == "NGN"',
    "eventTypes": ["pending_transaction"],
    "targetRoles": ["finance"],
    "channels": ["inapp", "email"],
    "priority": 5,
    "sound": "alert.mp3",
    "active": True,
}
#: Names of the specification and ours.
_DEFINITION = {
    "condition": "condition",
    "eventTypes": "event_types",
    "targets": "targets",
    "channels": "channels",
    "templates": "templates",
    "lane": "lane",
    "sound": "sound",
    "delaySeconds": "delay_seconds",
    "throttle": "throttle",
    "digest": "digest",
    "escalation": "escalation",
    "stopProcessing": "stop_processing",
    "cancelKey": "cancel_key",
    "cancels": "cancels",
    "schedule": "schedule",
}
_OWN = {
    "name": "name",
    "description": "description",
    "priority": "priority",
    "active": "active",
    "validFrom": "valid_from",
    "validUntil": "valid_until",
}


class RuleIn(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=255)
    description = serializers.CharField(max_length=5000, required=False, allow_blank=True)
    condition = serializers.CharField(
        required=False, allow_blank=True, help_text="Common Expression Language; blank: always. See docs/rules.md."
    )
    eventTypes = serializers.ListField(
        child=serializers.CharField(max_length=100), required=False, help_text="Of which events; none: of all."
    )
    targetRoles = serializers.ListField(child=serializers.CharField(max_length=64), required=False)
    targets = JsonObject(
        required=False,
        help_text="`person`, `roles`, `users`, `where`, `addresses`; nothing at all: the event's own person.",
    )
    channels = serializers.ListField(child=serializers.CharField(max_length=32), required=False, allow_empty=False)
    templates = JsonObject(required=False, help_text="By channel: content, or the key of a template.")
    lane = serializers.CharField(required=False, help_text="`critical`, `normal` or `bulk`.")
    priority = serializers.IntegerField(
        required=False, min_value=-1_000_000, max_value=1_000_000, help_text="The higher, the earlier it is asked."
    )
    sound = serializers.CharField(required=False, allow_blank=True)
    active = serializers.BooleanField(required=False)
    delaySeconds = serializers.IntegerField(required=False, min_value=0)
    throttle = JsonObject(required=False, allow_null=True, help_text="`key`, `limit`, `seconds`.")
    digest = JsonObject(required=False, allow_null=True, help_text="`key`, `seconds`.")
    escalation = serializers.ListField(
        child=JsonObject(), required=False, help_text="`after_seconds`, `unless`, `channels`, `templates`, `targets`."
    )
    stopProcessing = serializers.BooleanField(required=False)
    cancelKey = serializers.CharField(required=False, allow_blank=True, max_length=500)
    cancels = serializers.CharField(required=False, allow_blank=True, max_length=500)
    schedule = serializers.CharField(required=False, allow_blank=True, max_length=100, help_text="Cron, five fields.")
    validFrom = serializers.DateTimeField(required=False, allow_null=True)
    validUntil = serializers.DateTimeField(required=False, allow_null=True)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            snake = {ours: shown for shown, ours in {**_DEFINITION, **_OWN}.items()} | {"target_roles": "targetRoles"}
            data = {snake.get(name, name): value for name, value in data.items()}
        return super().to_internal_value(data)


class RuleOut(RuleIn):
    id = serializers.UUIDField()
    version = serializers.IntegerField()
    nextRunAt = serializers.DateTimeField(allow_null=True)
    createdBy = serializers.CharField()
    createdAt = serializers.DateTimeField()
    updatedAt = serializers.DateTimeField()


class SampleIn(EventIn):
    """An event as it would be sent; ``event`` around it is allowed, too."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and isinstance(data.get("event"), Mapping):
            data = data["event"]
        return super().to_internal_value(data)


class TrialOut(serializers.Serializer[Any]):
    matched = serializers.BooleanField()
    why = serializers.CharField()
    trace = serializers.ListField(child=serializers.DictField(), help_text="What each part of the condition came to.")
    would_send = serializers.ListField(child=serializers.DictField(), help_text="Who would get what, filled in.")
    skipped = serializers.ListField(child=serializers.DictField())
    later = serializers.DictField(help_text="What would not happen at once.")


class ValidIn(RuleIn):
    name = serializers.CharField(max_length=255, required=False)


class ValidOut(serializers.Serializer[Any]):
    valid = serializers.BooleanField()


class CancelIn(serializers.Serializer[Any]):
    cancelKey = serializers.CharField(max_length=255)


class CancelOut(serializers.Serializer[Any]):
    cancelled = serializers.IntegerField()


class StepOut(serializers.ModelSerializer[Step]):
    class Meta:
        model = Step
        fields = [
            "id",
            "event_id",
            "kind",
            "status",
            "due_at",
            "key",
            "cancel_key",
            "detail",
            "created_at",
            "finished_at",
        ]
        read_only_fields = fields


_PERMISSIONS = {
    "GET": Permission.EVENTS_READ,
    "POST": Permission.RULES_MANAGE,
    "PUT": Permission.RULES_MANAGE,
    "PATCH": Permission.RULES_MANAGE,
    "DELETE": Permission.RULES_MANAGE,
}


@extend_schema(tags=["rules"])
class RuleList(TenantView):
    """The tenant's rules, in the order in which they are asked."""

    permissions = _PERMISSIONS

    @extend_schema(operation_id="rules_list", responses=RuleOut(many=True))
    def get(self, request: Request) -> Response:
        pages = PageOrCursorPagination()
        page = pages.paginate_queryset(Rule.objects.all(), request, self) or []
        definitions = services.definitions_of(page)
        return pages.get_paginated_response([shown(rule, definitions[rule.id]) for rule in page])

    @extend_schema(
        operation_id="rules_create",
        request=RuleIn,
        responses={201: RuleOut},
        examples=[OpenApiExample("The specification's fields", value=_EXAMPLE, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        own, definition = _halves(self.valid(RuleIn))
        rule = services.create_rule(self.caller, own, definition)
        return Response(shown(rule, services.current_version(rule).definition), status=201)


@extend_schema(tags=["rules"])
class RuleDetail(TenantView):
    """One rule."""

    permissions = _PERMISSIONS

    @extend_schema(operation_id="rules_retrieve", responses=RuleOut)
    def get(self, request: Request, rule_id: UUID) -> Response:
        return self._answer(services.get_rule(rule_id))

    @extend_schema(operation_id="rules_replace", request=RuleIn, responses=RuleOut)
    def put(self, request: Request, rule_id: UUID) -> Response:
        services.get_rule(rule_id)
        own, definition = _halves(self.valid(RuleIn))
        own = {"description": "", "priority": 0, "active": True, "valid_from": None, "valid_until": None, **own}
        blank = read_definition({}).model_dump(mode="json")
        return self._answer(services.update_rule(self.caller, rule_id, own, {**blank, **definition}))

    @extend_schema(operation_id="rules_update", request=RuleIn(partial=True), responses=RuleOut)
    def patch(self, request: Request, rule_id: UUID) -> Response:
        services.get_rule(rule_id)
        own, definition = _halves(self.valid(RuleIn, partial=True))
        return self._answer(services.update_rule(self.caller, rule_id, own, definition))

    @extend_schema(operation_id="rules_delete", responses={204: None})
    def delete(self, request: Request, rule_id: UUID) -> Response:
        services.delete_rule(self.caller, rule_id)
        return Response(status=204)

    def _answer(self, rule: Rule) -> Response:
        return Response(shown(rule, services.current_version(rule).definition))


@extend_schema(tags=["rules"])
class RuleTest(TenantView):
    """What a rule would make of a sample event. Nothing is sent."""

    permissions = _PERMISSIONS

    @extend_schema(operation_id="rules_test", request=SampleIn, responses=TrialOut)
    def post(self, request: Request, rule_id: UUID) -> Response:
        rule: ActiveRule = services.ready(services.get_rule(rule_id))
        sample = new_event(self.valid(SampleIn))
        return Response(asdict(services.try_rule(self.caller, rule, sample)))


@extend_schema(tags=["rules"])
class RuleSteps(TenantView):
    """What waits, or waited, because of a rule."""

    permissions = _PERMISSIONS

    @extend_schema(operation_id="rules_steps_list", responses=StepOut(many=True))
    def get(self, request: Request, rule_id: UUID) -> Response:
        return self.paginated(services.steps_of(rule_id), StepOut)


@extend_schema(tags=["rules"])
class RuleValidate(TenantView):
    """Whether a rule, or a condition alone, can be understood; errors name field, line and character."""

    permissions = Permission.RULES_MANAGE

    @extend_schema(operation_id="rules_validate", request=ValidIn, responses=ValidOut)
    def post(self, request: Request) -> Response:
        own, definition = _halves(self.valid(ValidIn))
        services.check_rule(own, definition)
        return Response({"valid": True})


@extend_schema(tags=["rules"])
class RuleCancel(TenantView):
    """Cancel everything that waits under a key."""

    permissions = Permission.EVENTS_WRITE

    @extend_schema(operation_id="rules_cancel", request=CancelIn, responses=CancelOut)
    def post(self, request: Request) -> Response:
        return Response({"cancelled": services.cancel(self.caller, self.valid(CancelIn)["cancelKey"])})


def shown(rule: Rule, definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule as the API shows it."""
    return {
        "id": rule.id,
        **{name: getattr(rule, ours) for name, ours in _OWN.items()},
        **{name: definition.get(ours) for name, ours in _DEFINITION.items()},
        "targetRoles": definition["targets"]["roles"],
        "version": rule.version,
        "nextRunAt": rule.next_run_at,
        "createdBy": rule.created_by,
        "createdAt": rule.created_at,
        "updatedAt": rule.updated_at,
    }


def _halves(valid: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is the rule's own, and what belongs to its version."""
    definition = {ours: valid[name] for name, ours in _DEFINITION.items() if name in valid}
    if "targetRoles" in valid:
        definition["targets"] = {**definition.get("targets", {}), "roles": valid["targetRoles"]}
    return {ours: valid[name] for name, ours in _OWN.items() if name in valid}, definition
