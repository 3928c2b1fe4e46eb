"""A tenant: one company with its own people, credentials, words and records."""

from __future__ import annotations

from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from tenants.isolation import UUIDModel


class TenantStatus(models.TextChoices):
    ACTIVE = "active", "Active"
    TRIAL = "trial", "Trial"
    SUSPENDED = "suspended", "Suspended"
    CANCELLED = "cancelled", "Cancelled"


class Plan(models.TextChoices):
    FREE = "free", "Free"
    STARTER = "starter", "Starter"
    PROFESSIONAL = "professional", "Professional"
    ENTERPRISE = "enterprise", "Enterprise"


def validate_timezone(value: str) -> None:
    """Raise ``ValidationError`` unless the value is an IANA time zone name."""
    if value not in available_timezones():
        raise ValidationError("%(value)s is not an IANA time zone.", params={"value": value}, code="timezone")


validate_colour = RegexValidator(r"^#[0-9A-Fa-f]{6}$", "Enter a colour as #RRGGBB.", code="colour")
validate_locale = RegexValidator(
    r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", "Enter a locale such as en or pt-BR.", code="locale"
)


class Tenant(UUIDModel):
    """A company (the specification also says *project*). Not tenant-owned itself: it is what owns."""

    name = models.CharField(max_length=255)
    slug = models.SlugField(max_length=100, unique=True)
    status = models.CharField(max_length=16, choices=TenantStatus, default=TenantStatus.TRIAL)
    plan = models.CharField(max_length=16, choices=Plan, default=Plan.FREE)
    timezone = models.CharField(max_length=64, default="UTC", validators=[validate_timezone])
    locale = models.CharField(max_length=35, default="en", validators=[validate_locale])
    # The tenant's id at an outside issuer (the Auth Service's ``tenant_unique_id``), where that is not our own id.
    external_id = models.CharField(max_length=255, null=True, blank=True, unique=True)

    logo_url = models.URLField(max_length=500, blank=True)
    brand_color = models.CharField(max_length=7, blank=True, validators=[validate_colour])
    custom_domain = models.CharField(max_length=255, blank=True)

    settings = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "tenant"
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_open(self) -> bool:
        """Whether the tenant may use the service."""
        return self.status in (TenantStatus.ACTIVE, TenantStatus.TRIAL)
