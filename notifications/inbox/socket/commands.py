"""What a client may ask for over its socket. Each command ends in one call of a service, as in REST."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog
from django.db import Error as DatabaseError
from django.utils import timezone

from notification_service.lib.asgi import Receive
from notification_service.lib.errors import InvalidInput, PermissionDenied, ServiceError, Unavailable
from notification_service.lib.scope import tenant_scope
from notifications.inbox import live, services
from notifications.inbox.frames import encode
from notifications.inbox.socket import census
from notifications.inbox.socket.connection import uuids
from notifications.inbox.socket.outlet import MALFORMED, TOO_BIG, TOO_MANY, Outlet
from notifications.inbox.socket.threads import in_thread
from notifications.inbox.streams import Changed
from tenants.permissions import Permission

if TYPE_CHECKING:
    from notifications.inbox.socket.connection import Connection

log = structlog.get_logger(__name__)

#: Octets of a frame; commands at once, and a second; malformed frames in a row.
LONGEST: Final = 32_768
BURST, RATE = 60.0, 20.0
_STRIKES: Final = 3
_TOPICS: Final = {live.PROGRESS: Permission.CAMPAIGNS_READ, live.PRESENCE: Permission.USERS_READ}


#: Carries out one command: the socket, what it says, and its ``ref`` for the answer.
Handler = Callable[[Any, dict[str, Any], dict[str, Any]], Awaitable[None]]


class Commands:
    """Carries out the commands of one socket, one after the other; ``handlers`` are those that it knows."""

    __slots__ = ("_at", "_connection", "_handlers", "_longest", "_strikes", "_tokens")

    def __init__(self, connection: Outlet, handlers: Mapping[str, Handler], longest: int = LONGEST) -> None:
        self._connection = connection
        self._handlers = handlers
        self._longest = longest
        self._tokens, self._at = BURST, time.monotonic()
        self._strikes = 0

    async def take(self, data: str | bytes) -> None:
        """Carry out one frame. What is wrong with it is answered; what goes too far closes the socket."""
        connection = self._connection
        connection.heard_at = time.monotonic()
        longest = self._longest
        if len(data) > longest or (isinstance(data, str) and len(data.encode("utf-8", "replace")) > longest):
            return connection.close(TOO_BIG, f"frame_too_big: A frame has at most {longest} octets.")
        if not self._may():
            return connection.close(TOO_MANY, "too_many_commands: Slow down. retry_after=5")
        command = _decoded(data)
        if command is None:
            self._strikes += 1
            if self._strikes >= _STRIKES:
                return connection.close(MALFORMED, "malformed: A frame is a JSON object with a type.")
            return connection.write_frame(
                type="error", code="malformed", detail="A frame is a JSON object with a type."
            )
        self._strikes = 0
        ref = command.get("ref")
        more = {"ref": ref} if isinstance(ref, str) and len(ref) <= 64 else {}
        try:
            handler = self._handlers.get(command["type"])
            if handler is None:
                raise InvalidInput.at("type", "There is no such command.")
            await handler(connection, command, more)
        except ServiceError as error:
            _answer_error(connection, error, more)
        except DatabaseError:
            _answer_error(connection, Unavailable(), more)
        return None

    def _may(self) -> bool:
        """Token bucket: ``BURST`` at once, refilled with ``RATE`` a second."""
        now = time.monotonic()
        self._tokens, self._at = min(BURST, self._tokens + (now - self._at) * RATE), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


async def listen_to(
    connection: Outlet, receive: Receive, handlers: Mapping[str, Handler], longest: int = LONGEST
) -> None:
    """Carry out what comes over a socket, until it ends."""
    commands: Commands | None = None  # most never say anything
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect" or connection.is_closing:
            return
        if commands is None:
            commands = Commands(connection, handlers, longest)
        text = message.get("text")
        await commands.take(message.get("bytes") or b"" if text is None else text)


def _decoded(data: str | bytes) -> dict[str, Any] | None:
    try:
        command = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return command if isinstance(command, dict) and isinstance(command.get("type"), str) else None


def _answer_error(connection: Outlet, error: ServiceError, more: dict[str, Any]) -> None:
    known: dict[str, Any] = {"errors": error.errors} if error.errors else {}
    if error.retry_after is not None:
        known["retry_after"] = error.retry_after
    connection.write_frame(type="error", code=error.error_code, detail=error.message, **known, **more)


async def _pong(connection: Connection, command: dict[str, Any], more: dict[str, Any]) -> None:
    connection.answers = True


async def _ping(connection: Connection, command: dict[str, Any], more: dict[str, Any]) -> None:
    connection.write_frame(type="pong", at=timezone.now(), **more)


async def _unread_count(connection: Connection, command: dict[str, Any], more: dict[str, Any]) -> None:
    connection.write_frame(type="unread_count", unread=await connection.feed.unread(), **more)


async def _resume(connection: Connection, command: dict[str, Any], more: dict[str, Any]) -> None:
    await connection.resume(str(command.get("epoch")), command.get("seq"), **more)


async def _mark_read(connection: Connection, command: dict[str, Any], more: dict[str, Any]) -> None:
    ids, read = None, command.get("read", True)
    if command.get("all") is not True:
        ids = _ids(command)
    if not isinstance(read, bool):
        raise InvalidInput.at("read", "Must be true or false.")

    def work(user_id: str) -> Changed:
        return services.mark_read(user_id, ids=ids, read=read)

    await _change(connection, "mark_read", work, more)


async def _acknowledge(connection: Connection, command: dict[str, Any], more: dict[str, Any]) -> None:
    ids, caller = _ids(command), connection.caller

    def work(user_id: str) -> Changed:
        return services.acknowledge(user_id, ids=ids, by=caller.actor_label or user_id)

    await _change(connection, "acknowledge", work, more)


async def _change(connection: Connection, name: str, work: Callable[[str], Changed], more: dict[str, Any]) -> None:
    feed = connection.feed

    def scoped() -> Changed:
        with tenant_scope(feed.tenant_id):
            return work(feed.user_id)

    changed = await in_thread(scoped)
    connection.write_frame(type="ack", command=name, changed=len(changed.ids), unread=changed.unread, **more)


async def _subscribe(connection: Connection, command: dict[str, Any], more: dict[str, Any]) -> None:
    wanted = _named_topics(command)
    if refused := [topic for topic in wanted if topic not in topics_of(connection)]:
        raise PermissionDenied(f"You may not subscribe to {', '.join(refused)}.")
    connection.topics = tuple(dict.fromkeys((*connection.topics, *wanted)))
    connection.write_frame(type="ack", command="subscribe", **more)
    if live.PRESENCE in wanted:
        people = await census.online(connection.feed.tenant_id)
        users = [{"user_id": user_id, "status": "online"} for user_id in people]
        connection.write(encode({"type": live.PRESENCE, "complete": True, "users": users}))


async def _unsubscribe(connection: Connection, command: dict[str, Any], more: dict[str, Any]) -> None:
    unwanted = _named_topics(command)
    connection.topics = tuple(topic for topic in connection.topics if topic not in unwanted)
    connection.write_frame(type="ack", command="unsubscribe", **more)


def topics_of(connection: Connection) -> list[str]:
    """Return what the owner of a socket may subscribe to."""
    return [topic for topic, needed in _TOPICS.items() if connection.caller.may(needed)]


def _named_topics(command: dict[str, Any]) -> list[str]:
    named = command.get("topics")
    if not isinstance(named, list) or not named or any(topic not in live.TOPICS for topic in named):
        raise InvalidInput.at("topics", f"Must be a list of some of: {', '.join(live.TOPICS)}.")
    return [str(topic) for topic in named]


def _ids(command: dict[str, Any]) -> list[Any]:
    ids = uuids(command.get("ids"))
    if not ids:
        raise InvalidInput.at("ids", "Must be a list of ids.")
    return ids


#: What a client of the stream may ask for.
HANDLERS: Final[Mapping[str, Handler]] = {
    "resume": _resume,
    "mark_read": _mark_read,
    "acknowledge": _acknowledge,
    "subscribe": _subscribe,
    "unsubscribe": _unsubscribe,
    "unread_count": _unread_count,
    "ping": _ping,
    "pong": _pong,
}
