from django.apps import AppConfig


class MessagingConfig(AppConfig):
    name = "messaging"
    label = "messaging"
    verbose_name = "Chat"

    def ready(self) -> None:
        from messaging.services.retention import erase_known, export_known
        from notifications.recipients.hooks import on_erased, on_export

        on_erased(erase_known)
        on_export(export_known)
