from django.apps import AppConfig


class InboxConfig(AppConfig):
    name = "notifications.inbox"
    label = "inbox"
    verbose_name = "Inbox"

    def ready(self) -> None:
        from notifications.inbox.outcomes import store_messages
        from notifications.records.hooks import on_outcomes

        on_outcomes(store_messages)
