from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = "Tenants"

    def ready(self) -> None:
        import tenants.api.schema  # noqa: F401 - registers the security schemes of the API's schema
