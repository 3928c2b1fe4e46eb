"""Django admin of the tenants room: to look things up; what needs a decision goes through the services."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import HttpRequest

from tenants.admin_base import AuditedAdmin, ReadOnlyAdmin
from tenants.models import ApiKey, AuditLog, Membership, RefreshToken, SigningKey, Tenant, User

admin.site.unregister(Group)  # nobody has groups here: roles are memberships


@admin.register(Tenant)
class TenantAdmin(AuditedAdmin):
    list_display: ClassVar = ["name", "slug", "status", "plan", "external_id", "created_at"]
    list_filter: ClassVar = ["status", "plan"]
    search_fields: ClassVar = ["name", "slug", "external_id"]
    readonly_fields: ClassVar = ["id", "created_at", "updated_at"]


@admin.register(User)
class UserAdmin(AuditedAdmin):
    list_display: ClassVar = ["email", "name", "platform_role", "is_active", "last_login", "created_at"]
    list_filter: ClassVar = ["is_active", "platform_role"]
    search_fields: ClassVar = ["email", "name"]
    fields: ClassVar = ["id", "email", "name", "platform_role", "is_active", "last_login", "created_at"]
    readonly_fields: ClassVar = ["id", "email", "last_login", "created_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # people register, or are made by ``createsuperuser``


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin):
    list_display: ClassVar = ["user", "tenant", "role", "created_at"]
    list_filter: ClassVar = ["role"]
    list_select_related: ClassVar = ["user", "tenant"]
    search_fields: ClassVar = ["user__email", "tenant__slug"]


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display: ClassVar = ["name", "tenant", "mode", "key", "status", "last_used_at", "expires_at"]
    list_filter: ClassVar = ["mode", "status"]
    list_select_related: ClassVar = ["tenant"]
    search_fields: ClassVar = ["name", "key", "tenant__slug"]
    exclude: ClassVar = ["secret_hash", "previous_secret_hash"]


@admin.register(RefreshToken)
class RefreshTokenAdmin(ReadOnlyAdmin):
    list_display: ClassVar = ["user", "tenant", "family", "created_at", "used_at", "revoked_at", "expires_at"]
    list_select_related: ClassVar = ["user", "tenant"]
    search_fields: ClassVar = ["user__email"]
    exclude: ClassVar = ["secret_hash"]


@admin.register(SigningKey)
class SigningKeyAdmin(ReadOnlyAdmin):
    list_display: ClassVar = ["id", "algorithm", "created_at", "tokens_until", "retired_at"]
    exclude: ClassVar = ["private_pem_encrypted"]


@admin.register(AuditLog)
class AuditLogAdmin(ReadOnlyAdmin):
    list_display: ClassVar = ["created_at", "tenant", "actor_label", "action", "resource_type", "resource_id"]
    list_filter: ClassVar = ["actor_type", "resource_type"]
    list_select_related: ClassVar = ["tenant"]
    search_fields: ClassVar = ["action", "actor_label", "resource_id"]
    show_full_result_count = False
