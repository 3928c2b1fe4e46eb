"""``/webhooks/{provider}`` and ``/webhooks/{provider}/{credential id}``: what providers call."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request

from notifications.providers.base import ReceiptRequest
from notifications.records import receipt_calls
from tenants.api.permissions import PUBLIC
from tenants.api.views import ServiceView


class AnyCredentialReceipts(ServiceView):
    """The address without a credential: the call says whose it is. ``?credential=<id>`` says it, too."""

    permissions = PUBLIC
    schema = None

    def post(self, request: Request, provider: str, credential_id: UUID | None = None) -> HttpResponse:
        django = request._request
        if credential_id is None and (named := request.query_params.get("credential")):
            credential_id = serializers.UUIDField().run_validation(named)
        # Signatures cover the address that the provider was given: the public one, or the one that it really called.
        public = settings.PUBLIC_URL + django.get_full_path()
        call = ReceiptRequest(public, dict(django.headers), django.body)
        receipt_calls.receive(provider, credential_id, call, other_urls={django.build_absolute_uri()} - {public})
        return HttpResponse(content_type="text/plain")


class Receipts(AnyCredentialReceipts):
    """The address that vendors are given."""

    def get(self, request: Request, provider: str, credential_id: UUID) -> HttpResponse:
        challenge = receipt_calls.answer_challenge(provider, credential_id, request.query_params.dict())
        return HttpResponse(challenge, content_type="text/plain")
