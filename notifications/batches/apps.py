from django.apps import AppConfig


class BatchesConfig(AppConfig):
    name = "notifications.batches"
    label = "batches"
    verbose_name = "Batches"

    def ready(self) -> None:
        from notifications.batches.counters import count_outcomes
        from notifications.batches.holding import hold_back
        from notifications.records.hooks import on_outcomes

        on_outcomes(count_outcomes)
        on_outcomes(hold_back)
