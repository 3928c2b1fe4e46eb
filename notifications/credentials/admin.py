"""Django admin of credentials: which there are and how they do; never what they hold."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin

from notifications.credentials.models import Credential
from tenants.admin_base import ReadOnlyAdmin


@admin.register(Credential)
class CredentialAdmin(ReadOnlyAdmin):
    list_display: ClassVar = ["name", "tenant", "channel", "provider", "position", "status", "status_detail"]
    list_filter: ClassVar = ["channel", "provider", "status"]
    list_select_related: ClassVar = ["tenant"]
    search_fields: ClassVar = ["name", "tenant__slug"]
    exclude: ClassVar = ["payload_encrypted"]
