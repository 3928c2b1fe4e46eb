"""Admin pages of campaigns: how far each is, and the three verbs that staff may need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from notification_service.lib.admin import LongList, MadeFilter, as_uuid, choice_filter
from notification_service.lib.errors import ServiceError
from notification_service.lib.scope import tenant_scope
from notifications.campaigns import services
from notifications.campaigns.models import Campaign, CampaignRecipient, CampaignTally
from notifications.campaigns.progress import progress_of
from notifications.campaigns.states import CampaignStatus, RecipientState
from notifications.channels.registry import channels
from tenants.admin_base import ReadOnlyAdmin
from tenants.callers import Caller


@admin.register(Campaign)
class CampaignAdmin(LongList, ReadOnlyAdmin):
    """Campaigns of all tenants. What they say to people is not shown."""

    list_display = ("name", "tenant", "channel", "status", "progress", "sent", "problem", "launched_at", "made_at")
    list_filter = (
        choice_filter("status", CampaignStatus.values),
        choice_filter("channel", channels.keys()),
        MadeFilter,
    )
    list_select_related = ("tenant",)
    search_fields = ("name",)
    exclude = ("content", "context", "variants", "source", "staged_up_to")
    readonly_fields = ("progress", "sent")
    actions: Any = ("pause", "resume", "cancel")

    @admin.display(description="progress")
    def progress(self, campaign: Campaign) -> str:
        """How many recipients have their end, of how many."""
        now = progress_of(campaign)
        return f"{now.percent:.1f} % of {now.total}"

    @admin.display(description="sent")
    def sent(self, campaign: Campaign) -> int:
        """How many messages the provider took."""
        return progress_of(campaign).sent

    @admin.action(description="Pause")
    def pause(self, request: HttpRequest, campaigns: QuerySet[Campaign]) -> None:
        self._each(request, campaigns, services.pause)

    @admin.action(description="Resume")
    def resume(self, request: HttpRequest, campaigns: QuerySet[Campaign]) -> None:
        self._each(request, campaigns, services.resume)

    @admin.action(description="Cancel")
    def cancel(self, request: HttpRequest, campaigns: QuerySet[Campaign]) -> None:
        self._each(request, campaigns, services.cancel)

    def _each(
        self, request: HttpRequest, campaigns: QuerySet[Campaign], act: Callable[[Caller, UUID], Campaign]
    ) -> None:
        done = 0
        for campaign in campaigns:
            staff = Caller(campaign.tenant_id, "user", str(request.user.pk), str(request.user))
            try:
                with tenant_scope(campaign.tenant_id):
                    act(staff, campaign.id)
            except ServiceError as error:
                self.message_user(request, f"{campaign.name}: {error.message}", messages.WARNING)
            else:
                done += 1
        if done:
            self.message_user(request, f"Done: {done}.", messages.SUCCESS)


class _BelongsToCampaign(LongList, ReadOnlyAdmin):
    """Rows that a campaign has many of, found by its id."""

    list_select_related = ("tenant",)
    search_fields = ("campaign_id",)
    search_help_text = "A campaign's id"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term.strip():
            return queryset, False
        campaign_id = as_uuid(search_term)
        return (queryset.filter(campaign_id=campaign_id) if campaign_id else queryset.none()), False


@admin.register(CampaignRecipient)
class CampaignRecipientAdmin(_BelongsToCampaign):
    """Recipients of campaigns. Their values are not shown."""

    list_display = ("address", "tenant", "campaign_id", "state", "reason", "variant", "recorded_at", "opened_at")
    list_filter = (choice_filter("state", RecipientState.values),)
    exclude = ("context", "address_key")


@admin.register(CampaignTally)
class CampaignTallyAdmin(_BelongsToCampaign):
    """What campaigns count."""

    list_display = ("campaign_id", "tenant", "name", "reason", "variant", "amount")
