"""Where people receive: their devices; and where they must not be written to any more: suppressions."""

from __future__ import annotations

from typing import Final

from django.db import models
from django.utils import timezone

from tenants.isolation import TenantModel

#: Characters of an address on any channel. Web Push subscriptions are the longest; an index entry still holds one.
MAX_ADDRESS: Final = 2048


class Platform(models.TextChoices):
    """What a device is."""

    ANDROID = "android", "Android"
    IOS = "ios", "iOS"
    WEB = "web", "Web"


class Device(TenantModel):
    """An installation of an app, or a browser, that receives push notifications for a person.

    ``user_id`` is any id that the tenant knows the person by. ``token`` is the normal form of the push channel's
    address: a registration token, or a Web Push subscription as JSON. A token has one active device at most.
    """

    user_id = models.CharField(max_length=255)
    device_id = models.CharField(max_length=255)
    platform = models.CharField(max_length=16, choices=Platform)
    token = models.CharField(max_length=MAX_ADDRESS)
    app_version = models.CharField(max_length=64, blank=True, default="")
    locale = models.CharField(max_length=35, blank=True, default="")
    active = models.BooleanField(default=True)
    # ``moved`` (another person has the token now), ``dead_address``, or the tenant's own words.
    deactivated_reason = models.CharField(max_length=255, blank=True, default="")
    last_seen_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(TenantModel.Meta):
        db_table = "device"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "user_id", "device_id"], name="device_unique"),
            models.UniqueConstraint(
                fields=["tenant", "token"], condition=models.Q(active=True), name="device_token_unique"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.platform} {self.device_id} of {self.user_id}"


class SuppressionReason(models.TextChoices):
    """Why an address gets nothing more. All but ``unsubscribed`` hold on every lane."""

    HARD_BOUNCE = "hard_bounce", "Hard bounce"
    COMPLAINT = "complaint", "Complaint"
    STOP = "stop", "Stop"
    UNSUBSCRIBED = "unsubscribed", "Unsubscribed"
    DEAD_ADDRESS = "dead_address", "Dead address"
    MANUAL = "manual", "Manual"


class Suppression(TenantModel):
    """An address that gets nothing more on a channel: of a category, or, where that is blank, nothing at all."""

    channel = models.CharField(max_length=32)
    address = models.CharField(max_length=MAX_ADDRESS)
    category = models.CharField(max_length=64, blank=True, default="")
    reason = models.CharField(max_length=16, choices=SuppressionReason)
    # The record whose fate or link caused it.
    source_record_id = models.UUIDField(null=True)
    expires_at = models.DateTimeField(null=True)
    created_by = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        db_table = "suppression"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "channel", "address", "category"], name="suppression_unique")
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.reason}"

    @property
    def has_expired(self) -> bool:
        """Whether it holds no longer."""
        return self.expires_at is not None and self.expires_at <= timezone.now()
