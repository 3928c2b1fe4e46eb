"""uvicorn's WebSocket protocol, of which nothing is left over when a client reads nothing more.

``transport.close()`` first waits until everything is flushed: for a client that is connected and deaf, for ever. Its
connection and its buffers stayed, and a server that is told to end waited for it. Here a connection that is over is
reset when its last words are not taken in time.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

#: How long a client may take to read its last words, the close frame, in seconds.
PATIENCE: Final = 5.0
#: On, and no time at all: closing drops what was not sent and resets the connection (socket(7), ``SO_LINGER``).
_NO_LINGERING: Final = struct.pack("ii", 1, 0)


class BoundedCloseProtocol(WebSocketsSansIOProtocol):
    """For ``uvicorn --ws notifications.inbox.socket.protocol:BoundedCloseProtocol``."""

    _reset_timer: asyncio.TimerHandle | None = None

    def shutdown(self) -> None:
        """The server ends (called by uvicorn)."""
        super().shutdown()
        self._reset_soon()

    def keepalive_timeout(self) -> None:
        """A ping was not answered (called by uvicorn)."""
        super().keepalive_timeout()
        self._reset_soon()

    async def run_asgi(self) -> None:
        """Run the application; when it is over, so is the connection."""
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
