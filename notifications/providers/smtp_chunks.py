"""Many messages in one write, to a server that takes chunks (RFC 3030, CHUNKING, with PIPELINING of RFC 2920).

DATA has to wait for the server's 354 before every message; BDAT does not. So several whole messages, each with its
envelope, travel together, and a distant server is waited for once for all of them.

What that costs: when the connection breaks, nobody knows of any message on it whether it was taken. So only bulk mail
goes this way; a connection begins with one message and takes more at a time as it proves itself; and a few messages are
spread over the connections instead of sharing one, lest a message that a server can not stand takes others with it.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from notifications.providers.smtp_client import Connection, Reply
from notifications.providers.smtp_stream import (
    MESSAGES_PER_CONNECTION,
    SLOWEST_UPLOAD,
    Closing,
    Delivery,
    Run,
    Unsendable,
    envelope,
)

#: Messages, and octets of them, that may be on their way at the same time.
MOST_MESSAGES: Final = 16
MOST_OCTETS: Final = 256 * 1024
#: Answers to BDAT that say that the server does not know it after all.
_UNKNOWN: Final = frozenset({500, 502, 504})
#: RSET ends what a refused message left behind: after a refusal its BDAT was refused as well, but MAIL still stood.
_STAGES: Final = ("rset", "mail", "rcpt", "message")


class NotChunked(ConnectionError):
    """The server offered CHUNKING and does not know BDAT; everything that was under way was given back."""

    def __init__(self) -> None:
        super().__init__("the server does not know BDAT although it offers CHUNKING")


class ChunkStream:
    """Sends deliveries of a run over one connection until there are no more, it is worn out, or it breaks."""

    def __init__(self, connection: Connection, run: Run) -> None:
        self._connection = connection
        self._run = run
        self._window: deque[Delivery] = deque()
        self._octets = 0
        #: How many messages may be on their way: doubled with every group that was taken.
        self._width = 1

    async def run(self) -> None:
        """Send. Raises what broke the connection, after every message that was on it is settled or given back."""
        try:
            if not await self._open():
                return
            while self._window:
                await self._first_is_answered()
                if len(self._window) <= self._width // 2:
                    self._width = min(self._width * 2, MOST_MESSAGES)
                    self._write(self._more())
        except Exception as error:
            self._clean_up(error)
            raise

    async def _open(self) -> bool:
        """Begin with one envelope alone: a connection that died at rest must not leave a message in doubt.

        Returns whether there is anything to send.
        """
        if not (group := self._more()):
            return False
        (delivery,) = group
        self._window.clear()
        try:
            self._connection.write(b"RSET\r\n")
            reply = await self._connection.reply()
        except Exception as error:
            self._run.unwritten(delivery, error, fresh=not self._connection.reused)
            raise
        if reply.code == 421:
            self._run.give_back(delivery)
            raise Closing
        self._window.append(delivery)
        self._write(group)
        return True

    def _more(self) -> list[Delivery]:
        """Take as many deliveries as may join those on their way."""
        group: list[Delivery] = []
        room = min(self._width, max(1, self._run.unsettled // self._run.connections)) - len(self._window)
        room = min(room, MESSAGES_PER_CONNECTION - self._connection.answered - len(self._window))
        while len(group) < room and (self._octets < MOST_OCTETS or not (group or self._window)):
            if (delivery := self._run.take()) is None:
                break
            try:
                delivery.commands = envelope(delivery, self._connection.extensions)
            except Unsendable as error:
                self._run.refuse_unsent(delivery.message, error)
                continue
            self._octets += len(delivery.data)
            group.append(delivery)
        self._window.extend(group)
        return group

    def _write(self, group: list[Delivery]) -> None:
        """Write whole messages: RSET, MAIL, RCPT and BDAT with the message itself."""
        if not group:
            return
        parts: list[bytes] = []
        for each in group:
            parts += (b"RSET\r\n", *each.commands[:-1], b"BDAT %d LAST\r\n" % len(each.data), each.data)
        self._connection.write(b"".join(parts))

    async def _first_is_answered(self) -> None:
        """Await the answers to the first message that is on its way, and settle it."""
        connection, first = self._connection, self._window[0]
        patience = self._octets / SLOWEST_UPLOAD
        refusal: tuple[str, Reply] | None = None
        for stage in _STAGES:
            reply = await connection.reply(extra=patience)
            if reply.code == 421:
                refusal = refusal or (stage, reply)
                break
            if refusal is None and not 200 <= reply.code < 300:
                refusal = stage, reply
        if refusal and refusal[0] == "message" and refusal[1].code in _UNKNOWN:
            self._run.chunking = False
            raise NotChunked
        self._window.popleft()
        self._octets -= len(first.data)
        connection.count()
        answers = self._run.answers
        self._run.settle(first.message, answers.refused(*refusal) if refusal else answers.accepted(reply))
        if reply.code == 421:
            raise Closing

    def _clean_up(self, error: Exception) -> None:
        """Settle or give back what is on its way.

        A server answers in order: behind its goodbye, and behind a command that it does not know, it has taken nothing.
        """
        while self._window:
            delivery = self._window.pop()
            if isinstance(error, Closing | NotChunked):
                self._run.give_back(delivery)
            else:
                self._run.settle(delivery.message, self._run.answers.broken(error, ambiguous=True))
