from django.apps import AppConfig


class InboxConfig(AppConfig):
    name = "notifications.inbox"
    label = "inbox"
    verbose_name = "Inbox"

    def ready(self) -> None:
        from notifications.batches.progress import on_progress
        from notifications.inbox.jobs import tell_of_job
        from notifications.inbox.outcomes import store_messages
        from notifications.inbox.services import erase_person, export_person
        from notifications.recipients.hooks import on_erased, on_export
        from notifications.records.hooks import on_outcomes

        on_outcomes(store_messages)
        on_progress(tell_of_job)
        on_erased(erase_person)
        on_export(export_person)
