"""API keys: how a tenant's servers say who they are."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from tenants.isolation import TenantModel


class ApiKeyMode(models.TextChoices):
    LIVE = "live", "Live"
    TEST = "test", "Test"


class ApiKeyStatus(models.TextChoices):
    ACTIVE = "active", "Active"
    REVOKED = "revoked", "Revoked"


class ApiKey(TenantModel):
    """A public key ``pk_{live|test}_…`` and the SHA-256 of its secret ``sk_{live|test}_…``.

    The secret has 256 bits of entropy, so a plain hash is as strong as a slow one. During the overlap of a rotation
    the previous secret is valid too.
    """

    name = models.CharField(max_length=255)
    mode = models.CharField(max_length=8, choices=ApiKeyMode)
    key = models.CharField(max_length=64, unique=True)
    secret_hash = models.BinaryField(max_length=32, unique=True)
    # The last characters of the secret, so that a person can tell which one a server uses.
    secret_hint = models.CharField(max_length=8)
    previous_secret_hash = models.BinaryField(max_length=32, null=True, unique=True)
    previous_secret_expires_at = models.DateTimeField(null=True)
    scopes = ArrayField(models.CharField(max_length=64), default=list)
    allowed_networks = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    status = models.CharField(max_length=16, choices=ApiKeyStatus, default=ApiKeyStatus.ACTIVE)
    revoked_at = models.DateTimeField(null=True)
    revoked_reason = models.CharField(max_length=255, blank=True)
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    created_by = models.ForeignKey("tenants.User", on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        db_table = "api_key"
        ordering = ["-id"]
        indexes = [models.Index(fields=["tenant", "status"], name="api_key_tenant_status")]

    def __str__(self) -> str:
        return f"{self.name} ({self.key})"
