"""The audit log: who did what, appended and never changed."""

from __future__ import annotations

from django.db import models

from tenants.isolation import TenantModel


class AuditLog(TenantModel):
    """One action. ``tenant`` is null for the platform's own actions, which only the platform sees.

    Rows are appended by ``tenants.audit.record``; a trigger refuses updates and deletes.
    """

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+", null=True)  # type: ignore[assignment]
    actor_type = models.CharField(max_length=16)  # user, api_key, system
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=255, blank=True)
    action = models.CharField(max_length=100)
    resource_type = models.CharField(max_length=50)
    resource_id = models.CharField(max_length=64, blank=True)
    # {"before": {...}, "after": {...}} and whatever else explains the action; secrets are masked before they get here.
    metadata = models.JSONField(default=dict)
    ip_address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        db_table = "audit_log"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["tenant", "-id"], name="audit_log_tenant"),
            models.Index(fields=["tenant", "resource_type", "resource_id"], name="audit_log_resource"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.resource_type} {self.resource_id}"
