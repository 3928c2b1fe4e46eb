"""Feeds: the stream of one person, as one process passes it on to all of that person's sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

from notification_service.lib.scope import tenant_scope
from notifications.inbox.models import InboxStream
from notifications.inbox.socket.threads import in_thread

if TYPE_CHECKING:
    from notifications.inbox.socket.connection import Connection
    from notifications.inbox.socket.hub import Hub

#: Frames that may wait for one that is missing, and for how long (seconds) before it is read from the database.
_MOST_AHEAD = 1_000
_PATIENCE = 0.25


class Feed:
    """A person's stream. ``position`` is the number of the last frame passed on; None until it was looked up.

    Frames are published after their commits and may overtake each other: one that is early waits, one that came before
    is dropped, and one that does not come is read from the database. So sockets get each number once and in order.
    """

    __slots__ = ("_ahead", "_healing", "beats_at", "epoch", "hub", "position", "sockets", "tenant_id", "user_id")

    def __init__(self, hub: Hub, tenant_id: UUID, user_id: str) -> None:
        self.hub = hub
        self.tenant_id = tenant_id
        self.user_id = user_id
        self.epoch: UUID | None = None
        self.position: int | None = None
        self.sockets: list[Connection] = []
        self.beats_at = 0.0
        self._ahead: dict[int, str] = {}
        self._healing: asyncio.TimerHandle | None = None

    def start(self, epoch: UUID, seq: int) -> None:
        """Begin after a number, if it has not begun."""
        if self.position is None:
            self.epoch, self.position = epoch, seq
            self._pass_on_waiting()

    def restart(self, epoch: UUID, seq: int, unread: int, reason: str) -> None:
        """Go on from another place, and tell everybody to load anew."""
        self.epoch, self.position = epoch, seq
        self._ahead.clear()
        for socket in self.sockets:
            if not socket.catching_up:
                socket.go_on(reason, unread)

    def take(self, seq: int, text: str) -> None:
        """Pass on a frame, once all before it have been."""
        if self.position is not None and seq == self.position + 1:
            self.position = seq
            for socket in self.sockets:
                socket.take(seq, text)
            if self._ahead:
                self._pass_on_waiting()
        elif self.position is None or seq > self.position:
            if len(self._ahead) < _MOST_AHEAD:
                self._ahead[seq] = text
            if self.position is not None:
                self._heal_soon()

    def _pass_on_waiting(self) -> None:
        for seq in sorted(self._ahead):
            if self.position is not None and seq <= self.position + 1:
                self.take(seq, self._ahead.pop(seq)) if seq == self.position + 1 else self._ahead.pop(seq)
        if self._ahead:
            self._heal_soon()

    def _heal_soon(self) -> None:
        if self._healing is None:
            self._healing = asyncio.get_running_loop().call_later(_PATIENCE, self._heal)

    def _heal(self) -> None:
        self._healing = None
        if self._ahead and self.sockets:
            self.hub.heal_later([self])

    def stop(self) -> None:
        """Forget what it waits for: nobody listens any more."""
        if self._healing is not None:
            self._healing.cancel()
            self._healing = None

    async def unread(self) -> int:
        """Return how much is unread now."""
        return await in_thread(_unread, self.tenant_id, self.user_id)


def _unread(tenant_id: UUID, user_id: str) -> int:
    with tenant_scope(tenant_id):
        return InboxStream.objects.filter(user_id=user_id).values_list("unread", flat=True).first() or 0
