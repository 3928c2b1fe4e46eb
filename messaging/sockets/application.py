"""The ASGI application of chat's socket: let in, carry out, count out."""

from __future__ import annotations

import asyncio

from django.conf import settings
from django.utils import timezone

from messaging.services import presence
from messaging.services.people import person_of
from messaging.sockets.commands import HANDLERS, LONGEST, hub, stop_typing
from messaging.sockets.connection import ChatConnection
from messaging.sockets.hub import KIND
from notification_service.lib.asgi import Receive, Scope, Send
from notification_service.lib.ids import new_id
from notifications.inbox.socket import census
from notifications.inbox.socket.application import receive_visitor
from notifications.inbox.socket.commands import listen_to
from notifications.inbox.socket.door import Resume
from notifications.inbox.socket.outlet import Wire
from notifications.inbox.socket.threads import in_thread
from notifications.inbox.tickets import Visitor


async def chat_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one WebSocket (ASGI 3.0, ``websocket``). ``scope["url_route"]`` holds the tenant of the address."""
    await receive_visitor(scope, receive, send, _serve)


async def _serve(visitor: Visitor, resume: Resume | None, receive: Receive, wire: Wire) -> None:
    """Serve a socket; a position in the address means nothing here: each conversation has its own."""
    person, socket_id = person_of(visitor.caller), new_id().hex
    await census.enter(person.tenant_id, person.user_id, socket_id, kind=KIND)
    socket = ChatConnection(wire, visitor.caller, person, socket_id, visitor.expires_at)
    here = hub()
    here.start()
    here.add(socket)
    try:
        socket.write_frame(
            type="connection_established",
            tenant_id=person.tenant_id,
            user_id=person.user_id,
            heartbeat_seconds=settings.LIVE_HEARTBEAT_SECONDS,
            server_time=timezone.now(),
        )
        await in_thread(presence.beat, person.tenant_id, person.user_id)
        await listen_to(socket, receive, HANDLERS, LONGEST)
    except asyncio.CancelledError:
        if not socket.is_closing:
            raise
    finally:
        typing = list(socket.typing)
        for conversation_id in typing:
            here.errand(stop_typing(socket, conversation_id))
        if typing:
            await asyncio.sleep(0)  # the errands have begun: what they tell is theirs
        here.remove(socket)
        await census.leave(person.tenant_id, person.user_id, socket_id, kind=KIND)
