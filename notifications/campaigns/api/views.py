"""Views of campaigns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.campaigns import services, tallies
from notifications.campaigns.api import shapes
from notifications.campaigns.models import Campaign, CampaignRecipient
from notifications.campaigns.progress import as_json, progress_of
from notifications.campaigns.report import report_of, report_rows
from notifications.campaigns.states import CampaignStatus, RecipientState
from notifications.records.api import RecordOut
from notifications.records.models import NotificationRecord
from tenants.api.filters import TrueOrFalseFilter
from tenants.api.pagination import Cursor, PageOrCursorPagination
from tenants.api.permissions import reading_and_writing
from tenants.api.views import TenantView
from tenants.callers import Caller
from tenants.permissions import Permission

_READ_OR_MANAGE = reading_and_writing(Permission.CAMPAIGNS_READ, Permission.CAMPAIGNS_MANAGE)


class CampaignFilter(django_filters.FilterSet):  # type: ignore[misc]
    """``?status=sending,paused&channel=email&search=promo``."""

    status = django_filters.CharFilter(method="on_status", help_text="One or several, separated by commas.")
    channel = django_filters.CharFilter()
    category = django_filters.CharFilter()
    search = django_filters.CharFilter(field_name="name", lookup_expr="icontains")

    class Meta:
        model = Campaign
        fields: list[str] = []

    def on_status(self, rows: QuerySet[Campaign], name: str, value: str) -> QuerySet[Campaign]:
        wanted = [part.strip().lower() for part in value.split(",") if part.strip()]
        for part in wanted:
            if part not in CampaignStatus.values:
                known = ", ".join(CampaignStatus.values)
                raise serializers.ValidationError({"status": [f"Unknown value {part!r}; known: {known}."]})
        return rows.filter(status__in=wanted)


@extend_schema(tags=["campaigns"])
class CampaignList(TenantView):
    """Campaigns: one message to many recipients."""

    permissions = _READ_OR_MANAGE
    filterset_class = CampaignFilter

    @extend_schema(operation_id="campaigns_list", responses=shapes.CampaignOut(many=True), filters=True)
    def get(self, request: Request) -> Response:
        rows = Campaign.objects.filter(deleted_at=None)
        found = self.filtered(rows)
        pages = PageOrCursorPagination()
        page = pages.paginate_queryset(found, request, self) or []
        context = {"totals": tallies.totals_of([campaign.id for campaign in page])}
        return pages.get_paginated_response(shapes.CampaignOut(page, many=True, context=context).data)

    @extend_schema(
        operation_id="campaigns_create",
        request=shapes.CampaignIn,
        responses={201: shapes.CampaignOut},
        examples=[OpenApiExample("A push message", value=shapes.EXAMPLE, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Create a draft; nothing is sent before it is launched."""
        data = self.valid(shapes.CampaignIn)
        campaign = services.create_campaign(
            self.caller,
            channel=data.pop("channel"),
            recipients=data.pop("recipients", ()),
            source=_source(data),
            configuration=_plain(data),
        )
        headers = {"Location": f"/api/notifications/campaigns/{campaign.id}/"}
        return Response(shapes.CampaignOut(campaign).data, status=201, headers=headers)


@extend_schema(tags=["campaigns"])
class CampaignDetail(TenantView):
    """One campaign."""

    permissions = _READ_OR_MANAGE

    @extend_schema(operation_id="campaigns_retrieve", responses=shapes.CampaignOut)
    def get(self, request: Request, campaign_id: UUID) -> Response:
        return Response(shapes.CampaignOut(services.get_campaign(campaign_id)).data)

    @extend_schema(operation_id="campaigns_update", request=shapes.CampaignChange, responses=shapes.CampaignOut)
    def patch(self, request: Request, campaign_id: UUID) -> Response:
        """Change a campaign that is a draft or scheduled."""
        changes = _plain(self.valid(shapes.CampaignChange))
        return Response(shapes.CampaignOut(services.edit_campaign(self.caller, campaign_id, changes)).data)

    @extend_schema(operation_id="campaigns_delete", responses={204: None})
    def delete(self, request: Request, campaign_id: UUID) -> Response:
        """Forget a draft or a campaign that is over, with its recipients."""
        services.delete_campaign(self.caller, campaign_id)
        return Response(status=204)


class _Action(TenantView):
    """A verb without a body."""

    permissions = Permission.CAMPAIGNS_MANAGE
    act: Callable[[Caller, UUID], Campaign]

    def post(self, request: Request, campaign_id: UUID) -> Response:
        return Response(shapes.CampaignOut(type(self).act(self.caller, campaign_id)).data)


def _action(name: str, act: Callable[[Caller, UUID], Campaign]) -> type[_Action]:
    described = extend_schema(
        operation_id=f"campaigns_{name}", tags=["campaigns"], request=None, responses=shapes.CampaignOut
    )
    view = type(f"Campaign{name.title()}", (_Action,), {"act": staticmethod(act), "__doc__": act.__doc__})
    return extend_schema_view(post=described)(view)


CampaignLaunch = _action("launch", services.launch)
CampaignPause = _action("pause", services.pause)
CampaignResume = _action("resume", services.resume)
CampaignCancel = _action("cancel", services.cancel)


@extend_schema(tags=["campaigns"])
class CampaignSchedule(TenantView):
    """Begin later."""

    permissions = Permission.CAMPAIGNS_MANAGE

    @extend_schema(operation_id="campaigns_schedule", request=shapes.ScheduleIn, responses=shapes.CampaignOut)
    def post(self, request: Request, campaign_id: UUID) -> Response:
        data = self.valid(shapes.ScheduleIn)
        at = data.pop("at")
        if data.get("in_recipient_timezone"):
            # What was written is meant, whatever zone it was written in.
            at = _as_written(str(dict(request.data)["at"]), at)
        return Response(shapes.CampaignOut(services.schedule(self.caller, campaign_id, at, **data)).data)


