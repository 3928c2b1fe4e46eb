from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class NotificationServiceConfig(AppConfig):
    """The wiring itself: settings checks and management commands."""

    name = "notification_service"
    verbose_name = "Notification service"

    def ready(self) -> None:
        import notification_service.checks  # noqa: F401 - registers the system checks


class AdminConfig(DjangoAdminConfig):
    """Django admin on our own site."""

    default_site = "notification_service.admin_site.AdminSite"
