"""Rules and their versions, what waits because of them, and how often they have spoken."""

from __future__ import annotations

from django.db import models

from tenants.isolation import TenantModel


class Rule(TenantModel):
    """What a tenant wants to happen when. What it says is in its current version; ``version`` is that one's number."""

    name = models.CharField(max_length=255)
    description = models.TextField(blank=True, default="")
    # The higher, the earlier it is asked.
    priority = models.IntegerField(default=0)
    active = models.BooleanField(default=True)
    valid_from = models.DateTimeField(null=True)
    valid_until = models.DateTimeField(null=True)
    version = models.PositiveIntegerField(default=1)
    # Of rules with a schedule: when they speak next.
    next_run_at = models.DateTimeField(null=True)
    # The tenant's time zone by which that was reckoned.
    zone = models.CharField(max_length=64, blank=True, default="", db_default="")
    created_by = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(TenantModel.Meta):
        db_table = "rule"
        ordering = ["-priority", "id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="rule_name_unique")]
        indexes = [
            models.Index(fields=["next_run_at"], name="rule_due", condition=models.Q(next_run_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.name


class RuleVersion(TenantModel):
    """What a rule said from one change to the next; never changed, so that what waits keeps what it began with."""

    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    definition = models.JSONField()
    created_by = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        db_table = "rule_version"
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["rule", "number"], name="rule_version_unique")]

    def __str__(self) -> str:
        return f"{self.rule_id} {self.number}"


class StepKind(models.TextChoices):
    """``send`` (at once or later, to however many), ``digest`` (one message of many events), ``escalation``."""

    SEND = "send", "Send"
    DIGEST = "digest", "Digest"
    ESCALATION = "escalation", "Escalation"


class StepStatus(models.TextChoices):
    """Where a step stands."""

    WAITING = "waiting", "Waiting"
    DONE = "done", "Done"
    CANCELLED = "cancelled", "Cancelled"
    FAILED = "failed", "Failed"


class Step(TenantModel):
    """Something that a rule wants done at ``due_at``. The row is the timer: nothing else has to remember it."""

    version = models.ForeignKey(RuleVersion, on_delete=models.CASCADE, related_name="+")
    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, related_name="+")
    event_id = models.UUIDField()
    kind = models.CharField(max_length=16, choices=StepKind)
    status = models.CharField(max_length=16, choices=StepStatus, default=StepStatus.WAITING)
    due_at = models.DateTimeField()
    # Of a digest: whose it is. Of everything that waits: by which key it can be cancelled.
    key = models.CharField(max_length=255, blank=True, default="")
    cancel_key = models.CharField(max_length=255, blank=True, default="")
    # Of a fan-out: the last person that was reached. Of a digest: the events. Of an escalation: level and records.
    state = models.JSONField(default=dict)
    detail = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        db_table = "rule_step"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "rule", "key"],
                condition=models.Q(kind="digest", status="waiting"),
                name="rule_step_open_digest",
            )
        ]
        indexes = [
            models.Index(fields=["due_at"], name="rule_step_due", condition=models.Q(status="waiting")),
            models.Index(
                fields=["tenant", "cancel_key"],
                name="rule_step_cancel",
                condition=models.Q(status="waiting") & models.Q(cancel_key__gt=""),
            ),
            models.Index(fields=["event_id"], name="rule_step_event"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id} {self.status}"


class Throttle(TenantModel):
    """How often a rule has spoken under a key within a window."""

    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    window_start = models.DateTimeField()
    # From then on nobody asks any more.
    expires_at = models.DateTimeField(db_index=True)
    count = models.PositiveIntegerField()

    class Meta(TenantModel.Meta):
        db_table = "rule_throttle"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "rule", "key", "window_start"], name="rule_throttle_unique")
        ]

    def __str__(self) -> str:
        return f"{self.rule_id} {self.key} {self.count}"
