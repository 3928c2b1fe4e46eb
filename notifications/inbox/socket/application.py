"""The ASGI application of the live socket: let in, say hello, pass on, carry out, count out.

It stands in Channels' router like a consumer. It is none, because a consumer is made of several tasks and queues for
each socket, and an idle socket should cost next to nothing (``docs/adr``).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias
from uuid import UUID

import structlog
from django.conf import settings
from django.db import Error as DatabaseError

from notification_service.lib.asgi import Receive, Scope, Send
from notification_service.lib.errors import NotFound, ServiceError, Unavailable
from notification_service.lib.ids import new_id
from notification_service.lib.scope import tenant_scope
from notifications.inbox import services
from notifications.inbox.broadcasts import Person, person_of
from notifications.inbox.services import Position
from notifications.inbox.socket import census, door
from notifications.inbox.socket.commands import HANDLERS, listen_to, topics_of
from notifications.inbox.socket.connection import Connection
from notifications.inbox.socket.door import Resume
from notifications.inbox.socket.hub import Hub
from notifications.inbox.socket.outlet import Wire, close_of, wire_of
from notifications.inbox.socket.threads import in_thread
from notifications.inbox.tickets import Visitor
from tenants.issuers import LEEWAY

log = structlog.get_logger(__name__)

_IS_SEQ: Final = re.compile(r"[0-9]{1,18}").fullmatch


@lru_cache(maxsize=1)
def hub() -> Hub:
    """Return this process's hub."""
    return Hub()


async def live_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one WebSocket (ASGI 3.0, ``websocket``). ``scope["url_route"]`` holds what the address says."""
    await receive_visitor(scope, receive, send, _serve)


async def no_such_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Say that there is no such address, in a way that browsers can see."""
    if await _accept(scope, receive, send, None):
        await _turn_away(send, NotFound())


#: Serves a socket that was let in: its owner, the position from which they want to go on, and the way both ways.
Serve: TypeAlias = Callable[[Visitor, "Resume | None", Receive, Wire], Awaitable[None]]


async def receive_visitor(scope: Scope, receive: Receive, send: Send, serve: Serve) -> None:
    """Take a connection and serve it, or turn away who is not to be let in and say why."""
    wire = wire_of(scope, send)
    try:
        if (came := await _let_in(scope, receive, send)) is not None:
            await serve(*came, receive, wire)
    except ServiceError as error:
        await _turn_away(send, error)
    except DatabaseError:
        await _turn_away(send, Unavailable())


async def _let_in(scope: Scope, receive: Receive, send: Send) -> tuple[Visitor, Resume | None] | None:
    """Return who has come, and whence they want to go on. Their token is forgotten: it is long, a socket lives long."""
    handshake = door.read_handshake(scope)
    arguments: dict[str, str] = scope["url_route"]["kwargs"]
    if not await _accept(scope, receive, send, handshake.subprotocol):
        return None
    visitor = await in_thread(door.admit, handshake, arguments.get("tenant_id"), arguments.get("user_id"))
    return visitor, handshake.resume


async def _accept(scope: Scope, receive: Receive, send: Send, subprotocol: str | None) -> bool:
    """Take a connection, also one that will be turned away: browsers hide why a handshake was refused."""
    if (await receive())["type"] != "websocket.connect":
        return False
    await send({"type": "websocket.accept", "subprotocol": subprotocol})
    scope.clear()  # kilobytes of headers, which nobody asks for again
    return True


async def _turn_away(send: Send, error: ServiceError) -> None:
    """Close a socket that was not let in, and say why."""
    code, reason = close_of(error)
    with suppress(Exception):  # whoever is gone need not be told
        await send({"type": "websocket.close", "code": code, "reason": reason})


async def _serve(visitor: Visitor, resume: Resume | None, receive: Receive, wire: Wire) -> None:
    caller = visitor.caller
    tenant_id, person, socket_id = caller.required_tenant_id(), person_of(caller), new_id().hex
    is_first = await census.enter(tenant_id, person.user_id, socket_id)
    here = hub()
    here.start()
    # In the feed before it is asked where the stream stands: what is published meanwhile waits.
    connection = Connection(wire, caller, here.feed_of(tenant_id, person.user_id), socket_id, visitor.expires_at)
    connection.feed.sockets.append(connection)
    try:
        if is_first:
            await here.tell_presence(tenant_id, [person.user_id], "online")
        await _greet(connection, resume, await in_thread(_look, tenant_id, person))
        await listen_to(connection, receive, HANDLERS)
    except asyncio.CancelledError:
        if not connection.is_closing:
            raise
    finally:
        here.remove(connection)
        if await census.leave(tenant_id, person.user_id, socket_id):
            await here.tell_presence(tenant_id, [person.user_id], "offline")


async def _greet(connection: Connection, resume: Resume | None, position: Position) -> None:
    """Say hello at a place from which everything follows, and go on from the client's own if it named one."""
    feed = connection.feed
    feed.start(position.epoch, position.seq)
    if feed.epoch != position.epoch:
        await feed.hub.heal([feed])
    begin = min(position.seq, feed.position or 0)
    connection.position = begin
    connection.write_frame(
        type="hello",
        protocol=1,
        connection_id=connection.id,
        epoch=feed.epoch,
        seq=begin,
        unread=position.unread,
        tenant_id=feed.tenant_id,
        user_id=feed.user_id,
        heartbeat_seconds=settings.LIVE_HEARTBEAT_SECONDS,
        expires_at=_moment(connection.expires_at),
        topics=topics_of(connection),
    )
    if resume is not None:
        epoch, seq = resume
        await connection.resume(epoch, int(seq) if _IS_SEQ(seq) else None)
    else:
        await connection.go_live()


def _look(tenant_id: UUID, person: Person) -> Position:
    with tenant_scope(tenant_id):
        return services.look(person)


def _moment(expires_at: float | None) -> Any:
    """The token's own ``exp``; we wait a little longer, as for clocks that differ."""
    return None if expires_at is None else datetime.fromtimestamp(expires_at - LEEWAY, UTC)
