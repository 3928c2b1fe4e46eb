from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "notifications.webhooks"
    label = "webhooks"
    verbose_name = "Webhooks"

    def ready(self) -> None:
        from notifications.recipients.hooks import on_erased, on_export, on_registered
        from notifications.records.hooks import on_outcomes, on_receipts
        from notifications.webhooks.erasure import export_person, forget_person
        from notifications.webhooks.news import tell_outcomes, tell_receipts, tell_registered

        on_outcomes(tell_outcomes)
        on_receipts(tell_receipts)
        on_registered(tell_registered)
        on_erased(forget_person)
        on_export(export_person)
