"""Batches (many notifications under one id, counted exactly) and jobs (files that become batches)."""

from __future__ import annotations

from django.db import models

from notifications.recipients.models import MAX_ADDRESS
from notifications.records.states import Lane
from tenants.isolation import TenantModel


class BatchSource(models.TextChoices):
    """Where a batch's notifications come from."""

    API = "api", "API"
    FILE = "file", "File"


class BatchStatus(models.TextChoices):
    """Whether a batch takes more: ``open`` does; ``closed`` is complete; ``cancelled`` sends nothing more."""

    OPEN = "open", "Open"
    CLOSED = "closed", "Closed"
    CANCELLED = "cancelled", "Cancelled"


class Batch(TenantModel):
    """Notifications under one id. Its counters move with the records, in the same transactions.

    ``total`` counts records; ``rejected`` items that were refused and became none. What is in none of ``success``,
    ``failed``, ``suppressed`` and ``cancelled`` is still on its way.
    """

    source = models.CharField(max_length=8, choices=BatchSource, default=BatchSource.API)
    status = models.CharField(max_length=16, choices=BatchStatus, default=BatchStatus.OPEN)
    mode = models.CharField(max_length=8, default="live")
    # Whether its waiting records are held back.
    held = models.BooleanField(default=False)
    total = models.BigIntegerField(default=0)
    success = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    suppressed = models.BigIntegerField(default=0)
    cancelled = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)
    created_by = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    # The last movement of a counter, and when they were last compared with the records.
    moved_at = models.DateTimeField(null=True)
    counted_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)
    # Until when records may still come back that must be cancelled, held or let go with the others.
    settle_until = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        db_table = "batch"
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["settle_until"], name="batch_unsettled", condition=models.Q(settle_until__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.id} {self.status}"

    @property
    def in_progress(self) -> int:
        """Records that have no end yet."""
        return self.total - self.success - self.failed - self.suppressed - self.cancelled


class Chunk(TenantModel):
    """A chunk that was appended to a batch, and the answer that it got."""

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="+", db_index=False)
    number = models.PositiveIntegerField()
    request_hash = models.BinaryField(max_length=32)
    response = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        db_table = "batch_chunk"
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["batch", "number"], name="batch_chunk_unique")]


class JobStatus(models.TextChoices):
    """Where a job stands. ``failed`` means that the file could not be used: nothing of it was sent."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    PAUSED = "paused", "Paused"
    COMPLETED = "completed", "Completed"
    CANCELLED = "cancelled", "Cancelled"
    FAILED = "failed", "Failed"


class Phase(models.TextChoices):
    """What a job does next: make a table of a workbook, read and stage rows, write records."""

    CONVERT = "convert", "Convert"
    STAGE = "stage", "Stage"
    RECORD = "record", "Record"
    DONE = "done", "Done"


class Job(TenantModel):
    """A file whose rows become records. What it has done is committed with where it stands: it can be killed anywhere.

    ``offset`` is the byte of the stored file at which the next row begins; ``recorded_until`` the id of the last staged
    row that has become a record. ``lease_token`` fences out a worker that was taken for lost.
    """

    batch = models.OneToOneField(Batch, on_delete=models.CASCADE, related_name="job")
    status = models.CharField(max_length=16, choices=JobStatus, default=JobStatus.QUEUED)
    phase = models.CharField(max_length=16, choices=Phase, default=Phase.STAGE)
    # Why it failed, or why it paused by itself.
    detail = models.CharField(max_length=500, blank=True, default="")

    # The file, as it came and as it is stored: UTF-8, rows separated by line feeds.
    file_name = models.CharField(max_length=255)
    file = models.CharField(max_length=255)
    size = models.BigIntegerField(default=0)
    encoding = models.CharField(max_length=16, blank=True, default="")
    delimiter = models.CharField(max_length=1, default=",")
    header = models.JSONField(default=list)
    mapping = models.JSONField(default=dict)

    channel = models.CharField(max_length=32)
    content = models.JSONField(default=dict)
    template_version_id = models.UUIDField(null=True)
    context = models.JSONField(default=dict)
    metadata = models.JSONField(default=dict)
    lane = models.CharField(max_length=16, choices=Lane, default=Lane.BULK)
    dry_run = models.BooleanField(default=False)
    scheduled_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    offset = models.BigIntegerField(default=0)
    # Number of the last row that was read, the header being row 1, as a spreadsheet shows it.
    row_number = models.BigIntegerField(default=1)
    recorded_until = models.UUIDField(null=True)
    admitted = models.BooleanField(default=False)
    rows_read = models.BigIntegerField(default=0)
    staged = models.BigIntegerField(default=0)
    broken = models.BigIntegerField(default=0)
    duplicates = models.BigIntegerField(default=0)
    recorded = models.BigIntegerField(default=0)
    suppressed = models.BigIntegerField(default=0)

    lease_token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    # Turns that were begun since something was last committed: a file that breaks its reader does so only so often.
    stumbles = models.PositiveSmallIntegerField(default=0)
    created_by = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    # Seconds of work so far: what the rate is told by.
    worked_seconds = models.FloatField(default=0.0)
    # When the file, the staged rows and the errors were deleted.
    purged_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        db_table = "bulk_job"
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["lease_until"], name="bulk_job_active", condition=models.Q(status__in=["queued", "running"])
            ),
            models.Index(fields=["created_at"], name="bulk_job_unpurged", condition=models.Q(purged_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.file_name} {self.id} {self.status}"


class StagedRow(TenantModel):
    """A valid row of a file. Its id is that of the record that it will become; an address stands once in a job.

    Foreign keys are not checked row by row: who stages has just locked the job.
    """

    tenant = models.ForeignKey(
        "tenants.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False)
    row_number = models.BigIntegerField()
    address = models.CharField(max_length=MAX_ADDRESS)
    # The form in which addresses are compared, where it differs from the address; and 16 octets of its BLAKE2b digest.
    address_key = models.CharField(max_length=MAX_ADDRESS, null=True)
    address_hash = models.UUIDField()
    user_id = models.CharField(max_length=255, blank=True, default="")
    locale = models.CharField(max_length=35, blank=True, default="")
    context = models.JSONField(default=dict)

    class Meta(TenantModel.Meta):
        db_table = "bulk_staged_row"
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["job", "address_hash"], name="bulk_staged_row_unique")]
        indexes = [models.Index(fields=["job", "id"], name="bulk_staged_row_order")]


class BrokenRow(TenantModel):
    """A row of a file that can not be sent, and why: the first thing that is wrong with it."""

    tenant = models.ForeignKey(
        "tenants.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False)
    row_number = models.BigIntegerField()
    column = models.CharField(max_length=255, blank=True, default="")
    code = models.CharField(max_length=32)
    reason = models.CharField(max_length=500)
    # The row as it stood in the file, cut after 2,000 characters.
    original = models.TextField(blank=True, default="")

    class Meta(TenantModel.Meta):
        db_table = "bulk_broken_row"
        ordering = ["id"]
        indexes = [models.Index(fields=["job", "id"], name="bulk_broken_row_order")]
