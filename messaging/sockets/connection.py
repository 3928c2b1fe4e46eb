"""One open socket of chat: which conversations it has joined, and who is typing there."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

from messaging.services.people import Person
from notifications.inbox.socket.outlet import Outlet, Wire
from tenants.callers import Caller

#: A frame of a conversation that waits: its revision, if it has one, and the text.
Held = tuple[int | None, str]


class Typing:
    """That the owner of a socket is typing: when that was last told, and what ends it."""

    __slots__ = ("ends", "told_at")

    def __init__(self) -> None:
        self.told_at = 0.0
        self.ends: asyncio.TimerHandle | None = None


class ChatConnection(Outlet):
    """A socket of chat that was let in. Belongs to one event loop.

    While a conversation is being joined or resumed, what happens in it waits here, so that it comes after what was
    missed.
    """

    __slots__ = ("_held", "beats_at", "joined", "person", "typing")

    def __init__(self, wire: Wire, caller: Caller, person: Person, socket_id: str, expires_at: float | None) -> None:
        super().__init__(wire, caller, socket_id, expires_at)
        self.person = person
        self.joined: set[UUID] = set()
        self.typing: dict[UUID, Typing] = {}
        self.beats_at = time.monotonic()
        self._held: dict[UUID, list[Held]] = {}

    def take(self, conversation_id: UUID, revision: int | None, text: str) -> None:
        """Write a frame of a conversation, now or after what was missed."""
        held = self._held.get(conversation_id)
        if held is None:
            self.write(text)
        else:
            held.append((revision, text))

    def hold(self, conversation_id: UUID) -> None:
        """Let what happens in a conversation wait."""
        self._held.setdefault(conversation_id, [])

    def release(self, conversation_id: UUID, after_revision: int = 0) -> None:
        """Write what has waited, but what the client has had: frames up to a revision."""
        for revision, text in self._held.pop(conversation_id, ()):
            if revision is None or revision > after_revision:
                self.write(text)
