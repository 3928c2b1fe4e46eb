"""Campaigns, the recipients that are staged for them, and what is counted."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from notifications.campaigns.states import FINAL, CampaignStatus, RecipientState, Staging
from notifications.recipients.models import MAX_ADDRESS
from tenants.isolation import TenantModel

#: Shares and hashes are counted in ten-thousandths.
BUCKETS = 10_000


class Campaign(TenantModel):
    """One message to many recipients, who stand in ``CampaignRecipient``."""

    name = models.CharField(max_length=255)
    channel = models.CharField(max_length=32)
    status = models.CharField(max_length=16, choices=CampaignStatus, default=CampaignStatus.DRAFT)
    mode = models.CharField(max_length=8, default="live")
    category = models.CharField(max_length=64, blank=True, default="")

    # What it says: content of its own or a template, whose version is pinned at the launch.
    content = models.JSONField(default=dict)
    template = models.CharField(max_length=255, blank=True, default="")
    template_version_id = models.UUIDField(null=True)
    context = models.JSONField(default=dict)
    metadata = models.JSONField(default=dict)
    # [{"name", "weight", "content" | "template", "template_version_id"}]
    variants = models.JSONField(default=list)
    # {"sample_percent", "winner_by", "after_minutes"}; without it every recipient gets a variant by weight.
    ab_test = models.JSONField(null=True)
    winner = models.CharField(max_length=32, blank=True, default="")
    winner_due_at = models.DateTimeField(null=True)
    track = models.BooleanField(default=True)

    # {"type": "inline" | "csv_job" | "campaign" | "filter", …}, and how far it has been read.
    source = models.JSONField(default=dict)
    staging = models.CharField(max_length=16, choices=Staging, default=Staging.DONE)
    staged_up_to = models.JSONField(null=True)

    # When: ``scheduled_at`` is the moment at which it begins; ``local_start`` the wall-clock time that is meant in each
    # recipient's own time zone (written as if it were UTC).
    timezone = models.CharField(max_length=64, default="UTC")
    scheduled_at = models.DateTimeField(null=True)
    local_start = models.DateTimeField(null=True)
    # {"start": "09:00", "end": "18:00", "days": [1, …, 7]}
    window = models.JSONField(null=True)
    throttle_per_minute = models.PositiveIntegerField(null=True)
    # {"max", "days"}
    frequency_cap = models.JSONField(null=True)

    # What the turns remember: when the next is due, how far they came in each time zone that still has recipients
    # (their buckets are dealt with in order; null: not looked at yet), what the throttle has left, how quick it went.
    next_turn_at = models.DateTimeField(null=True)
    reached = models.JSONField(null=True)
    allowance = models.FloatField(default=0.0)
    allowance_at = models.DateTimeField(null=True)
    failed_turns = models.PositiveSmallIntegerField(default=0)
    rate = models.FloatField(default=0.0)
    rate_at = models.DateTimeField(null=True)
    rate_ended = models.BigIntegerField(default=0)
    proved_at = models.DateTimeField(null=True)
    # Why it waits or has failed, in words.
    problem = models.CharField(max_length=500, blank=True, default="")

    created_by = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    launched_at = models.DateTimeField(null=True)
    paused_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        db_table = "campaign"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["next_turn_at"], name="campaign_due", condition=Q(next_turn_at__isnull=False)),
            models.Index(fields=["tenant", "channel", "category", "-launched_at"], name="campaign_category"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status in FINAL

    @property
    def began(self) -> bool:
        """Whether its time has come: it was launched, or the scheduled moment is past."""
        return self.scheduled_at is None or self.scheduled_at <= timezone.now()


class CampaignRecipient(TenantModel):
    """One address that a campaign is for, once however often it was given.

    ``record_id`` is chosen and written in the transaction that writes the record, so that a turn that was interrupted
    left both or neither. ``bucket`` is a hash of campaign and address: it decides about sample and variant.
    """

    # The campaign has an index of its own below; a foreign key would lock its row with every chunk.
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False)
    campaign_id = models.UUIDField()
    address = models.CharField(max_length=MAX_ADDRESS)
    # BLAKE2b-128 of the address as suppressions compare it.
    address_key = models.BinaryField(max_length=16)
    bucket = models.PositiveSmallIntegerField()
    context = models.JSONField(default=dict)
    user_id = models.CharField(max_length=255, blank=True, default="")
    locale = models.CharField(max_length=35, blank=True, default="")
    timezone = models.CharField(max_length=64, blank=True, default="")
    # Place in what it came from (line of a file, index in a list), for the one who looks for it there.
    number = models.PositiveIntegerField(default=0)

    state = models.CharField(max_length=16, choices=RecipientState, default=RecipientState.STAGED)
    reason = models.CharField(max_length=255, blank=True, default="")
    variant = models.CharField(max_length=32, blank=True, default="")
    record_id = models.UUIDField(null=True)
    recorded_at = models.DateTimeField(null=True)
    # When each was first heard of.
    delivered_at = models.DateTimeField(null=True)
    opened_at = models.DateTimeField(null=True)
    clicked_at = models.DateTimeField(null=True)
    bounced_at = models.DateTimeField(null=True)
    complained_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        db_table = "campaign_recipient"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["campaign_id", "address_key"], name="campaign_recipient_unique")]
        indexes = [
            models.Index(fields=["campaign_id", "id"], name="campaign_recipient_list"),
            models.Index(
                fields=["campaign_id", "timezone", "bucket", "id"],
                name="campaign_recipient_staged",
                condition=Q(state=RecipientState.STAGED),
            ),
            models.Index(fields=["tenant", "user_id"], name="campaign_recipient_person", condition=Q(user_id__gt="")),
            models.Index(fields=["record_id"], name="campaign_recipient_record", condition=Q(record_id__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.state} {self.id}"


class CampaignTally(TenantModel):
    """A change of a campaign's counters, appended by whoever caused it and now and then added up to one row.

    Workers that count at the same time never wait for each other; the sum is exact, because each change commits with
    what it counts. ``name`` is a counter (``tallies.py``), ``reason`` what it is broken down by.
    """

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False)
    campaign_id = models.UUIDField()
    variant = models.CharField(max_length=32, blank=True, default="")
    name = models.CharField(max_length=32)
    reason = models.CharField(max_length=255, blank=True, default="")
    amount = models.BigIntegerField()

    class Meta(TenantModel.Meta):
        db_table = "campaign_tally"
        ordering = ["id"]
        indexes = [models.Index(fields=["campaign_id"], name="campaign_tally_campaign")]

    def __str__(self) -> str:
        return f"{self.name} {self.amount}"
