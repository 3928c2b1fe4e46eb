from django.apps import AppConfig


class TemplatesConfig(AppConfig):
    name = "notifications.templates"
    label = "message_templates"
    verbose_name = "Message templates"
