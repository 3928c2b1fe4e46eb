"""``/api/v1/users/me/preferences``, ``/api/v1/users/{id}/preferences`` and ``/api/v1/categories``."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.recipients import preferences, users
from notifications.recipients.models import Category, Digest
from tenants.api.fields import ClosedSerializer
from tenants.api.permissions import reading_and_writing
from tenants.api.views import TenantView
from tenants.permissions import Permission

_EXAMPLE = {
    "categories": {"marketing": {"email": False}, "*": {"sms": False}},
    "quiet_hours": {"start": "22:00", "end": "07:00", "time_zone": "Europe/Dublin"},
    "digest": "daily",
}


class QuietHoursIn(ClosedSerializer):
    """Wall times between which nobody is disturbed; an end before the start is the next day's."""

    start = serializers.TimeField(format="%H:%M", input_formats=["%H:%M", "%H:%M:%S"])
    end = serializers.TimeField(format="%H:%M", input_formats=["%H:%M", "%H:%M:%S"])
    time_zone = serializers.CharField(
        max_length=64, required=False, allow_blank=True, help_text="IANA; default: the person's, else the tenant's."
    )


class PreferencesIn(ClosedSerializer):
    """What somebody wants to get, where and when."""

    #: Shown in answers, which may be sent back as they are.
    ignored = frozenset({"user_id", "available", "updated_at"})

    categories = serializers.DictField(
        child=serializers.DictField(child=serializers.BooleanField()),
        required=False,
        help_text="`{category: {channel: on}}`; `*` is every other category or channel.",
    )
    quiet_hours = QuietHoursIn(required=False, allow_null=True)
    digest = serializers.ChoiceField(
        choices=Digest.choices,
        required=False,
        help_text=(
            "How often emails that can wait are gathered into one: at the full hour, or at 08:00 in the person's time "
            "zone. Other channels, the critical lane and required categories are not gathered."
        ),
    )


class AvailableOut(serializers.Serializer[Any]):
    key = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    required = serializers.BooleanField()  # type: ignore[assignment]
    default_on = serializers.BooleanField()
    channels = serializers.DictField(child=serializers.BooleanField(), help_text="What counts now, by channel.")


class PreferencesOut(PreferencesIn):
    """What somebody has chosen, and from what."""

    user_id = serializers.CharField()
    available = AvailableOut(many=True, help_text="The tenant's categories.")
    updated_at = serializers.DateTimeField(allow_null=True, help_text="Null: nothing was chosen yet.")


class _Preferences(TenantView):
    def _shown(self, user_id: str) -> Response:
        return Response(preferences.describe_preferences(preferences.get_preferences(user_id)))

    def _chosen(self, user_id: str) -> Response:
        row = preferences.set_preferences(self.caller, user_id, **self.valid(PreferencesIn))
        return Response(preferences.describe_preferences(row))


@extend_schema(tags=["preferences"])
class MyPreferences(_Preferences):
    """What the signed-in person wants to get, where and when."""

    permissions = Permission.SELF

    @extend_schema(operation_id="my_preferences_retrieve", responses=PreferencesOut)
    def get(self, request: Request) -> Response:
        return self._shown(users.known_as(self.caller.actor_id))

    @extend_schema(
        operation_id="my_preferences_replace",
        request=PreferencesIn,
        responses=PreferencesOut,
        examples=[OpenApiExample("Quiet at night", value=_EXAMPLE, request_only=True)],
    )
    def put(self, request: Request) -> Response:
        """Choose everything anew; what is not given goes back to its default."""
        return self._chosen(users.known_as(self.caller.actor_id))


@extend_schema(tags=["preferences"])
class UserPreferences(_Preferences):
    """What another person wants to get."""

    permissions = {"GET": Permission.USERS_READ, "PUT": Permission.USERS_MANAGE}

    @extend_schema(operation_id="users_preferences_retrieve", responses=PreferencesOut)
    def get(self, request: Request, user_pk: UUID) -> Response:
        return self._shown(users.get_user(user_pk).user_id)

    @extend_schema(operation_id="users_preferences_replace", request=PreferencesIn, responses=PreferencesOut)
    def put(self, request: Request, user_pk: UUID) -> Response:
        return self._chosen(users.get_user(user_pk).user_id)


class CategoryIn(serializers.Serializer[Any]):
    key = serializers.RegexField(
        r"^[\w.-]+$", max_length=64, help_text="What stands under `category` in the metadata of messages."
    )
    name = serializers.CharField(max_length=255, required=False, allow_blank=True)
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)
    required = serializers.BooleanField(required=False, help_text="Whether it can not be switched off.")  # type: ignore[assignment]
    default_on = serializers.BooleanField(required=False, help_text="For people who have not chosen. Default: true.")


class CategoryOut(serializers.ModelSerializer[Category]):
    class Meta:
        model = Category
        fields = ["id", "key", "name", "description", "required", "default_on", "created_at", "updated_at"]
        read_only_fields = fields


_PERMISSIONS = reading_and_writing(Permission.USERS_READ, Permission.USERS_MANAGE)


@extend_schema(tags=["preferences"])
class CategoryList(TenantView):
    """Kinds of message that people may choose."""

    permissions = _PERMISSIONS

    @extend_schema(operation_id="categories_list", responses=CategoryOut(many=True))
    def get(self, request: Request) -> Response:
        return self.paginated(Category.objects.all(), CategoryOut)

    @extend_schema(operation_id="categories_create", request=CategoryIn, responses={201: CategoryOut})
    def post(self, request: Request) -> Response:
        made = preferences.create_category(self.caller, **self.valid(CategoryIn))
        return Response(CategoryOut(made).data, status=201)


@extend_schema(tags=["preferences"])
class CategoryDetail(TenantView):
    """One kind of message."""

    permissions = _PERMISSIONS

    @extend_schema(operation_id="categories_retrieve", responses=CategoryOut)
    def get(self, request: Request, category_id: UUID) -> Response:
        return Response(CategoryOut(preferences.get_category(category_id)).data)

    @extend_schema(operation_id="categories_replace", request=CategoryIn, responses=CategoryOut)
    def put(self, request: Request, category_id: UUID) -> Response:
        defaults = {"name": "", "description": "", "required": False, "default_on": True}
        changes = {**defaults, **self.valid(CategoryIn)}
        return Response(CategoryOut(preferences.update_category(self.caller, category_id, changes)).data)

    @extend_schema(operation_id="categories_update", request=CategoryIn(partial=True), responses=CategoryOut)
    def patch(self, request: Request, category_id: UUID) -> Response:
        changes = self.valid(CategoryIn, partial=True)
        return Response(CategoryOut(preferences.update_category(self.caller, category_id, changes)).data)

    @extend_schema(operation_id="categories_delete", responses={204: None})
    def delete(self, request: Request, category_id: UUID) -> Response:
        preferences.delete_category(self.caller, category_id)
        return Response(status=204)
