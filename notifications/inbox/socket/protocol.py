"""uvicorn's WebSocket protocol, which holds little while nothing happens and nothing when a client reads no more.

``transport.close()`` first waits until everything is flushed: for a client that is connected and deaf, for ever. Its
connection and its buffers stayed, and a server that is told to end waited for it. Here a connection that is over is
reset when its last words are not taken in time.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Final, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from notifications.inbox.socket.outlet import WRITE_NOW

#: How long a client may take to read its last words, the close frame, in seconds.
PATIENCE: Final = 5.0
#: The first octet of a frame that is a whole text.
_FINAL_TEXT: Final = 0x81
#: On, and no time at all: closing drops what was not sent and resets the connection (socket(7), ``SO_LINGER``).
_NO_LINGERING: Final = struct.pack("ii", 1, 0)


class Mailbox:
    """What ``asyncio.Queue`` is to one reader."""

    __slots__ = ("_messages", "_reader")

    def __init__(self) -> None:
        self._messages: list[Any] = []
        self._reader: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._messages

    def put_nowait(self, message: Any) -> None:
        """Leave a message."""
        self._messages.append(message)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> Any:
        """Wait for the next message and take it."""
        while not self._messages:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._messages.pop(0)


class Gate:
    """What ``asyncio.Event`` is, with few who wait; open (set) at first."""

    __slots__ = ("_is_open", "_waiting")

    def __init__(self) -> None:
        self._is_open = True
        self._waiting: list[asyncio.Future[None]] = []

    def is_set(self) -> bool:
        """Whether it is open."""
        return self._is_open

    def set(self) -> None:
        """Open it; let pass who waits."""
        self._is_open = True
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def clear(self) -> None:
        """Close it."""
        self._is_open = False

    async def wait(self) -> bool:
        """Wait until it is open."""
        if not self._is_open:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            try:
                await waiting
            finally:
                self._waiting.remove(waiting)
        return True


class BoundedCloseProtocol(WebSocketsSansIOProtocol):
    """For ``uvicorn --ws notifications.inbox.socket.protocol:BoundedCloseProtocol``."""

    _reset_timer: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # asyncio's own are made of five deques, of 760 octets each: a sixth of what an idle socket costs.
        self.queue = cast("asyncio.Queue[Any]", Mailbox())
        self.writable = cast("asyncio.Event", Gate())

    def start_keepalive(self) -> None:
        """The handshake is over (called by uvicorn): what it was made of is not asked for again."""
        super().start_keepalive()
        cast("dict[str, Any]", self.scope).clear()
        self.request.path = ""
        self.request.headers.clear()
        self.response.headers.clear()

    def shutdown(self) -> None:
        """The server ends (called by uvicorn)."""
        super().shutdown()
        self._reset_soon()

    def keepalive_timeout(self) -> None:
        """A ping was not answered (called by uvicorn)."""
        super().keepalive_timeout()
        self._reset_soon()

    def write_now(self, text: str) -> bool:
        """Write a text frame (RFC 6455, section 5.2) unless one has to wait; return whether it was written.

        It is what ``websocket.send`` does, for a fraction of the work: no coroutine, no frame object.
        """
        if not self.writable.is_set() or self.close_sent or self.disconnected or self.conn.state is not State.OPEN:
            return False
        data = text.encode()
        length = len(data)
        if length < 126:
            head = struct.pack("!BB", _FINAL_TEXT, length)
        elif length < 65_536:
            head = struct.pack("!BBH", _FINAL_TEXT, 126, length)
        else:
            head = struct.pack("!BBQ", _FINAL_TEXT, 127, length)
        self.transport.write(head + data)
        return True

    async def run_asgi(self) -> None:
        """Run the application; when it is over, so is the connection."""
        if not self.conn.extensions:  # compressed frames are another thing
            cast("dict[str, Any]", self.scope["extensions"])[WRITE_NOW] = self.write_now
        await super().run_asgi()
        if not self.writable.is_set():  # it did not even read what came before
            self._reset()
        else:
            self._reset_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to reset (called by the event loop)."""
        if self._reset_timer is not None:
            self._reset_timer.cancel()
        super().connection_lost(exc)

    def _reset_soon(self) -> None:
        if self._reset_timer is None and not self.disconnected:
            self._reset_timer = self.loop.call_later(PATIENCE, self._reset)

    def _reset(self) -> None:
        if not self.disconnected:
            # Otherwise the kernel would go on trying to deliver what we wrote, for minutes.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
            self.transport.abort()