@extend_schema(tags=["campaigns"])
class CampaignDuplicate(TenantView):
    """A new draft with the same words, limits and recipients."""

    permissions = Permission.CAMPAIGNS_MANAGE

    @extend_schema(operation_id="campaigns_duplicate", request=shapes.DuplicateIn, responses={201: shapes.CampaignOut})
    def post(self, request: Request, campaign_id: UUID) -> Response:
        copy = services.duplicate(self.caller, campaign_id, **self.valid(shapes.DuplicateIn))
        return Response(shapes.CampaignOut(copy).data, status=201)


@extend_schema(tags=["campaigns"])
class CampaignTestSend(TenantView):
    """What it says, to a few addresses of yours."""

    permissions = Permission.CAMPAIGNS_MANAGE

    @extend_schema(
        operation_id="campaigns_test_send", request=shapes.CampaignTestSendIn, responses={201: RecordOut(many=True)}
    )
    def post(self, request: Request, campaign_id: UUID) -> Response:
        data = {"context": {}, **self.valid(shapes.CampaignTestSendIn)}
        records = services.send_test(self.caller, campaign_id, data.pop("recipients"), **data)
        return Response({"records": RecordOut(records, many=True).data}, status=201)


@extend_schema(tags=["campaigns"])
class CampaignProgress(TenantView):
    """How far it is."""

    permissions = Permission.CAMPAIGNS_READ

    @extend_schema(operation_id="campaigns_progress", responses=shapes.ProgressOut)
    def get(self, request: Request, campaign_id: UUID) -> Response:
        return Response(as_json(progress_of(services.get_campaign(campaign_id))))


class RecipientFilter(django_filters.FilterSet):  # type: ignore[misc]
    """``?state=rejected&recipient=ada@example.com``."""

    state = django_filters.ChoiceFilter(choices=RecipientState.choices)
    recipient = django_filters.CharFilter(field_name="address")
    variant = django_filters.CharFilter()
    opened = TrueOrFalseFilter(field_name="opened_at", lookup_expr="isnull", exclude=True)
    clicked = TrueOrFalseFilter(field_name="clicked_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = CampaignRecipient
        fields: list[str] = []


@extend_schema(tags=["campaigns"])
class CampaignRecipients(TenantView):
    """Whom it is for, and what became of each; by cursor."""

    permissions = _READ_OR_MANAGE
    filterset_class = RecipientFilter
    pagination_class = Cursor

    @extend_schema(
        operation_id="campaigns_recipients_list", responses=shapes.CampaignRecipientOut(many=True), filters=True
    )
    def get(self, request: Request, campaign_id: UUID) -> Response:
        campaign = services.get_campaign(campaign_id)
        rows = CampaignRecipient.objects.filter(campaign_id=campaign.id)
        found = self.filtered(rows)
        pages = Cursor()
        page: list[CampaignRecipient] = pages.paginate_queryset(found, request, self) or []
        known = NotificationRecord.objects.only("id", "tenant_id", "status", "delivery_state", "failure_reason")
        context = {"records": known.in_bulk([row.record_id for row in page if row.record_id])}
        return pages.get_paginated_response(shapes.CampaignRecipientOut(page, many=True, context=context).data)

    @extend_schema(
        operation_id="campaigns_recipients_add", request=shapes.RecipientsIn, responses={201: shapes.CampaignOut}
    )
    def post(self, request: Request, campaign_id: UUID) -> Response:
        """Add recipients to a campaign that is a draft or scheduled: all of them, or none."""
        data = self.valid(shapes.RecipientsIn)
        campaign = services.add_recipients(self.caller, campaign_id, data["recipients"])
        return Response(shapes.CampaignOut(campaign).data, status=201)


@extend_schema(tags=["campaigns"])
class CampaignReport(TenantView):
    """What came of it."""

    permissions = Permission.CAMPAIGNS_READ

    @extend_schema(operation_id="campaigns_report", responses=shapes.ReportOut)
    def get(self, request: Request, campaign_id: UUID) -> Response:
        found = report_of(services.get_campaign(campaign_id))
        return Response({**found, "csv": f"/api/notifications/campaigns/{campaign_id}/report.csv"})


@extend_schema(tags=["campaigns"])
class CampaignReportCsv(TenantView):
    """Every recipient and what became of it, as CSV; no cell of it is a formula."""

    permissions = Permission.CAMPAIGNS_READ

    @extend_schema(operation_id="campaigns_report_csv", responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request, campaign_id: UUID) -> StreamingHttpResponse:
        campaign = services.get_campaign(campaign_id)
        return StreamingHttpResponse(
            report_rows(campaign),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="campaign-{campaign.id}.csv"'},
        )


def _source(data: dict[str, Any]) -> dict[str, Any] | None:
    """Take out of a body where its recipients come from, if not from itself."""
    if (segment := data.pop("segment", None)) is not None:
        return {"type": "campaign", "campaign": str(segment["campaign"]), "segment": str(segment["segment"])}
    if (job_id := data.pop("csv_job", None)) is not None:
        return {"type": "csv_job", "csv_job": str(job_id)}
    if (recipient_filter := data.pop("recipient_filter", None)) is not None:
        return {"type": "filter", **_plain(recipient_filter)}
    return None


def _plain(value: Any) -> Any:
    """Return validated data as plain JSON values: serializers make dictionaries of their own kind."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _as_written(text: str, parsed: datetime) -> datetime:
    try:
        return datetime.fromisoformat(text.strip()).replace(tzinfo=UTC)
    except ValueError:
        return parsed
