"""Addresses of the inbox."""

from notifications.inbox.api import tickets
from tenants.api.routing import route

urlpatterns = [
    route("api/v1/auth/ws-ticket", tickets.WsTicket, "ws-ticket"),
]
