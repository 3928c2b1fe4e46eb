"""``/api/notifications/credentials/``: shape in, one service call, shape out."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.credentials import services
from notifications.credentials.circuit import circuits
from notifications.credentials.models import Credential, CredentialStatus
from tenants.api.permissions import reading_and_writing
from tenants.api.views import ServiceView, TenantView
from tenants.permissions import Permission

_EXAMPLE = {
    "channel": "email",
    "provider": "smtp",
    "name": "Company mail server",
    "credentials": {
        "host": "smtp.example.com",
        "port": 587,
        "security": "starttls",
        "username": "acme",
        "password": "correct horse battery staple",
        "from_email": "no-reply@acme.example",
        "from_name": "Acme",
    },
}


class CredentialIn(serializers.Serializer[Any]):
    channel = serializers.CharField(max_length=32)
    provider = serializers.CharField(max_length=32, required=False)
    name = serializers.CharField(max_length=255, required=False, allow_blank=True)
    credentials = serializers.DictField(help_text="What the provider needs; its fields depend on the provider.")
    position = serializers.IntegerField(
        min_value=0, max_value=1000, required=False, help_text="The lowest is tried first; the next when it fails."
    )
    weight = serializers.IntegerField(
        min_value=1, max_value=100, required=False, help_text="Share among credentials of the same position."
    )
    rate_limit = serializers.IntegerField(
        min_value=1, max_value=100_000, required=False, help_text="Messages a second; the rest waits."
    )
    enabled = serializers.BooleanField(required=False)


class CircuitOut(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=["closed", "open", "half_open"])
    failures = serializers.IntegerField(help_text="In a row.")
    open_until = serializers.DateTimeField(allow_null=True)


class CredentialOut(serializers.ModelSerializer[Credential]):
    credentials = serializers.SerializerMethodField()
    enabled = serializers.SerializerMethodField()
    receipts_url = serializers.SerializerMethodField()
    health = serializers.SerializerMethodField()

    class Meta:
        model = Credential
        fields = [
            "id",
            "tenant_id",
            "channel",
            "provider",
            "name",
            "credentials",
            "position",
            "weight",
            "rate_limit",
            "enabled",
            "health",
            "status",
            "status_detail",
            "status_changed_at",
            "receipts_url",
            "created_at",
            "updated_at",
        ]

    def get_credentials(self, credential: Credential) -> dict[str, Any]:
        """The payload with its secrets masked."""
        return services.masked_payload(credential)

    def get_enabled(self, credential: Credential) -> bool:
        return credential.status != CredentialStatus.DISABLED

    def get_receipts_url(self, credential: Credential) -> str | None:
        """The address to give to the provider for its status callbacks or webhooks; null if it has none."""
        return services.receipts_url(credential)

    @extend_schema_field(CircuitOut)
    def get_health(self, credential: Credential) -> dict[str, Any]:
        """The circuit: open while the provider keeps failing and is left alone."""
        found = circuits(credential.tenant_id, [credential.id])[credential.id]
        return {"state": found.state, "failures": found.failures, "open_until": found.open_until}


class CheckStepOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    ok = serializers.BooleanField()
    detail = serializers.CharField()


class CheckOut(serializers.Serializer[Any]):
    ok = serializers.BooleanField()
    detail = serializers.CharField(help_text="The other side's own words.")
    reason = serializers.CharField(allow_null=True)
    duration_ms = serializers.IntegerField()
    steps = CheckStepOut(many=True)


_PERMISSIONS = reading_and_writing(Permission.CREDENTIALS_READ, Permission.CREDENTIALS_MANAGE)


@extend_schema(tags=["credentials"])
class CredentialList(TenantView):
    """The tenant's credentials."""

    permissions = _PERMISSIONS

    @extend_schema(operation_id="credentials_list", responses=CredentialOut(many=True))
    def get(self, request: Request) -> Response:
        rows = Credential.objects.all()
        for name in ("channel", "provider", "status"):
            if value := request.query_params.get(name):
                rows = rows.filter(**{name: value})
        return self.paginated(rows, CredentialOut)

    @extend_schema(
        operation_id="credentials_create",
        request=CredentialIn,
        responses={201: CredentialOut},
        examples=[OpenApiExample("SMTP", value=_EXAMPLE, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        data = self.valid(CredentialIn)
        payload = data.pop("credentials")
        credential = services.create_credential(self.caller, payload=payload, **data)
        return Response(CredentialOut(credential).data, status=201)


@extend_schema(tags=["credentials"])
class CredentialDetail(TenantView):
    """One credential. Secrets are masked; a mask sent back leaves the secret as it is."""

    permissions = _PERMISSIONS

    @extend_schema(operation_id="credentials_retrieve", responses=CredentialOut)
    def get(self, request: Request, credential_id: UUID) -> Response:
        return Response(CredentialOut(services.get_credential(credential_id)).data)

    @extend_schema(operation_id="credentials_replace", request=CredentialIn, responses=CredentialOut)
    def put(self, request: Request, credential_id: UUID) -> Response:
        return self._update(credential_id, merge=False)

    @extend_schema(operation_id="credentials_update", request=CredentialIn(partial=True), responses=CredentialOut)
    def patch(self, request: Request, credential_id: UUID) -> Response:
        return self._update(credential_id, merge=True)

    @extend_schema(operation_id="credentials_delete", responses={204: None})
    def delete(self, request: Request, credential_id: UUID) -> Response:
        services.delete_credential(self.caller, services.get_credential(credential_id))
        return Response(status=204)

    def _update(self, credential_id: UUID, *, merge: bool) -> Response:
        credential = services.get_credential(credential_id)
        data = self.valid(CredentialIn, partial=merge)
        if data.pop("channel", credential.channel) != credential.channel:
            raise serializers.ValidationError({"channel": ["The channel of a credential can not change."]})
        payload = data.pop("credentials", None)
        services.update_credential(self.caller, credential, payload=payload, merge=merge, **data)
        return Response(CredentialOut(credential).data)


@extend_schema(tags=["credentials"])
class CredentialTest(ServiceView):
    """Try a credential: really connects, sends nothing."""

    permissions = Permission.CREDENTIALS_MANAGE

    @extend_schema(operation_id="credentials_test", request=None, responses=CheckOut)
    def post(self, request: Request, credential_id: UUID) -> Response:
        return Response(CheckOut(services.check_credential(self.caller, credential_id)).data)
