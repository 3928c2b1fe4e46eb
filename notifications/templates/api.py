"""``/api/notifications/templates/``, also at ``/api/v1/admin/templates``: shape in, one service call, shape out."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.templates import services
from notifications.templates.models import MAX_SLUG, Kind, MessageTemplate, MessageTemplateVersion, Source
from notifications.templates.preview import differences, preview
from notifications.templates.services import NewTemplate
from tenants.api.fields import ClosedSerializer, JsonObject, JsonValue, SmallObject
from tenants.api.permissions import reading_and_writing
from tenants.api.views import TenantView
from tenants.permissions import Permission

_EXAMPLE = {
    "name": "Interview Invite",
    "channel": "email",
    "content": {"subject": "Hi {{ candidate_name }}", "html": "<p>See you on {{ date | date: 'long' }}.</p>"},
    "placeholders": [{"name": "candidate_name", "type": "string", "sample": "Ada"}, {"name": "date", "type": "date"}],
    "variants": {"de": {"subject": "Hallo {{ candidate_name }}", "html": "<p>Bis {{ date | date: 'long' }}.</p>"}},
}


class TemplateIn(ClosedSerializer):
    #: So that what was read may be sent back, changed.
    ignored = frozenset(
        {"id", "source", "status", "version", "published_version", "published_at", "created_by", "created_at",
         "updated_at"}
    )  # fmt: skip

    name = serializers.CharField(max_length=255)
    slug = serializers.CharField(max_length=MAX_SLUG, required=False, help_text="Unique; if not given, of the name.")
    channel = serializers.CharField(max_length=32, help_text="`email`")
    kind = serializers.ChoiceField(choices=Kind.choices, required=False)
    category = serializers.CharField(max_length=64, required=False, allow_blank=True, help_text="A lookup's value.")
    description = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    content = JsonObject(help_text="The words, as of a record of this channel; for email also `mjml`.")
    variants = JsonObject(required=False, help_text="Content in other languages: `{locale: content}`.")
    locale = serializers.CharField(
        max_length=35, required=False, allow_blank=True, help_text="Language of the content, if not the tenant's own."
    )
    placeholders = serializers.ListField(
        child=JsonValue(),
        required=False,
        help_text='Names (`"{{name}}"` or `"name"`), or objects: `name`, `type`, `sample`, `required`, `default`, '
        "`description`. What is not declared is found.",
    )
    layout = serializers.CharField(
        max_length=MAX_SLUG, required=False, allow_blank=True, help_text="Slug of a layout, or `none`; email only."
    )
    publish = serializers.BooleanField(required=False, help_text="Whether it is sent from now on; true by default.")


class TemplateChange(TemplateIn):
    comment = serializers.CharField(max_length=255, required=False, allow_blank=True, help_text="Of the new version.")


class TemplateReplace(TemplateChange):
    """A whole template; what is not given goes back to what a new one would have. The channel may be left out."""

    channel = serializers.CharField(max_length=32, required=False)


class TemplateOut(serializers.ModelSerializer[MessageTemplate]):
    status = serializers.SerializerMethodField()
    content = serializers.JSONField(source="latest.content")
    variants = serializers.JSONField(source="latest.variants")
    locale = serializers.CharField(source="latest.locale")
    placeholders = serializers.JSONField(source="latest.placeholders")
    layout = serializers.CharField(source="latest.layout")
    version = serializers.IntegerField(source="latest.number", help_text="Number of the version that is shown here.")
    published_version = serializers.IntegerField(source="published.number", allow_null=True, default=None)

    class Meta:
        model = MessageTemplate
        fields = [
            "id",
            "name",
            "slug",
            "channel",
            "kind",
            "source",
            "category",
            "description",
            "status",
            "content",
            "variants",
            "locale",
            "placeholders",
            "layout",
            "version",
            "published_version",
            "published_at",
            "created_by",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields

    def get_status(self, template: MessageTemplate) -> str:
        """``published``, ``changed`` (there is a newer version than the published one), or ``draft``."""
        if template.published_id is None:
            return "draft"
        return "published" if template.published_id == template.latest_id else "changed"


class VersionOut(serializers.ModelSerializer[MessageTemplateVersion]):
    class Meta:
        model = MessageTemplateVersion
        fields = [
            "id",
            "number",
            "content",
            "variants",
            "locale",
            "placeholders",
            "layout",
            "comment",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields


class PreviewIn(ClosedSerializer):
    context = SmallObject(required=False)  # type: ignore[assignment]
    locale = serializers.CharField(max_length=35, required=False, allow_blank=True)
    version = serializers.IntegerField(min_value=1, required=False, help_text="Its number; the latest if not given.")
    strict = serializers.BooleanField(required=False, help_text="Without samples for what the context lacks.")
    content = JsonObject(required=False, help_text="Other words than those of the version, not saved.")
    variants = JsonObject(required=False)
    layout = serializers.CharField(max_length=MAX_SLUG, required=False, allow_blank=True)


class PreviewOut(serializers.Serializer[Any]):
    channel = serializers.CharField()
    version = serializers.IntegerField()
    locale = serializers.CharField(allow_blank=True)
    variant = serializers.CharField(allow_blank=True, help_text="Which variant it is; empty: the content itself.")
    sampled = serializers.ListField(child=serializers.CharField(), help_text="Placeholders shown with a sample.")
    rendered = serializers.DictField(help_text="Exactly what would be sent.")


class TemplateFilter(django_filters.FilterSet):  # type: ignore[misc]
    """``?channel=email&category=billing&source=tenant&search=invoice``."""

    channel = django_filters.CharFilter()
    kind = django_filters.ChoiceFilter(choices=Kind.choices)
    source = django_filters.ChoiceFilter(choices=Source.choices)
    category = django_filters.CharFilter()
    slug = django_filters.CharFilter()
    search = django_filters.CharFilter(method="by_words")

    class Meta:
        model = MessageTemplate
        fields: list[str] = []

    def by_words(self, rows: QuerySet[MessageTemplate], name: str, value: str) -> QuerySet[MessageTemplate]:
        return rows.filter(Q(name__icontains=value) | Q(slug__icontains=value))


_PERMISSIONS = reading_and_writing(Permission.TEMPLATES_READ, Permission.TEMPLATES_MANAGE)


@extend_schema(tags=["templates"])
class TemplateList(TenantView):
    """The tenant's templates, and the system's."""

    permissions = _PERMISSIONS
    filterset_class = TemplateFilter

    @extend_schema(responses=TemplateOut(many=True), filters=True)
    def get(self, request: Request) -> Response:
        found = self.filtered(services.templates())
        # The tenant's own come first.
        return self.paginated(found.order_by("-source", "-id"), TemplateOut)

    @extend_schema(
        request=TemplateIn,
        responses={201: TemplateOut},
        examples=[OpenApiExample("An email in two languages", value=_EXAMPLE, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        data = self.valid(TemplateIn)
        data["placeholders"] = tuple(data.get("placeholders", ()))
        made = services.create_template(self.caller, NewTemplate(**data))
        headers = {"Location": f"/api/notifications/templates/{made.id}/"}
        return Response(TemplateOut(made).data, status=201, headers=headers)


@extend_schema(tags=["templates"])
class TemplateDetail(TenantView):
    """One template, by its id or slug."""

    permissions = _PERMISSIONS

    @extend_schema(responses=TemplateOut)
    def get(self, request: Request, key: str) -> Response:
        return Response(TemplateOut(services.get_template(key)).data)

    @extend_schema(request=TemplateReplace, responses=TemplateOut)
    def put(self, request: Request, key: str) -> Response:
        given = self.valid(TemplateReplace)
        whole = {"category": "", "description": "", "variants": {}, "locale": "", "placeholders": [], "layout": ""}
        return Response(TemplateOut(services.update_template(self.caller, key, {**whole, **given})).data)

    @extend_schema(request=TemplateChange(partial=True), responses=TemplateOut)
    def patch(self, request: Request, key: str) -> Response:
        changes = self.valid(TemplateChange, partial=True)
        return Response(TemplateOut(services.update_template(self.caller, key, changes)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, key: str) -> Response:
        services.delete_template(self.caller, key)
        return Response(status=204)


@extend_schema(tags=["templates"])
class TemplatePreview(TenantView):
    """What would be sent, with samples for values that are not given."""

    permissions = Permission.TEMPLATES_READ

    @extend_schema(request=PreviewIn, responses=PreviewOut)
    def post(self, request: Request, key: str) -> Response:
        data = self.valid(PreviewIn)
        template = services.get_template(key)
        version = services.get_version(template, data.get("version"))
        changes: dict[str, Any] = {name: data[name] for name in ("content", "variants", "layout") if name in data}
        if changes:
            version = services.draft(template, version, changes)
        shown = preview(
            version, data.get("context", {}), locale=data.get("locale", ""), strict=data.get("strict", False)
        )
        return Response(shown)


@extend_schema(tags=["templates"])
class VersionList(TenantView):
    """The versions of a template, newest first."""

    permissions = Permission.TEMPLATES_READ

    @extend_schema(responses=VersionOut(many=True))
    def get(self, request: Request, key: str) -> Response:
        template = services.get_template(key)
        return self.paginated(MessageTemplateVersion.objects.filter(template=template).order_by("-id"), VersionOut)


@extend_schema(tags=["templates"])
class VersionDetail(TenantView):
    """One version."""

    permissions = Permission.TEMPLATES_READ

    @extend_schema(responses=VersionOut)
    def get(self, request: Request, key: str, number: int) -> Response:
        return Response(VersionOut(services.get_version(services.get_template(key), number)).data)


_Change = inline_serializer(
    "TemplateDifference",
    {
        "field": serializers.CharField(),
        "before": serializers.JSONField(allow_null=True),
        "after": serializers.JSONField(allow_null=True),
        "lines": serializers.ListField(child=serializers.CharField(), allow_null=True),
    },
)


@extend_schema(tags=["templates"])
class VersionDiff(TenantView):
    """What two versions say differently."""

    permissions = Permission.TEMPLATES_READ

    @extend_schema(
        responses=inline_serializer(
            "TemplateDiff",
            {
                "before": serializers.IntegerField(),
                "after": serializers.IntegerField(),
                "changes": serializers.ListField(child=_Change),
            },
        ),
    )
    def get(self, request: Request, key: str, number: int, other: int) -> Response:
        template = services.get_template(key)
        before, after = services.get_version(template, number), services.get_version(template, other)
        return Response({"before": number, "after": other, "changes": differences(before, after)})


class PublishIn(ClosedSerializer):
    version = serializers.IntegerField(min_value=1, required=False, help_text="Its number; the latest if not given.")


@extend_schema(tags=["templates"])
class TemplatePublish(TenantView):
    """Send a version from now on. What was accepted before keeps its own."""

    permissions = Permission.TEMPLATES_MANAGE

    @extend_schema(request=PublishIn, responses=TemplateOut)
    def post(self, request: Request, key: str) -> Response:
        data = self.valid(PublishIn)
        return Response(TemplateOut(services.publish_version(self.caller, key, data.get("version"))).data)


class RestoreIn(ClosedSerializer):
    publish = serializers.BooleanField(required=False, help_text="True by default.")


@extend_schema(tags=["templates"])
class TemplateRestore(TenantView):
    """Make the words of an earlier version the newest ones."""

    permissions = Permission.TEMPLATES_MANAGE

    @extend_schema(request=RestoreIn, responses=TemplateOut)
    def post(self, request: Request, key: str, number: int) -> Response:
        data = self.valid(RestoreIn)
        restored = services.restore_version(self.caller, key, number, publish=data.get("publish", True))
        return Response(TemplateOut(restored).data)
