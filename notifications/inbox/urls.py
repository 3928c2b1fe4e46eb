"""Addresses of the inbox: one's own messages, the tenant's, broadcasts, sounds, tickets for sockets."""

from notifications.inbox.api import messages, sounds, tenant, tickets
from tenants.api.routing import route

_ME = "api/v1/users/me/notifications"

urlpatterns = [
    route("api/notifications/", messages.MyMessages, "my-notifications"),
    route("api/notifications/mark-as-read/", messages.MarkAsRead, "mark-as-read"),
    route("api/notifications/messages/", messages.MyMessages, "my-messages"),
    route("api/notifications/messages/<uuid:message_id>/", messages.MyMessage, "my-message"),
    route(_ME, messages.MyMessagesAndDelete, "me-notifications"),
    route(f"{_ME}/unread-count", messages.UnreadCount, "me-unread-count"),
    route(f"{_ME}/mark-all-read", messages.MarkAllRead, "me-mark-all-read"),
    route(f"{_ME}/<uuid:message_id>", messages.MyMessage, "me-notification"),
    route(f"{_ME}/<uuid:message_id>/read", messages.Read, "me-notification-read"),
    route(f"{_ME}/<uuid:message_id>/unread", messages.Unread, "me-notification-unread"),
    route(f"{_ME}/<uuid:message_id>/archive", messages.Archive, "me-notification-archive"),
    route(f"{_ME}/<uuid:message_id>/unarchive", messages.Unarchive, "me-notification-unarchive"),
    route(f"{_ME}/<uuid:message_id>/snooze", messages.Snooze, "me-notification-snooze"),
    route("api/v1/notifications", tenant.TenantMessages, "tenant-notifications"),
    route("api/v1/notifications/stats", tenant.Stats, "tenant-notifications-stats"),
    route("api/v1/notifications/broadcasts", tenant.Broadcasts, "broadcasts"),
    route("api/v1/notifications/broadcasts/<uuid:broadcast_id>", tenant.BroadcastDetail, "broadcast"),
    route("api/v1/notifications/<uuid:message_id>", tenant.TenantMessage, "tenant-notification"),
    route("api/v1/notifications/<uuid:message_id>/acknowledge", tenant.Acknowledge, "tenant-notification-ack"),
    route("api/v1/sounds", sounds.SoundList, "sounds"),
    route("api/v1/sounds/<uuid:sound_id>", sounds.SoundDetail, "sound"),
    route("api/v1/auth/ws-ticket", tickets.WsTicket, "ws-ticket"),
]
