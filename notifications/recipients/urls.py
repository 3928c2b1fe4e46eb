"""Addresses of devices and suppressions, and of the way out."""

from notifications.recipients import api, pages
from tenants.api.routing import route

urlpatterns = [
    route("api/notifications/devices/", api.DeviceList, "devices"),
    route("api/notifications/devices/<uuid:device_pk>/", api.DeviceDetail, "device"),
    route("api/notifications/suppressions/", api.SuppressionList, "suppressions"),
    route("api/notifications/suppressions/<uuid:suppression_id>/", api.SuppressionDetail, "suppression"),
    route("u/<str:token>", pages.Unsubscribe, "unsubscribe"),
]
