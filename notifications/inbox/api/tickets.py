"""``POST /api/v1/auth/ws-ticket``."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.inbox import tickets
from notifications.inbox.socket.door import expiry_of
from notifications.inbox.tickets import Visitor
from tenants.api.views import ServiceView
from tenants.authentication import bearer_of
from tenants.permissions import Permission


class TicketOut(serializers.Serializer[Any]):
    ticket = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds within which it must be used.")
    url = serializers.CharField(help_text="Where it opens a socket.")


@extend_schema(tags=["live"])
class WsTicket(ServiceView):
    """A ticket that opens one live socket."""

    permissions = Permission.SELF

    @extend_schema(operation_id="ws_ticket_create", request=None, responses={201: TicketOut})
    def post(self, request: Request) -> Response:
        """Exchange the bearer token for a ticket, so that the token stands in no address."""
        token = bearer_of(request.headers.get("Authorization", ""))
        ticket = tickets.issue(Visitor(self.caller, expiry_of(token) if token else None))
        address = settings.PUBLIC_URL.replace("http", "ws", 1) + f"/ws/notifications/?ticket={ticket}"
        return Response({"ticket": ticket, "expires_in": tickets.LASTS_SECONDS, "url": address}, status=201)
