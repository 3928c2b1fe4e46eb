from django.apps import AppConfig


class RecipientsConfig(AppConfig):
    name = "notifications.recipients"
    label = "recipients"
    verbose_name = "Recipients"
