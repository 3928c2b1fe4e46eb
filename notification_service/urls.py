"""Every address of the service, with and without the trailing slash."""

from django.contrib import admin
from django.urls import path

handler400 = "tenants.api.errors.bad_request"
handler403 = "tenants.api.errors.forbidden"
handler404 = "tenants.api.errors.not_found"
handler500 = "tenants.api.errors.server_error"

urlpatterns = [
    path("admin/", admin.site.urls),
]
