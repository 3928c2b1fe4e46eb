"""``/api/v1/users`` and ``/api/v1/roles``: shape in, one service call, shape out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import django_filters
from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notification_service.lib.masking import mask
from notifications.recipients import erasure, users
from notifications.recipients.models import MAX_ADDRESS, Device, Recipient, RecipientStatus, Role
from notifications.recipients.people import by_email
from notifications.recipients.services import devices_of
from notifications.recipients.user_fields import ALIASES, DEFAULTS, MAX_ROLES
from notifications.recipients.user_sync import MAX_USERS, sync_users
from tenants.api.permissions import reading_and_writing
from tenants.api.views import TenantView
from tenants.permissions import Permission

_EXAMPLE = {
    "external_user_id": "crm-17",
    "email": "ada@example.com",
    "phone": "+353861234567",
    "name": "Ada Lovelace",
    "roles": ["finance"],
    "locale": "en-IE",
    "time_zone": "Europe/Dublin",
    "metadata": {"city": "Cork"},
    "push_tokens": {"fcm": "dJx4…:APA91b…"},
}


class UserIn(serializers.Serializer[Any]):
    """A person; all fields are optional, but there must be a way to reach or name them."""

    external_user_id = serializers.CharField(
        max_length=255, required=False, allow_blank=True, allow_null=True, help_text="What you call them."
    )
    email = serializers.CharField(max_length=254, required=False, allow_blank=True, allow_null=True)
    phone = serializers.CharField(
        max_length=64, required=False, allow_blank=True, allow_null=True, help_text="Kept as E.164."
    )
    name = serializers.CharField(max_length=255, required=False, allow_blank=True, allow_null=True)
    roles = serializers.ListField(
        child=serializers.CharField(max_length=64),
        required=False,
        max_length=MAX_ROLES,
        help_text="Names of roles; new ones are made.",
    )
    status = serializers.ChoiceField(choices=RecipientStatus.choices, required=False, help_text="Default: `active`.")
    metadata = serializers.DictField(required=False, help_text="Yours, at most 16 KB: for conditions and texts.")
    locale = serializers.CharField(max_length=35, required=False, allow_blank=True, allow_null=True)
    time_zone = serializers.CharField(max_length=64, required=False, allow_blank=True, allow_null=True)
    push_tokens = serializers.DictField(
        child=serializers.CharField(max_length=MAX_ADDRESS),
        required=False,
        help_text="`{fcm|apns|web: token}`: registers a device of that name.",
    )

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, Mapping):
            data = {ALIASES.get(key, key): value for key, value in data.items()}
        return dict(super().to_internal_value(data))


class UserOut(serializers.ModelSerializer[Recipient]):
    user_id = serializers.CharField(read_only=True, help_text="The external id if there is one, else the id.")
    push_tokens = serializers.SerializerMethodField()

    class Meta:
        model = Recipient
        fields = ["id", "user_id", *DEFAULTS, "push_tokens", "created_at", "updated_at"]
        read_only_fields = fields

    def get_push_tokens(self, row: Recipient) -> dict[str, str]:
        """Active devices by their name; of each token only the last characters."""
        return {device.device_id: mask(device.token) for device in self._devices(row)}

    def _devices(self, row: Recipient) -> list[Device]:
        rows = [row]
        if self.parent is not None and self.parent.instance is not None:
            rows = list(self.parent.instance)
        shared: Any = self.context  # of all rows of the list: one query for them
        if "devices" not in shared:
            shared["devices"] = devices_of({key for each in rows for key in users.ids_of(each)})
        found: dict[str, list[Device]] = shared["devices"]
        return [device for key in users.ids_of(row) for device in found.get(key, [])]


class UserFilter(django_filters.FilterSet):  # type: ignore[misc]
    """``?role=finance&status=active&search=ada``."""

    status = django_filters.ChoiceFilter(choices=RecipientStatus.choices)
    role = django_filters.CharFilter(method="with_role")
    email = django_filters.CharFilter(method="with_email", help_text="In any case.")
    phone = django_filters.CharFilter()
    external_user_id = django_filters.CharFilter()
    locale = django_filters.CharFilter()
    search = django_filters.CharFilter(method="named", help_text="Part of a name, an email or an external id.")
    created_after = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = Recipient
        fields: list[str] = []

    def with_role(self, rows: QuerySet[Recipient], name: str, value: str) -> QuerySet[Recipient]:
        return rows.filter(roles__contains=[value])

    def with_email(self, rows: QuerySet[Recipient], name: str, value: str) -> QuerySet[Recipient]:
        return rows.filter(by_email([value]))

    def named(self, rows: QuerySet[Recipient], name: str, value: str) -> QuerySet[Recipient]:
        parts = Q(name__icontains=value) | Q(email__icontains=value) | Q(external_user_id__icontains=value)
        return rows.filter(parts)


_PERMISSIONS = reading_and_writing(Permission.USERS_READ, Permission.USERS_MANAGE)


@extend_schema(tags=["users"])
class UserList(TenantView):
    """People who receive."""

    permissions = _PERMISSIONS
    filterset_class = UserFilter

    @extend_schema(operation_id="users_list", responses=UserOut(many=True), filters=True)
    def get(self, request: Request) -> Response:
        return self.paginated(self.filtered(Recipient.objects.filter(deleted_at=None)), UserOut)

    @extend_schema(
        operation_id="users_create",
        request=UserIn,
        responses={201: UserOut},
        examples=[OpenApiExample("A person", value=_EXAMPLE, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        return Response(UserOut(users.create_user(self.caller, **self.valid(UserIn))).data, status=201)


@extend_schema(tags=["users"])
class UserDetail(TenantView):
    """One person."""

    permissions = _PERMISSIONS

    @extend_schema(operation_id="users_retrieve", responses=UserOut)
    def get(self, request: Request, user_pk: UUID) -> Response:
        return Response(UserOut(users.get_user(user_pk)).data)

    @extend_schema(operation_id="users_replace", request=UserIn, responses=UserOut)
    def put(self, request: Request, user_pk: UUID) -> Response:
        """Say everything anew; what is not given goes back to what a new person would have, but for the status."""
        kept = {name: value for name, value in DEFAULTS.items() if name != "status"}
        return self._changed(user_pk, {**kept, **self.valid(UserIn)})

    @extend_schema(operation_id="users_update", request=UserIn(partial=True), responses=UserOut)
    def patch(self, request: Request, user_pk: UUID) -> Response:
        return self._changed(user_pk, self.valid(UserIn, partial=True))

    @extend_schema(
        operation_id="users_delete",
        parameters=[OpenApiParameter("erase", bool, description="Erase all that is known of them, for good (GDPR).")],
        responses={204: None},
    )
    def delete(self, request: Request, user_pk: UUID) -> Response:
        if request.query_params.get("erase", "").lower() in ("true", "1"):
            erasure.erase_user(self.caller, user_pk)
        else:
            users.delete_user(self.caller, user_pk)
        return Response(status=204)

    def _changed(self, user_pk: UUID, changes: dict[str, Any]) -> Response:
        tokens = changes.pop("push_tokens", None)
        return Response(UserOut(users.update_user(self.caller, user_pk, changes, push_tokens=tokens)).data)


@extend_schema(tags=["users"])
class UserApprove(TenantView):
    """Approve somebody who is pending or unverified."""

    permissions = Permission.USERS_MANAGE

    @extend_schema(operation_id="users_approve", request=None, responses=UserOut)
    def post(self, request: Request, user_pk: UUID) -> Response:
        return Response(UserOut(users.approve_user(self.caller, user_pk)).data)


@extend_schema(tags=["users"])
class UserExport(TenantView):
    """All that is known of a person, for them to have (GDPR, articles 15 and 20)."""

    permissions = Permission.USERS_READ

    @extend_schema(operation_id="users_export", responses={200: dict[str, Any]})
    def get(self, request: Request, user_pk: UUID) -> Response:
        row = users.get_user(user_pk)
        about = {"user": UserOut(row).data, **erasure.export_user(row)}
        name = f'attachment; filename="user-{row.id}.json"'
        return Response(about, headers={"Content-Disposition": name})


class SyncIn(serializers.Serializer[Any]):
    users = serializers.ListField(
        child=serializers.JSONField(),
        allow_empty=False,
        max_length=MAX_USERS,
        help_text="People as `POST /api/v1/users` takes them, without `push_tokens`; `external_user_id` is required.",
    )
    delete_missing = serializers.BooleanField(
        required=False, help_text="Delete everybody who has an external id and is not in this call."
    )


class SyncErrorOut(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="Which of `users`, counted from 0.")
    errors = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))  # type: ignore[assignment]


class SyncOut(serializers.Serializer[Any]):
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    deleted = serializers.IntegerField()
    deletion_skipped = serializers.BooleanField(help_text="An external id could not be read: nobody was deleted.")
    errors = SyncErrorOut(many=True)  # type: ignore[assignment]


@extend_schema(tags=["users"])
class UserSync(TenantView):
    """Take over people from another system, up to 10,000 at once."""

    permissions = Permission.USERS_MANAGE

    @extend_schema(
        operation_id="users_sync",
        request=SyncIn,
        responses=SyncOut,
        examples=[
            OpenApiExample(
                "Two people",
                value={
                    "users": [
                        {"external_user_id": "crm-17", "email": "ada@example.com", "roles": ["finance"]},
                        {"external_user_id": "crm-18", "phone": "+353861234567"},
                    ],
                    "delete_missing": False,
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Who is wrong is named by index and stops nobody else; fields that are not given stay as they are."""
        report = sync_users(self.caller, **self.valid(SyncIn))
        errors = [{"index": index, "errors": report.errors[index]} for index in sorted(report.errors)]
        counts = ("created", "updated", "unchanged", "deleted", "deletion_skipped")
        return Response({**{name: getattr(report, name) for name in counts}, "errors": errors})


