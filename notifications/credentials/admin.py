"""Admin pages of credentials: to look at. Secrets are masked; changes go through the API and its checks."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from notification_service.lib.admin import LongList, choice_filter
from notification_service.lib.encryption import DecryptionError
from notifications.channels.registry import channels
from notifications.credentials.models import Credential
from notifications.credentials.services import masked_payload
from notifications.providers.registry import providers
from tenants.admin_base import ReadOnlyAdmin


@admin.register(Credential)
class CredentialAdmin(LongList, ReadOnlyAdmin):
    """A tenant's credentials, their state, and why the engine paused one."""

    list_display = ("name", "tenant", "channel", "provider", "position", "status", "status_changed_at", "made_at")
    list_filter = ("status", choice_filter("channel", channels.keys()), choice_filter("provider", providers.keys()))
    list_select_related = ("tenant",)
    search_fields = ("name", "tenant__slug", "tenant__name")
    fields = (
        "id",
        "tenant",
        "name",
        "channel",
        "provider",
        "position",
        "status",
        "status_detail",
        "status_changed_at",
        "settings",
        "created_at",
        "updated_at",
    )
    readonly_fields = ("settings",)

    @admin.display(description="settings")
    def settings(self, credential: Credential) -> SafeString | str:
        """The payload with its secrets masked."""
        try:
            payload = masked_payload(credential)
        except DecryptionError as error:
            return f"Can not be decrypted: {error}."
        return format_html_join("", "<div>{}: {}</div>", ((name, value) for name, value in payload.items()))
