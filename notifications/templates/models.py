"""Words that are written once and sent often: templates, their versions, and the values that lists offer."""

from __future__ import annotations

from typing import Final

from django.db import models

from tenants.isolation import TenantModel

#: As ``layout`` of a template: its own HTML is the whole mail.
NO_LAYOUT: Final = "none"
MAX_SLUG: Final = 100


class Kind(models.TextChoices):
    """What a template is: a message, or the page that messages are shown in."""

    MESSAGE = "message", "Message"
    LAYOUT = "layout", "Layout"


class Source(models.TextChoices):
    """Who wrote it: the tenant, or the service (a file under ``defaults/``) until the tenant changes it."""

    TENANT = "tenant", "Tenant"
    SYSTEM = "system", "System"


class MessageTemplate(TenantModel):
    """Words under a name. What they say stands in their versions, of which one is published."""

    name = models.CharField(max_length=255)
    slug = models.CharField(max_length=MAX_SLUG)
    channel = models.CharField(max_length=32)
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.MESSAGE)
    source = models.CharField(max_length=16, choices=Source, default=Source.TENANT)
    category = models.CharField(max_length=64, blank=True, default="")
    description = models.TextField(blank=True, default="")
    published = models.ForeignKey("MessageTemplateVersion", on_delete=models.SET_NULL, null=True, related_name="+")
    latest = models.ForeignKey("MessageTemplateVersion", on_delete=models.SET_NULL, null=True, related_name="+")
    published_at = models.DateTimeField(null=True)
    created_by = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    # Records that are on their way keep their words.
    deleted_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        db_table = "message_template"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "slug"], condition=models.Q(deleted_at=None), name="message_template_slug_unique"
            )
        ]

    def __str__(self) -> str:
        return self.slug


class MessageTemplateVersion(TenantModel):
    """What a template said at one time. Written once, never changed, kept as long as its tenant."""

    template = models.ForeignKey(MessageTemplate, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    # As it was written: the content, and what differs in other languages ({"pt-BR": content}).
    content = models.JSONField()
    variants = models.JSONField(default=dict)
    # Language of the content itself, where it is not the tenant's.
    locale = models.CharField(max_length=35, blank=True, default="")
    # [{"name", "type", "sample", "required", "default"}]: those declared, and those found.
    placeholders = models.JSONField(default=list)
    layout = models.CharField(max_length=MAX_SLUG, blank=True, default="")
    layout_version = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="+")
    # As it is sent: {"": content, "pt-BR": content}, its MJML compiled, in its layout, its CSS inlined.
    compiled = models.JSONField()
    # Of what was written; tells whether anything changed.
    checksum = models.CharField(max_length=64)
    comment = models.CharField(max_length=255, blank=True, default="")
    created_by = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        db_table = "message_template_version"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["template", "number"], name="message_template_version_number_unique")
        ]

    def __str__(self) -> str:
        return f"version {self.number}"


class Lookup(TenantModel):
    """A value that a list offers, of the tenant's own: a category, a locale. The service's own stand in a file."""

    type = models.CharField(max_length=64)
    value = models.CharField(max_length=64)
    label = models.CharField(max_length=255)
    description = models.CharField(max_length=500, blank=True, default="")
    position = models.PositiveSmallIntegerField(default=100)
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(TenantModel.Meta):
        db_table = "lookup"
        ordering = ["type", "position", "value"]
        constraints = [models.UniqueConstraint(fields=["tenant", "type", "value"], name="lookup_unique")]

    def __str__(self) -> str:
        return f"{self.type} {self.value}"