class RoleIn(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=64)
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)


class RoleOut(serializers.ModelSerializer[Role]):
    class Meta:
        model = Role
        fields = ["id", "name", "description", "created_at", "updated_at"]
        read_only_fields = fields


@extend_schema(tags=["users"])
class RoleList(TenantView):
    """Names under which several people are addressed."""

    permissions = _PERMISSIONS

    @extend_schema(operation_id="roles_list", responses=RoleOut(many=True))
    def get(self, request: Request) -> Response:
        return self.paginated(Role.objects.all(), RoleOut)

    @extend_schema(operation_id="roles_create", request=RoleIn, responses={201: RoleOut})
    def post(self, request: Request) -> Response:
        return Response(RoleOut(users.create_role(self.caller, **self.valid(RoleIn))).data, status=201)


@extend_schema(tags=["users"])
class RoleDetail(TenantView):
    """One role; people follow its changes."""

    permissions = _PERMISSIONS

    @extend_schema(operation_id="roles_retrieve", responses=RoleOut)
    def get(self, request: Request, role_id: UUID) -> Response:
        return Response(RoleOut(users.get_role(role_id)).data)

    @extend_schema(operation_id="roles_replace", request=RoleIn, responses=RoleOut)
    def put(self, request: Request, role_id: UUID) -> Response:
        changes = {"description": "", **self.valid(RoleIn)}
        return Response(RoleOut(users.update_role(self.caller, role_id, changes)).data)

    @extend_schema(operation_id="roles_update", request=RoleIn(partial=True), responses=RoleOut)
    def patch(self, request: Request, role_id: UUID) -> Response:
        return Response(RoleOut(users.update_role(self.caller, role_id, self.valid(RoleIn, partial=True))).data)

    @extend_schema(operation_id="roles_delete", responses={204: None})
    def delete(self, request: Request, role_id: UUID) -> Response:
        users.delete_role(self.caller, role_id)
        return Response(status=204)
