"""Every address of the service, with and without the trailing slash."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerView

from notification_service.health import Health, Live
from notification_service.metrics import Metrics
from tenants.api.routing import route
from tenants.api.views import NoSuchAddress

handler400 = "tenants.api.errors.bad_request"
handler403 = "tenants.api.errors.forbidden"
handler404 = "tenants.api.errors.not_found"
handler500 = "tenants.api.errors.server_error"

urlpatterns = [
    route("health", Live, "live"),
    route("api/notifications/health/", Health, "health"),
    route("metrics", Metrics, "metrics"),
    path("", include("tenants.api.urls")),
    path("", include("notifications.credentials.urls")),
    path("", include("notifications.recipients.urls")),
    path("", include("notifications.templates.urls")),
    path("", include("notifications.records.urls")),
    path("", include("notifications.batches.urls")),
    path("", include("notifications.campaigns.urls")),
    path("", include("notifications.inbox.urls")),
    path("", include("notifications.webhooks.urls")),
    path("", include("notifications.events.urls")),
    path("", include("messaging.urls")),
    route("api/schema/", SpectacularAPIView, "schema"),
    route("api/docs/", SpectacularSwaggerView, "swagger"),
    route("swagger/", SpectacularSwaggerView, "swagger-short"),
    route("redoc/", SpectacularRedocView, "redoc"),
    path("admin/", admin.site.urls),
    # Two demo people on one page: only where `make up` runs; images do not even contain it.
    *([path("", include("notification_service.local.demo_page.urls"))] if settings.DEMO_FILE else []),
    # Last: what is no address of ours is answered like every other error, in development too.
    re_path("", NoSuchAddress.as_view()),
]
