"""People who receive: who they are, what they want, their devices; and where nobody must be written to any more."""

from __future__ import annotations

from typing import Final

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from tenants.isolation import TenantModel

#: Characters of an address on any channel. Web Push subscriptions are the longest; an index entry still holds one.
MAX_ADDRESS: Final = 2048


class RecipientStatus(models.TextChoices):
    """``approved`` and ``active`` people receive.

    ``pending`` and ``unverified`` ones wait for approval, ``disabled`` ones get nothing.
    """

    PENDING = "pending", "Pending"
    APPROVED = "approved", "Approved"
    ACTIVE = "active", "Active"
    DISABLED = "disabled", "Disabled"
    UNVERIFIED = "unverified", "Unverified"


class Recipient(TenantModel):
    """A person who receives (API: ``users``). One per tenant and email, whatever its case, and per external id.

    The devices that they receive push messages on are ``Device`` rows of the same ``user_id``.
    """

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False)
    external_user_id = models.CharField(max_length=255, blank=True, default="")
    email = models.CharField(max_length=254, blank=True, default="")
    # A column of its own, because row-level security keeps ``lower(email)`` from being looked up in an index.
    email_key = models.GeneratedField(
        expression=Lower("email"), output_field=models.CharField(max_length=254), db_persist=True
    )
    phone = models.CharField(max_length=32, blank=True, default="")  # E.164
    name = models.CharField(max_length=255, blank=True, default="")
    roles = ArrayField(models.CharField(max_length=64), default=list, blank=True)  # sorted names of roles
    status = models.CharField(max_length=16, choices=RecipientStatus, default=RecipientStatus.ACTIVE)
    locale = models.CharField(max_length=35, blank=True, default="")
    time_zone = models.CharField(max_length=64, blank=True, default="")
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        db_table = "recipient"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "email_key"],
                condition=models.Q(deleted_at=None) & ~models.Q(email=""),
                name="recipient_email_unique",
            ),
            models.UniqueConstraint(
                fields=["tenant", "external_user_id"],
                condition=models.Q(deleted_at=None) & ~models.Q(external_user_id=""),
                name="recipient_external_id_unique",
            ),
        ]
        indexes = [models.Index(fields=["tenant", "id"], name="recipient_list", condition=models.Q(deleted_at=None))]

    def __str__(self) -> str:
        return self.user_id

    @property
    def user_id(self) -> str:
        """What the tenant calls the person: the external id if there is one, else our own."""
        return self.external_user_id or str(self.id)


class Role(TenantModel):
    """A name under which a tenant addresses several people. It says nothing about what they may do here."""

    name = models.CharField(max_length=64)
    description = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(TenantModel.Meta):
        db_table = "recipient_role"
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="recipient_role_unique")]

    def __str__(self) -> str:
        return self.name


class Category(TenantModel):
    """A kind of message that people may choose: the text under ``category`` of a message's metadata.

    ``required`` ones can not be switched off; ``default_on`` is what counts for people who have not chosen.
    """

    key = models.CharField(max_length=64)
    name = models.CharField(max_length=255, blank=True, default="")
    description = models.CharField(max_length=500, blank=True, default="")
    required = models.BooleanField(default=False)
    default_on = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(TenantModel.Meta):
        db_table = "category"
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["tenant", "key"], name="category_unique")]

    def __str__(self) -> str:
        return self.key


class Digest(models.TextChoices):
    """How often somebody wants what can wait."""

    INSTANT = "instant", "Instant"
    HOURLY = "hourly", "Hourly"
    DAILY = "daily", "Daily"


class Preference(TenantModel):
    """What a person wants to get, where and when. ``user_id`` is the tenant's word; a row of ``Recipient`` may lack.

    ``switches`` is ``{category: {channel: bool}}``; ``*`` stands for every other category or channel. Quiet hours are
    wall times in ``time_zone``; both null: none.
    """

    user_id = models.CharField(max_length=255)
    switches = models.JSONField(default=dict, blank=True)
    quiet_start = models.TimeField(null=True, blank=True)
    quiet_end = models.TimeField(null=True, blank=True)
    time_zone = models.CharField(max_length=64, blank=True, default="")
    digest = models.CharField(max_length=16, choices=Digest, default=Digest.INSTANT)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(TenantModel.Meta):
        db_table = "preference"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "user_id"], name="preference_unique")]

    def __str__(self) -> str:
        return f"preferences of {self.user_id}"


class UserService(TenantModel):
    """A tenant's own service that knows its people, asked about ids that nobody here has heard of.

    ``url`` holds ``{user_id}``. ``secret_encrypted`` is the bearer token: ciphertext of ``lib.encryption``.
    """

    url = models.CharField(max_length=2048)
    secret_encrypted = models.BinaryField()
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(TenantModel.Meta):
        db_table = "user_service"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["tenant"], name="user_service_unique")]

    def __str__(self) -> str:
        return self.url

    @property
    def associated_data(self) -> bytes:
        """What binds the ciphertext to this row of this tenant."""
        return b"user service:" + self.tenant_id.bytes + self.id.bytes


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
