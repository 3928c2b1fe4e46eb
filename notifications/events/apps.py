from django.apps import AppConfig


class EventsConfig(AppConfig):
    name = "notifications.events"
    label = "events"
    verbose_name = "Events"

    def ready(self) -> None:
        from notifications.events.erasure import export_person, forget_person
        from notifications.events.outbox import tell_outcomes, tell_receipts
        from notifications.events.secrets import fill_in_secrets
        from notifications.recipients.hooks import on_erased, on_export
        from notifications.records.hooks import on_claimed, on_outcomes, on_receipts

        on_claimed(fill_in_secrets)
        on_outcomes(tell_outcomes)
        on_receipts(tell_receipts)
        on_erased(forget_person)
        on_export(export_person)
