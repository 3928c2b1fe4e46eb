from django.apps import AppConfig


class CredentialsConfig(AppConfig):
    name = "notifications.credentials"
    label = "credentials"
    verbose_name = "Credentials"
