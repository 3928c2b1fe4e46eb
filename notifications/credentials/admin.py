"""Admin pages of credentials: to look at. Secrets are masked; changes go through the API and its checks."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from notification_service.lib.admin import LongList, choice_filter
from notification_service.lib.encryption import DecryptionError
from notifications.channels.registry import channels
from notifications.credentials.circuit import circuits_of
from notifications.credentials.models import Credential
from notifications.credentials.services import masked_payload
from notifications.providers.registry import providers
from tenants.admin_base import ReadOnlyAdmin


@admin.register(Credential)
class CredentialAdmin(LongList, ReadOnlyAdmin):
    """A tenant's credentials, their state, and why the engine paused one."""

    list_display = ("name", "tenant", "channel", "provider", "position", "status", "circuit", "made_at")
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
        "circuit",
        "settings",
        "created_at",
        "updated_at",
    )
    readonly_fields = ("circuit", "settings")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Look up the circuits of all rows of the page in one trip."""
        page = super().get_changelist_instance(request)
        page.result_list = list(page.result_list)
        found = circuits_of([(row.tenant_id, row.id) for row in page.result_list])
        for row, circuit in zip(page.result_list, found, strict=True):
            row.circuit = circuit
        return page

    @admin.display(description="circuit")
    def circuit(self, credential: Credential) -> str:
        """Whether its provider is being left alone, and how often it has failed lately."""
        found = getattr(credential, "circuit", None) or circuits_of([(credential.tenant_id, credential.id)])[0]
        state = found.state.replace("_", "-")
        if found.open_until is not None:
            state = f"{state} until {found.open_until:%H:%M:%S} UTC"
        return f"{state}, {found.failures} failures in a row" if found.failures else state

    @admin.display(description="settings")
    def settings(self, credential: Credential) -> SafeString | str:
        """The payload with its secrets masked."""
        try:
            payload = masked_payload(credential)
        except DecryptionError as error:
            return f"Can not be decrypted: {error}."
        return format_html_join("", "<div>{}: {}</div>", ((name, value) for name, value in payload.items()))
