from uuid import UUID

from django.apps import AppConfig


class RecordsConfig(AppConfig):
    name = "notifications.records"
    label = "records"
    verbose_name = "Records"

    def ready(self) -> None:
        from django.conf import settings

        from notifications.channels.email import EmailChannel
        from notifications.credentials.hooks import on_credential_usable
        from notifications.recipients.hooks import on_chosen, on_erased, on_export
        from notifications.records.categories import PLACE, stored_categories
        from notifications.records.counters import count_outcomes
        from notifications.records.digests import reconsider
        from notifications.records.erasure import erase_messages, export_messages
        from notifications.records.hooks import on_outcomes
        from notifications.records.notices import watch_failures
        from notifications.records.queue import release_held
        from notifications.records.receipts import after_outcomes
        from notifications.records.wake import wake_after_commit
        from notifications.templates.lookups import kept_elsewhere

        EmailChannel.max_attached = settings.EMAIL_ATTACHMENTS_MAX_BYTES

        @on_credential_usable
        def send_what_waited(tenant_id: UUID, channel: str) -> None:
            for lane in release_held(tenant_id, channel):
                wake_after_commit(tenant_id, lane)

        kept_elsewhere("category", place=PLACE, values=stored_categories)
        on_chosen(reconsider)
        on_erased(erase_messages)
        on_export(export_messages)
        on_outcomes(after_outcomes)
        on_outcomes(watch_failures)
        on_outcomes(count_outcomes)
