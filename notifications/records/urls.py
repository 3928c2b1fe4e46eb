"""Addresses of records."""

from notifications.records import api, receipts_api, send_api, template_api
from tenants.api.routing import route

urlpatterns = [
    route("api/notifications/records/", api.RecordList, "records"),
    route("api/notifications/records/<uuid:record_id>/", api.RecordDetail, "record"),
    route("api/notifications/records/<uuid:record_id>/cancel/", api.RecordCancel, "record-cancel"),
    route("api/notifications/records/<uuid:record_id>/resend/", api.RecordResend, "record-resend"),
    route("api/notifications/records/<uuid:record_id>/timeline/", api.RecordTimeline, "record-timeline"),
    route("api/v1/services/notifications/send", send_api.Send, "services-send"),
    route("api/v1/services/notifications/<uuid:record_id>", send_api.Sent, "services-notification"),
    route("api/notifications/templates/<str:key>/test-send/", template_api.TemplateTestSend, "template-test-send"),
    route("api/v1/admin/templates/<str:key>/test-send", template_api.TemplateTestSend, "admin-template-test-send"),
    route("webhooks/<slug:provider>", receipts_api.AnyCredentialReceipts, "receipts-of-any"),
    route("webhooks/<slug:provider>/<uuid:credential_id>", receipts_api.Receipts, "receipts"),
]
