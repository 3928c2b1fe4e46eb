"""``…/templates/{key}/test-send``: a template as a real message, to one address."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.recipients.models import MAX_ADDRESS
from notifications.records.api import RecordOut
from notifications.records.intake import NewRecord, accept
from notifications.templates.named import LocaleField
from notifications.templates.preview import sample_context
from notifications.templates.services import get_template, get_version
from tenants import limits
from tenants.api.fields import SmallObject
from tenants.api.views import TenantView
from tenants.permissions import Permission


class TestSendIn(serializers.Serializer[Any]):
    recipient = serializers.CharField(max_length=MAX_ADDRESS, help_text="An address of the template's channel.")
    context = SmallObject(required=False)  # type: ignore[assignment]
    locale = LocaleField(required=False, allow_blank=True)
    version = serializers.IntegerField(min_value=1, required=False, help_text="Its number; the latest if not given.")


@extend_schema(tags=["templates"])
class TemplateTestSend(TenantView):
    """Send a version, published or not, with samples for values that are not given."""

    permissions = Permission.NOTIFICATIONS_WRITE

    @extend_schema(request=TestSendIn, responses={201: RecordOut})
    def post(self, request: Request, key: str) -> Response:
        data = self.valid(TestSendIn)
        template = get_template(key)
        version = get_version(template, data.get("version"))
        context, sampled = sample_context(version, data.get("context", {}))
        limits.admit(self.caller.required_tenant_id(), self.caller.mode)
        record = accept(
            self.caller,
            NewRecord(
                channel=template.channel,
                recipient=data["recipient"],
                template_version_id=version.id,
                locale=data.get("locale", ""),
                context=context,
                metadata={"test_send": template.slug, "sampled": sampled},
            ),
        )
        return Response(RecordOut(record).data, status=201)
