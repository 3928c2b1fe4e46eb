"""``/api/v1/services/notifications/bulk/…``: files whose rows become notifications, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from notification_service.lib.scope import tenant_scope
from notifications.batches import jobs
from notifications.batches.export import errors_csv
from notifications.batches.jobs import JobCall
from notifications.batches.models import Job, JobStatus
from notifications.batches.progress import percent_of, progress_of, status_of
from notifications.records.states import Lane
from tenants.api.fields import SmallObject
from tenants.api.views import ServiceView, TenantView
from tenants.permissions import Permission

#: Octets of the other fields of an upload.
_FORM: int = 1024 * 1024


class _JsonField(serializers.JSONField):
    """A JSON object in a field of a form."""

    def to_internal_value(self, data: Any) -> Any:
        value = super().to_internal_value(data)
        return SmallObject().run_validation(value)


class UploadIn(serializers.Serializer[Any]):
    file = serializers.FileField(
        max_length=255,
        help_text="CSV (UTF-8, UTF-16 or Latin-1; comma, semicolon, tab or bar) or an Excel workbook (.xlsx). The "
        "first row names the columns: `recipient` (or `email`, `phone`, `token`, `user_id`, by channel), every other "
        "column is a placeholder.",
    )
    channel = serializers.CharField(max_length=32)
    content = _JsonField(required=False, help_text='JSON: `{"subject": "Hi {{name}}", "body": "…"}`.')
    template = serializers.CharField(max_length=255, required=False, help_text="A template's key, instead of content.")
    mapping = _JsonField(
        required=False, help_text='JSON, by the file\'s column: `{"E-Mail": "recipient", "Vorname": "name"}`.'
    )
    context = _JsonField(required=False, help_text="JSON: values for every row.")  # type: ignore[assignment]
    metadata = _JsonField(required=False, help_text="JSON: kept with each notification, never sent.")
    lane = serializers.ChoiceField(choices=Lane.choices, required=False, help_text="Default: `bulk`.")
    dry_run = serializers.BooleanField(required=False, default=False, help_text="Check everything, send nothing.")
    scheduled_at = serializers.DateTimeField(required=False)
    expires_at = serializers.DateTimeField(required=False)


class JobProgressOut(serializers.Serializer[Any]):
    percent = serializers.FloatField()
    rows_read = serializers.IntegerField()
    valid = serializers.IntegerField(help_text="Rows that are right, duplicates included.")
    staged = serializers.IntegerField(help_text="Distinct addresses that are right.")
    broken = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    recorded = serializers.IntegerField(help_text="Notifications that will be sent.")
    suppressed = serializers.IntegerField(help_text="Kept with their reason, and not sent.")
    rate = serializers.FloatField(help_text="Rows read for each second of work.")


class JobOut(serializers.ModelSerializer[Job]):
    status = serializers.SerializerMethodField()
    progress = serializers.SerializerMethodField()
    mode = serializers.CharField(source="batch.mode")

    class Meta:
        model = Job
        fields = [
            "id",
            "batch_id",
            "status",
            "phase",
            "detail",
            "progress",
            "file_name",
            "size",
            "encoding",
            "delimiter",
            "header",
            "mapping",
            "channel",
            "lane",
            "mode",
            "dry_run",
            "scheduled_at",
            "expires_at",
            "created_by",
            "created_at",
            "started_at",
            "finished_at",
            "purged_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=JobStatus.choices))
    def get_status(self, job: Job) -> str:
        """Where it stands; `paused` also while what it has recorded is held back."""
        return status_of(job)

    @extend_schema_field(JobProgressOut)
    def get_progress(self, job: Job) -> dict[str, float]:
        known = progress_of(job)
        return {
            "percent": percent_of(job),
            "rows_read": known.rows_read,
            "valid": known.staged + known.duplicates,
            "staged": known.staged,
            "broken": known.broken,
            "duplicates": known.duplicates,
            "recorded": known.recorded,
            "suppressed": known.suppressed,
            "rate": known.rate,
        }


@extend_schema(tags=["bulk"])
class JobUpload(ServiceView):
    """Send to everybody in a file. The answer comes when it is stored; the rows follow."""

    permissions = Permission.NOTIFICATIONS_WRITE
    parser_classes = [MultiPartParser]

    def body_limit(self) -> int | None:
        return settings.BULK_MAX_BYTES + _FORM

    @extend_schema(
        operation_id="services_notifications_bulk_csv",
        request={"multipart/form-data": UploadIn},
        responses={202: JobOut},
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                str,
                OpenApiParameter.HEADER,
                description="Repeat an upload with the same key as often as you like: it is carried out once.",
            )
        ],
    )
    def post(self, request: Request) -> Response:
        data: Mapping[str, Any] = self.valid(UploadIn)
        file = data["file"]
        call = JobCall(**{name: value for name, value in data.items() if name != "file"})
        key = request.headers.get("Idempotency-Key")
        job_id, replayed = jobs.create_job(self.caller, call, file=file.file, name=file.name, size=file.size, key=key)
        with tenant_scope(self.caller.required_tenant_id()):
            body = JobOut(jobs.get_job(job_id)).data
        headers = {"Location": f"/api/v1/services/notifications/bulk/{job_id}"}
        if replayed:
            headers["Idempotent-Replayed"] = "true"
        return Response(body, status=202, headers=headers)


@extend_schema(tags=["bulk"])
class JobList(TenantView):
    """The tenant's files, newest first."""

    permissions = Permission.NOTIFICATIONS_READ

    @extend_schema(operation_id="services_notifications_bulk_list", responses=JobOut(many=True))
    def get(self, request: Request) -> Response:
        return self.paginated(Job.objects.select_related("batch"), JobOut)


