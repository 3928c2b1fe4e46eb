"""Admin pages of templates: what they say, every version with what it changed, and what it looks like."""

from __future__ import annotations

from typing import Any, ClassVar

import orjson
from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminSelectWidget

from notification_service.lib.admin import LongList, choice_filter
from notification_service.lib.errors import ServiceError
from notification_service.lib.scope import tenant_scope
from notifications.channels.registry import channels
from notifications.templates import lookups
from notifications.templates.models import Lookup, MessageTemplate, MessageTemplateVersion
from notifications.templates.preview import differences, preview
from notifications.templates.services import update_template
from tenants.admin_base import AuditedAdmin, ReadOnlyAdmin
from tenants.callers import Caller

#: Versions whose changes are shown on a template's page.
_SHOWN = 20


class MessageTemplateForm(forms.ModelForm):  # type: ignore[type-arg]
    """What is known of a template besides its words. Its category is one of its tenant's list."""

    class Meta:
        model = MessageTemplate
        fields: ClassVar = ["name", "category", "description"]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if "category" not in self.fields:
            return
        with tenant_scope(self.instance.tenant_id):
            offered = lookups.known("category")
        now = self.instance.category
        hidden = [(now, now)] if now and now not in offered else []
        self.fields["category"] = forms.ChoiceField(
            choices=[("", "---------"), *hidden, *offered.items()], required=False, widget=UnfoldAdminSelectWidget
        )


@admin.register(MessageTemplate)
class MessageTemplateAdmin(LongList, ReadOnlyAdmin):
    """Templates of all tenants. Their words are written over the API; each save is a version."""

    form = MessageTemplateForm

    list_display = ("slug", "tenant", "name", "channel", "kind", "source", "category", "published_at")
    list_filter = (choice_filter("channel", channels.keys()), "kind", "source")
    list_select_related = ("tenant",)
    search_fields = ("slug", "name", "tenant__slug")
    fields = (
        ("name", "slug"),
        ("tenant", "source"),
        ("channel", "kind", "category"),
        "description",
        ("published", "published_at", "latest"),
        ("created_by", "created_at", "updated_at", "deleted_at"),
        "looks",
        "history",
    )
    readonly_fields = (
        *("slug", "tenant", "source", "channel", "kind", "published", "published_at", "latest"),
        *("created_by", "created_at", "updated_at", "deleted_at", "looks", "history"),
    )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super(ReadOnlyAdmin, self).has_change_permission(request, obj) and not (obj and obj.deleted_at)

    def save_model(self, request: HttpRequest, obj: MessageTemplate, form: Any, change: bool) -> None:
        """Change it as its tenant would, with its words as they are."""
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        staff = Caller(obj.tenant_id, "user", str(request.user.pk), str(request.user))
        with tenant_scope(obj.tenant_id):
            update_template(staff, obj.id, {**changes, "publish": False})

    @admin.display(description="preview")
    def looks(self, template: MessageTemplate) -> SafeString:
        """What the newest version looks like, with samples: in a frame where nothing runs and nothing is sent."""
        version = template.latest
        if version is None:
            return SafeString("")
        with tenant_scope(template.tenant_id):
            version.template = template
            try:
                rendered = preview(version, {})["rendered"]
            except ServiceError as error:
                return format_html("<p>{}</p>", error.message)
        if page := rendered.get("html"):
            return format_html(
                '<p><b>{}</b></p><iframe sandbox="" srcdoc="{}" style="width:100%;height:480px;border:1px solid #ddd">'
                "</iframe><pre style='white-space:pre-wrap'>{}</pre>",
                rendered["subject"],
                page,
                rendered["text"],
            )
        shown = orjson.dumps(rendered, option=orjson.OPT_INDENT_2).decode()
        return format_html("<pre style='white-space:pre-wrap'>{}</pre>", shown)

    @admin.display(description="versions")
    def history(self, template: MessageTemplate) -> SafeString:
        """The last versions, each with what it changed."""
        with tenant_scope(template.tenant_id):
            rows = MessageTemplateVersion.objects.filter(template=template).order_by("-number")
            versions = list(rows[: _SHOWN + 1])
            pairs = zip(versions[:_SHOWN], [*versions[1:], None], strict=False)
            return format_html_join("", "<details><summary>{}</summary><pre>{}</pre></details>", map(_told, pairs))


def _told(pair: tuple[MessageTemplateVersion, MessageTemplateVersion | None]) -> tuple[str, str]:
    version, before = pair
    said = f"{version.number} · {version.created_at:%Y-%m-%d %H:%M} UTC · {version.created_by}"
    if version.comment:
        said += f" · {version.comment}"
    if before is None:
        return said, "the first version"
    changes = differences(before, version)
    lines = [line for each in changes for line in (each["field"], *(each["lines"] or [f"→ {each['after']}"]), "")]
    return said, "\n".join(lines) or "its layout"


@admin.register(MessageTemplateVersion)
class MessageTemplateVersionAdmin(LongList, ReadOnlyAdmin):
    """Versions: written once."""

    list_display = ("template", "number", "tenant", "comment", "created_by", "made_at")
    list_select_related = ("tenant", "template")
    search_fields = ("=id", "template__slug")


@admin.register(Lookup)
class LookupAdmin(AuditedAdmin):
    """Values of lists that tenants have added."""

    list_display = ("type", "value", "label", "tenant", "position", "active")
    list_filter = ("active",)
    list_select_related = ("tenant",)
    search_fields = ("type", "value", "label")
    readonly_fields: ClassVar[tuple[str, ...]] = ("tenant", "type", "value")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Lookup, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        lookups.changed(obj.tenant_id)
