"""A tenant's credentials at its providers, encrypted at rest."""

from __future__ import annotations

from django.db import models

from tenants.isolation import TenantModel


class CredentialStatus(models.TextChoices):
    """``paused`` is the engine's doing (the provider refused the credential); ``disabled`` is the tenant's."""

    ACTIVE = "active", "Active"
    PAUSED = "paused", "Paused"
    DISABLED = "disabled", "Disabled"


class Credential(TenantModel):
    """What a tenant needs to send on a channel through a provider.

    Several per channel are tried in the order of ``position``. ``payload_encrypted`` is the whole payload: ciphertext
    of ``lib.encryption``, bound to tenant and credential.
    """

    name = models.CharField(max_length=255)
    channel = models.CharField(max_length=32)
    provider = models.CharField(max_length=32)
    payload_encrypted = models.BinaryField()
    # What the provider calls the account, in its own calls to us too: no secret. Empty where it says nothing of it.
    account = models.CharField(max_length=255, blank=True, default="")
    position = models.PositiveSmallIntegerField(default=0)
    # Among those of the same position: how often it is tried first, in proportion.
    weight = models.PositiveSmallIntegerField(default=1)
    # Messages a second; null for no limit.
    rate_limit = models.PositiveIntegerField(null=True)
    status = models.CharField(max_length=16, choices=CredentialStatus, default=CredentialStatus.ACTIVE)
    # Why the engine paused it, in the provider's own words.
    status_detail = models.CharField(max_length=500, blank=True)
    status_changed_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(TenantModel.Meta):
        db_table = "credential"
        ordering = ["channel", "position", "id"]
        indexes = [
            models.Index(fields=["tenant", "channel", "position"], name="credential_choice"),
            models.Index(fields=["provider", "account"], name="credential_account", condition=~models.Q(account="")),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.channel} by {self.provider})"

    @property
    def associated_data(self) -> bytes:
        """What binds the ciphertext to this row of this tenant."""
        return b"credential:" + self.tenant_id.bytes + self.id.bytes
