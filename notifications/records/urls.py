"""Addresses of records."""

from notifications.records import api
from tenants.api.routing import route

urlpatterns = [
    route("api/notifications/records/", api.RecordList, "records"),
    route("api/notifications/records/<uuid:record_id>/", api.RecordDetail, "record"),
    route("api/notifications/records/<uuid:record_id>/cancel/", api.RecordCancel, "record-cancel"),
    route("api/notifications/records/<uuid:record_id>/resend/", api.RecordResend, "record-resend"),
    route("api/notifications/records/<uuid:record_id>/timeline/", api.RecordTimeline, "record-timeline"),
]
