"""``/api/v1/services/notifications/``: one call for several channels and people, and one notification."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.records import services
from notifications.records.api import RecordOut, WordsIn
from notifications.records.idempotency import Answer, answer_once, fingerprint_of
from notifications.records.models import NotificationRecord
from notifications.records.sending import MAX_NOTIFICATIONS, SendCall, Skipped, send
from notifications.records.states import Lane, Status
from notifications.templates.named import ListedField, LocaleField
from tenants.api.fields import JsonObject, SmallObject
from tenants.api.views import TenantView
from tenants.permissions import Permission

#: What sets the fingerprints of this resource apart from those of others.
DOOR = "send"
_EXAMPLE = {
    "channels": ["email", "push"],
    "recipients": [
        {"email": "ada@example.com", "user_id": "crm-17", "context": {"name": "Ada"}},
        {"email": "grace@example.com", "user_id": "crm-18", "context": {"name": "Grace"}},
    ],
    "content": {
        "email": {"subject": "Your contract", "body": "Dear {{name}}, it is ready."},
        "push": {"title": "Your contract is ready"},
    },
}
_ONE_CHANNEL = {
    "channel": "sms",
    "to": ["+353861234567", "+353867654321"],
    "content": {"body": "Your code is {{code}}"},
    "context": {"code": "123456"},
    "lane": "critical",
}


class SendIn(WordsIn):
    channel = serializers.CharField(max_length=32, required=False, help_text="Either this or `channels`.")
    channels = serializers.ListField(
        child=serializers.CharField(max_length=32), required=False, allow_empty=False, max_length=16
    )
    recipients = serializers.ListField(
        child=serializers.JSONField(),
        required=False,
        allow_empty=False,
        max_length=MAX_NOTIFICATIONS,
        help_text="Addresses of the one channel, or objects: `email`, `phone`, `token`; `user_id`, `external_user_id` "
        "or `role` (people whom we know: to their addresses, push to each of their devices); `context` (values for "
        "this recipient, over those of the call; people are in it as `user`), `locale`.",
    )
    to = serializers.JSONField(required=False, help_text="The same, also a single one.")
    content = JsonObject(
        required=False, help_text="The words by channel: `{channel: content}`; of a single channel the words alone."
    )
    template = serializers.CharField(
        max_length=100,
        required=False,
        help_text="Instead of content: a template's slug or id. For several channels a slug `welcome` stands for "
        "`welcome.email`, `welcome.push` and so on.",
    )
    locale = LocaleField(
        required=False, allow_blank=True, help_text="Language of the template's words, such as `pt-BR`."
    )
    context = SmallObject(required=False, help_text="Values for the placeholders `{{ name }}`.")  # type: ignore[assignment]
    metadata = SmallObject(required=False, help_text="Yours: kept with each notification, never sent.")
    lane = ListedField("lane", choices=Lane.choices, required=False)
    scheduled_at = serializers.DateTimeField(required=False, allow_null=True)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs["channels"] = self._one_of(attrs, "channels", "channel")
        attrs["recipients"] = self._one_of(attrs, "recipients", "to")
        if len(set(attrs["channels"])) < len(attrs["channels"]):
            raise serializers.ValidationError({"channels": ["Name each channel once."]})
        if not 0 < len(attrs["recipients"]) <= MAX_NOTIFICATIONS:
            raise serializers.ValidationError({"to": [f"Must hold 1 to {MAX_NOTIFICATIONS} recipients."]})
        return attrs

    @staticmethod
    def _one_of(attrs: dict[str, Any], many: str, one: str) -> list[Any]:
        if (many in attrs) == (one in attrs):
            raise serializers.ValidationError({many: [f"Give either {many} or {one}."]})
        if many in attrs:
            return list(attrs[many])
        single = attrs.pop(one)
        return single if isinstance(single, list) else [single]


class AcceptedOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    channel = serializers.CharField()
    recipient = serializers.CharField()
    status = serializers.ChoiceField(choices=Status.choices)


class SkippedOut(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="Which recipient, counted from 0.")
    channel = serializers.CharField()
    code = serializers.CharField(help_text="`no_device`")
    detail = serializers.CharField()


class MissedOut(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="Which recipient, counted from 0.")
    channel = serializers.CharField()
    user_id = serializers.CharField(help_text="Who; empty for a role that nobody has.")
    reason = serializers.CharField(
        help_text="`no_address`, `no_device`, `not_active`, `unknown_user`, `user_service` (no answer) or `nobody`"
    )
    detail = serializers.CharField()


class SendOut(serializers.Serializer[Any]):
    id = serializers.UUIDField(allow_null=True, help_text="The notification's, if the call made exactly one.")
    notifications = AcceptedOut(many=True)
    errors = SkippedOut(  # type: ignore[assignment]
        many=True, help_text="Whom a channel could not reach; the others were accepted."
    )
    skipped = MissedOut(many=True, help_text="The same, with the people.")


@extend_schema(tags=["services"])
class Send(TenantView):
    """Send to several people on several channels: all is accepted, or nothing."""

    permissions = Permission.NOTIFICATIONS_WRITE

    @extend_schema(
        operation_id="services_notifications_send",
        request=SendIn,
        responses={201: SendOut},
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                str,
                OpenApiParameter.HEADER,
                description="Repeat a request with the same key as often as you like: it is carried out once.",
            )
        ],
        examples=[
            OpenApiExample("Two channels, two people", value=_EXAMPLE, request_only=True),
            OpenApiExample("One channel", value=_ONE_CHANNEL, request_only=True),
        ],
    )
    def post(self, request: Request) -> Response:
        call = SendCall(**self.valid(SendIn))

        def act() -> Answer:
            return Answer(201, _answer(*send(self.caller, call)))

        tenant_id, key = self.caller.required_tenant_id(), request.headers.get("Idempotency-Key")
        answer = answer_once(tenant_id, key, fingerprint_of(DOOR, request.data), act)
        headers = {"Idempotent-Replayed": "true"} if answer.replayed else {}
        return Response(answer.body, status=answer.status, headers=headers)


@extend_schema(tags=["services"])
class Sent(TenantView):
    """One notification: the record that it is."""

    permissions = Permission.NOTIFICATIONS_READ

    @extend_schema(operation_id="services_notifications_retrieve", responses=RecordOut)
    def get(self, request: Request, record_id: UUID) -> Response:
        return Response(RecordOut(services.get_record(record_id)).data)


def _answer(records: list[NotificationRecord], skipped: list[Skipped]) -> dict[str, Any]:
    accepted = [
        {"id": str(each.id), "channel": each.channel, "recipient": each.recipient, "status": str(each.status)}
        for each in records
    ]
    errors = [
        {"index": each.index, "channel": each.channel, "code": each.code, "detail": each.detail} for each in skipped
    ]
    missed = [
        {
            "index": each.index,
            "channel": each.channel,
            "user_id": each.user_id,
            "reason": each.code,
            "detail": each.detail,
        }
        for each in skipped
    ]
    return {
        "id": accepted[0]["id"] if len(accepted) == 1 else None,
        "notifications": accepted,
        "errors": errors,
        "skipped": missed,
    }