@extend_schema(tags=["bulk"])
class JobDetail(TenantView):
    """One file, and how far it is."""

    permissions = Permission.NOTIFICATIONS_READ

    @extend_schema(operation_id="services_notifications_bulk_retrieve", responses=JobOut)
    def get(self, request: Request, job_id: UUID) -> Response:
        return Response(JobOut(jobs.get_job(job_id)).data)


@extend_schema(tags=["bulk"])
class JobErrors(TenantView):
    """The rows that can not be sent, as CSV: `row`, `column`, `reason`, `original`. Safe to open in a spreadsheet."""

    permissions = Permission.NOTIFICATIONS_READ

    @extend_schema(
        operation_id="services_notifications_bulk_errors",
        responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description="`row,column,reason,original`")},
    )
    def get(self, request: Request, job_id: UUID) -> HttpResponseBase:
        job = jobs.get_job(job_id)
        answer = StreamingHttpResponse(errors_csv(job.tenant_id, job.id), content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="errors-{job.id}.csv"'
        return answer


class _JobVerb(TenantView):
    permissions = Permission.NOTIFICATIONS_WRITE


@extend_schema(tags=["bulk"])
class JobPause(_JobVerb):
    """Stop reading, and hold back what waits to be sent."""

    @extend_schema(operation_id="services_notifications_bulk_pause", request=None, responses=JobOut)
    def post(self, request: Request, job_id: UUID) -> Response:
        return Response(JobOut(jobs.pause_job(self.caller, job_id)).data)


@extend_schema(tags=["bulk"])
class JobResume(_JobVerb):
    """Go on where it stopped."""

    @extend_schema(operation_id="services_notifications_bulk_resume", request=None, responses=JobOut)
    def post(self, request: Request, job_id: UUID) -> Response:
        return Response(JobOut(jobs.resume_job(self.caller, job_id)).data)


@extend_schema(tags=["bulk"])
class JobCancel(_JobVerb):
    """Send nothing more of a file."""

    @extend_schema(operation_id="services_notifications_bulk_cancel", request=None, responses=JobOut)
    def post(self, request: Request, job_id: UUID) -> Response:
        return Response(JobOut(jobs.cancel_job(self.caller, job_id)).data)
