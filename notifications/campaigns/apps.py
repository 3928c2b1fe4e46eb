from django.apps import AppConfig


class CampaignsConfig(AppConfig):
    name = "notifications.campaigns"
    label = "campaigns"
    verbose_name = "Campaigns"

    def ready(self) -> None:
        from notifications.campaigns.erasure import erase_people, export_people
        from notifications.campaigns.followers import tell_of_campaign
        from notifications.campaigns.outcomes import after_outcomes, after_receipts
        from notifications.campaigns.progress import on_progress
        from notifications.campaigns.tracking import track_claimed
        from notifications.recipients.hooks import on_erased, on_export
        from notifications.records.hooks import on_claimed, on_outcomes, on_receipts

        on_outcomes(after_outcomes)
        on_receipts(after_receipts)
        on_claimed(track_claimed)
        on_progress(tell_of_campaign)
        on_erased(erase_people)
        on_export(export_people)
