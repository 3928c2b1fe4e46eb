"""``/api/notifications/chat/presence/``: who is here."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from messaging.api.shapes import PresenceIn, PresenceList, PresenceOut
from messaging.services import presence
from tenants.api.views import TenantView
from tenants.permissions import Permission

_MAX_ASKED = 200


@extend_schema(tags=["chat"])
class Presences(TenantView):
    """How people are with whom the caller shares a conversation."""

    permissions = Permission.SELF

    @extend_schema(
        operation_id="chat_presence_list",
        responses=PresenceList,
        parameters=[OpenApiParameter("user_id", str, many=True, description=f"Whose; at most {_MAX_ASKED}.")],
    )
    def get(self, request: Request) -> Response:
        """Who is not known to the caller is left out. Without `user_id` it is the caller's own."""
        asked = request.query_params.getlist("user_id") or [self.caller.actor_id]
        if len(asked) > _MAX_ASKED or any("\x00" in user_id for user_id in asked):
            raise serializers.ValidationError({"user_id": [f"Give at most {_MAX_ASKED} user ids."]})
        return Response({"results": [each.represent() for each in presence.seen_by(self.caller, asked)]})


@extend_schema(tags=["chat"])
class OwnPresence(TenantView):
    """How the caller is."""

    permissions = Permission.SELF

    @extend_schema(operation_id="chat_presence_own", responses=PresenceOut)
    def get(self, request: Request) -> Response:
        return Response(presence.seen_by(self.caller, [self.caller.actor_id])[0].represent())

    @extend_schema(operation_id="chat_presence_update", request=PresenceIn, responses=PresenceOut)
    def put(self, request: Request) -> Response:
        """Say how you are, and that you are here; it expires unless it is said again. `offline` hides you."""
        return Response(presence.update_own(self.caller, self.valid(PresenceIn)["status"]).represent())
