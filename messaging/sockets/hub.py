"""The hub of chat in one server process: one subscription to Redis, all sockets, and the clock that keeps them honest.

Who may see a frame stands in it, decided under the conversation's lock: somebody who has been removed gets nothing that
was said afterwards, whatever this process has heard of it. What Redis loses is found by clients: numbers are missing,
or a heartbeat, which asks the database, names higher ones.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Coroutine, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import orjson
from django.conf import settings
from django.db import Error as DatabaseError

from messaging.models import Conversation, Participant
from messaging.services import presence
from messaging.sockets.connection import ChatConnection
from messaging.sockets.order import Order
from notification_service.lib.scope import platform_scope
from notifications.inbox.socket import census
from notifications.inbox.socket.clock import Clockwork, listen, often, tick, watch
from notifications.inbox.socket.threads import in_thread

#: How sockets of chat are counted.
KIND: Final = "chat-sockets"
#: Conversations whose order is kept in mind at most.
_REMEMBERED: Final = 20_000

Envelope = dict[str, Any]


class Tenant:
    """The sockets of one tenant in this process: by person, and by conversation for those that have joined it."""

    __slots__ = ("rooms", "sockets")

    def __init__(self) -> None:
        self.sockets: dict[str, set[ChatConnection]] = {}
        self.rooms: dict[UUID, set[ChatConnection]] = {}


class ChatHub(Clockwork):
    """All sockets of chat of a process, on its event loop."""

    def __init__(self) -> None:
        super().__init__()
        self._tenants: dict[UUID, Tenant] = {}
        self._orders: dict[UUID, Order[Envelope]] = {}

    def works(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Listen, beat, keep people present, and watch."""
        return (
            listen(settings.CHAT_CHANNEL, self.dispatch, self._beat_now),
            often(self._beat, tick),
            often(self._renew, lambda: settings.CHAT_PRESENCE_SECONDS / 3),
            watch(self.connections),
        )

    def add(self, socket: ChatConnection) -> None:
        """Know a socket."""
        tenant = self._tenants.setdefault(socket.person.tenant_id, Tenant())
        tenant.sockets.setdefault(socket.person.user_id, set()).add(socket)

    def remove(self, socket: ChatConnection) -> None:
        """Forget a socket."""
        tenant = self._tenants[socket.person.tenant_id]
        for conversation_id in list(socket.joined):
            self.leave(socket, conversation_id)
        own = tenant.sockets[socket.person.user_id]
        own.discard(socket)
        if not own:
            del tenant.sockets[socket.person.user_id]
        if not tenant.sockets:
            del self._tenants[socket.person.tenant_id]

    def join(self, socket: ChatConnection, conversation_id: UUID) -> None:
        """Let a socket have everything of a conversation."""
        socket.joined.add(conversation_id)
        self._tenants[socket.person.tenant_id].rooms.setdefault(conversation_id, set()).add(socket)

    def leave(self, socket: ChatConnection, conversation_id: UUID) -> None:
        """Let a socket have only the messages of a conversation again."""
        socket.joined.discard(conversation_id)
        if (typing := socket.typing.pop(conversation_id, None)) is not None and typing.ends is not None:
            typing.ends.cancel()
        rooms = self._tenants[socket.person.tenant_id].rooms
        if (room := rooms.get(conversation_id)) is not None:
            room.discard(socket)
            if not room:
                del rooms[conversation_id]

    def connections(self) -> Iterator[ChatConnection]:
        """Yield all sockets that are open."""
        for tenant in list(self._tenants.values()):
            for own in list(tenant.sockets.values()):
                yield from [socket for socket in own if not socket.is_closing]

    # --- News ---------------------------------------------------------------------------------------------------------

    def dispatch(self, data: bytes) -> None:
        """Pass on one publication; those with a revision in its order."""
        envelope: Envelope = orjson.loads(data)
        if UUID(envelope["tenant"]) not in self._tenants:
            return
        if envelope["revision"] is None:
            self._deliver(envelope)
        else:
            if len(self._orders) > _REMEMBERED:
                self._orders = {key: order for key, order in self._orders.items() if order.is_waiting}
            conversation_id = UUID(envelope["conversations"][0])
            order = self._orders.get(conversation_id)
            if order is None:
                order = self._orders[conversation_id] = Order(self._deliver)
            order.take(envelope["revision"], envelope)

    def _deliver(self, envelope: Envelope) -> None:
        tenant = self._tenants.get(UUID(envelope["tenant"]))
        if tenant is None:
            return
        conversations = [UUID(each) for each in envelope["conversations"]]
        may = None if envelope["users"] is None else set(envelope["users"])
        sockets: set[ChatConnection] = set()
        if envelope["everywhere"] and may is not None:
            for user_id in may & tenant.sockets.keys():
                sockets |= tenant.sockets[user_id]
        if envelope["also"] is not None:
            sockets |= tenant.sockets.get(envelope["also"], set())
        for conversation_id in conversations:
            sockets |= tenant.rooms.get(conversation_id, set())
        for socket in sockets:
            user_id = socket.person.user_id
            if (may is None or user_id in may) and user_id != envelope["but"]:
                socket.take(conversations[0], envelope["revision"], envelope["text"])
                if envelope["type"] == "participant_removed" and user_id == envelope["user"]:
                    socket.release(conversations[0])
                    self.leave(socket, conversations[0])

    # --- The clock ----------------------------------------------------------------------------------------------------

    def _beat_now(self) -> None:
        """Let every socket look for what it has missed."""
        for socket in self.connections():
            socket.beats_at = 0.0
        self.errand(self._beat())

    async def _beat(self) -> None:
        """Send the heartbeats that are due, with the top numbers of what was joined; put out who is no participant."""
        now, pause = time.monotonic(), float(settings.LIVE_HEARTBEAT_SECONDS)
        due = [socket for socket in self.connections() if socket.beats_at <= now]
        for socket in due:
            socket.beats_at = now + pause
        joined = {conversation_id for socket in due for conversation_id in socket.joined}
        tops: dict[UUID, tuple[int, int]] = {}
        within: set[tuple[UUID, str]] = set()
        with contextlib.suppress(DatabaseError):  # then the next heartbeat heals
            tops, within = await in_thread(_look, joined, {socket.person.user_id for socket in due})
        lives: dict[UUID, list[tuple[str, str]]] = {}
        for socket in due:
            known = []
            for conversation_id in list(socket.joined):
                if conversation_id not in tops:
                    continue
                if (conversation_id, socket.person.user_id) in within:
                    last_seq, revision = tops[conversation_id]
                    known.append({"conversation_id": conversation_id, "last_seq": last_seq, "revision": revision})
                else:
                    socket.release(conversation_id)
                    self.leave(socket, conversation_id)
            socket.write_frame(type="heartbeat", conversations=known)
            lives.setdefault(socket.person.tenant_id, []).append((socket.id, socket.person.user_id))
        for tenant_id, some in lives.items():
            await census.renew(tenant_id, some, kind=KIND)
            await census.forget_lost(tenant_id, kind=KIND)

    async def _renew(self) -> None:
        """Keep alive that people are here."""
        people = {(socket.person.tenant_id, socket.person.user_id) for socket in self.connections()}
        if people:
            await in_thread(presence.renew, people)


def _look(
    conversation_ids: Collection[UUID], user_ids: Collection[str]
) -> tuple[dict[UUID, tuple[int, int]], set[tuple[UUID, str]]]:
    """Return the top numbers of conversations, and who of these people is in which."""
    if not conversation_ids:
        return {}, set()
    with platform_scope("heartbeat of chat"):
        rows = Conversation.objects.filter(id__in=conversation_ids).values_list("id", "last_seq", "revision")
        tops = {conversation_id: (last_seq, revision) for conversation_id, last_seq, revision in rows}
        places = Participant.objects.filter(
            conversation_id__in=conversation_ids, user_id__in=user_ids, left_at=None
        ).values_list("conversation_id", "user_id")
        return tops, set(places)
