"""Many messages over one SMTP connection, as few round trips as the server allows.

With PIPELINING (RFC 2920) the end of one message and the envelope of the next travel in one write, so that a steady
stream costs one round trip a message. Without it, every command waits for its answer.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from notifications.providers.base import NOT_BEGUN, FailureReason, OutgoingMessage, SendResult
from notifications.providers.smtp_answers import Answers
from notifications.providers.smtp_client import Connection, Reply

#: Seconds of patience for a body are its size over this many octets a second, on top of the time-out.
SLOWEST_UPLOAD = 32_768
#: Messages after which a connection is closed; large providers close theirs at about that number.
MESSAGES_PER_CONNECTION = 500

_BARE_NEWLINE = re.compile(rb"\r\n|\r|\n")
_LEADING_DOT = re.compile(rb"^\.", re.MULTILINE)


def whole_lines(data: bytes) -> bytes:
    """Return a message with CRLF only, at its end too: bare CR and LF become line ends.

    So no server can see an end of data where there is none ("smuggling").
    """
    ends = data.count(b"\r\n")
    if data.count(b"\n") != ends or data.count(b"\r") != ends:
        data = _BARE_NEWLINE.sub(b"\r\n", data)
    return data if data.endswith(b"\r\n") or not data else data + b"\r\n"


def wire_body(data: bytes) -> bytes:
    """Return whole lines as DATA wants them (RFC 5321 §4.5.2): leading dots doubled, the final dot added."""
    if data.startswith(b".") or b"\n." in data:
        data = _LEADING_DOT.sub(b"..", data)
    return data + b".\r\n"


@dataclass(slots=True)
class Delivery:
    """One message on its way. ``data`` has CRLF line ends only; the addresses are wire addresses.

    ``copies`` get it too, if the server takes them: what it says to those that it refuses is in ``refused``.
    """

    message: OutgoingMessage
    sender: str
    recipient: str
    data: bytes
    copies: tuple[str, ...] = ()
    refused: list[str] = field(default_factory=list)
    #: MAIL, RCPT and DATA, for the connection that it is on.
    commands: tuple[bytes, ...] = ()
    #: Fresh connections that broke under it before its body was written.
    breaks: int = 0


class Unsendable(Exception):
    """The server can not take this message, as its EHLO says."""


def envelope(delivery: Delivery, extensions: dict[str, str]) -> tuple[bytes, bytes, bytes]:
    """Return MAIL, RCPT and DATA for a delivery. Raises ``Unsendable`` if an extension that it needs is missing."""
    options = ""
    if "SIZE" in extensions:
        limit = extensions["SIZE"].strip()
        if limit.isascii() and limit.isdigit() and 0 < int(limit) < len(delivery.data):
            raise Unsendable(f"the message has {len(delivery.data)} octets, the server takes {int(limit)}")
        options += f" SIZE={len(delivery.data)}"
    if not delivery.data.isascii():
        if "8BITMIME" not in extensions:
            raise Unsendable("the message has 8-bit octets, and the server does not offer 8BITMIME")
        options += " BODY=8BITMIME"
    if not "".join((delivery.sender, delivery.recipient, *delivery.copies)).isascii():
        if "SMTPUTF8" not in extensions:
            raise Unsendable("the address is not ASCII, and the server does not offer SMTPUTF8")
        options += " SMTPUTF8"
    return (
        f"MAIL FROM:<{delivery.sender}>{options}\r\n".encode(),
        f"RCPT TO:<{delivery.recipient}>\r\n".encode(),
        b"DATA\r\n",
    )


class Run:
    """The messages of one call, shared by its connections: each message is settled exactly once."""

    def __init__(
        self,
        messages: Sequence[OutgoingMessage],
        prepare: Callable[[OutgoingMessage], Delivery],
        answers: Answers,
        on_result: Callable[[OutgoingMessage, SendResult], None],
        *,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.answers = answers
        #: What ended the last connection that could not be opened or kept.
        self.failure = SendResult.failure(FailureReason.UNKNOWN_ERROR, "the message was not sent")
        self.unsettled = len(messages)
        #: How many connections share the messages.
        self.connections = 1
        #: Whether messages may share a write, and so the doubt when the connection breaks.
        self.chunking = all(
            message.lane == "bulk"
            and not message.at_most_once
            and not (message.content.get("cc") or message.content.get("bcc"))
            for message in messages
        )
        self._source: Iterator[OutgoingMessage] = iter(messages)
        self._returned: deque[Delivery] = deque()
        self._prepare = prepare
        self._on_result = on_result
        self._is_stopped = is_stopped
        self.callback_error: Exception | None = None

    def take(self) -> Delivery | None:
        """Return the next delivery, or None if there is none or none may be begun any more.

        Messages that can not be built are settled here.
        """
        if self._is_stopped():
            return None
        if self._returned:
            return self._returned.popleft()
        for message in self._source:
            try:
                return self._prepare(message)
            except ValueError as error:
                self.settle(message, SendResult.failure(FailureReason.CONTENT_ERROR, self.answers.words(str(error))))
            except Exception as error:  # a bug in building one message is no reason to lose the others
                self.settle(message, self.answers.broken(error))
        return None

    def give_back(self, delivery: Delivery) -> None:
        """Put a delivery whose body was not written in front of the others."""
        self._returned.appendleft(delivery)

    def unwritten(self, delivery: Delivery, error: Exception, *, fresh: bool) -> None:
        """The connection broke before the body was written: give it back, once.

        An idle connection that had died is nobody's fault; a second fresh one that breaks is the result.
        """
        delivery.breaks += fresh
        if delivery.breaks > 1:
            self.settle(delivery.message, self.answers.broken(error))
        else:
            self.give_back(delivery)

    def refuse_unsent(self, message: OutgoingMessage, why: Unsendable) -> None:
        """Settle a message that this server can not take."""
        self.settle(message, SendResult.failure(FailureReason.CONTENT_ERROR, self.answers.words(str(why))))

    def has_more(self) -> bool:
        """Whether ``take`` would return something."""
        if (delivery := self.take()) is None:
            return False
        self.give_back(delivery)
        return True

    def settle_rest(self) -> None:
        """Settle what no connection took, for the reason that ended the last one unless nothing more may be begun."""
        while left := self.take():
            self.settle(left.message, self.failure)
        for message in (*(delivery.message for delivery in self._returned), *self._source):  # if it was stopped
            self.settle(message, NOT_BEGUN)

    def settle(self, message: OutgoingMessage, result: SendResult) -> None:
        """Report a result. An error of the callback is kept for the end: it must not cost others their results."""
        self.unsettled -= 1
        try:
            self._on_result(message, result)
        except Exception as error:
            self.callback_error = self.callback_error or error


class Closing(ConnectionError):
    """The server said 421 and closes the connection; the message that it said it to is settled."""

    def __init__(self) -> None:
        super().__init__("the server closed the connection")


class Stream:
    """Sends deliveries of a run over one connection until there are no more, it is worn out, or it breaks."""

    def __init__(self, connection: Connection, run: Run) -> None:
        self._connection = connection
        self._run = run
        #: Its body is being written or waits for its answer.
        self._closing: Delivery | None = None
        #: Its envelope may be written, its body is not.
        self._opening: Delivery | None = None

    async def run(self) -> None:
        """Send. Raises what broke the connection, after every message that was on it is settled or given back."""
        try:
            if "PIPELINING" in self._connection.extensions:
                await self._pipelined()
            else:
                await self._step_by_step()
        except Exception as error:
            self._clean_up(error)
            raise

    def _clean_up(self, error: Exception) -> None:
        if self._closing:
            self._run.settle(self._closing.message, self._run.answers.broken(error, ambiguous=True))
        if self._opening:
            self._run.unwritten(self._opening, error, fresh=not self._connection.reused)
        self._closing = self._opening = None

    def _next(self) -> tuple[bytes, bytes, bytes] | None:
        """Make the next delivery that this server can take the one that opens; return its commands."""
        self._opening = None
        if self._connection.answered >= MESSAGES_PER_CONNECTION:
            return None
        while delivery := self._run.take():
            try:
                commands = envelope(delivery, self._connection.extensions)
            except Unsendable as error:
                self._run.refuse_unsent(delivery.message, error)
            else:
                self._opening = delivery
                return commands
        return None

    async def _pipelined(self) -> None:
        connection = self._connection
        commands = self._next()
        if head := self._together(commands):
            connection.write(head)
        skip = 0  # answers to RSET and to an empty message, which mean nothing
        while self._opening:
            await self._final()
            for _ in range(skip):
                await connection.reply()
            skip = 0
            if commands and self._opening.copies:
                await self._alone(commands)
                commands = self._next()
                connection.write(self._together(commands))
                continue
            answers: list[Reply] = []
            while len(answers) < len(_STAGES) and (not answers or answers[-1].code != 421):
                answers.append(await connection.reply())
            if not (refusal := _refusal(answers)):
                commands = self._advance()
                continue
            rescue = b"RSET\r\n"
            skip = 1
            if answers[-1].code == 354:  # it wants a message after all: an empty one, which has no recipient
                rescue, skip = b".\r\nRSET\r\n", 2
            self._refuse(*refusal)
            if answers[-1].code == 421:
                raise Closing
            commands = self._next()
            connection.write(rescue + self._together(commands))
        await self._final()
        for _ in range(skip):
            await connection.reply()

    def _advance(self) -> tuple[bytes, bytes, bytes] | None:
        """Write the body of the delivery that opens, and the envelope of the next one behind it."""
        current = self._opening
        assert current is not None  # noqa: S101 - narrows the type
        if self._connection.error:  # known before a byte of the body was written: nothing is ambiguous
            raise self._connection.error
        self._closing = current
        commands = self._next()
        self._connection.write(wire_body(current.data) + self._together(commands))
        return commands

    def _together(self, commands: tuple[bytes, bytes, bytes] | None) -> bytes:
        """Return an envelope that may travel in one write, or nothing if it needs a look at each answer.

        That is one with copies: were its own recipient refused, what follows would go to the copies alone.
        """
        return b"" if commands is None or (self._opening and self._opening.copies) else b"".join(commands)

    async def _step_by_step(self) -> None:
        while commands := self._next():
            await self._alone(commands)

    async def _alone(self, commands: tuple[bytes, bytes, bytes]) -> None:
        """Send the delivery that opens, each command after the answer to the one before."""
        connection, delivery = self._connection, self._opening
        assert delivery is not None  # noqa: S101 - narrows the type
        for stage, command, wanted in zip(_STAGES, commands, _WANTED, strict=True):
            if stage == "data":
                await self._offer_copies(delivery)
            connection.write(command)
            reply = await connection.reply()
            if not wanted <= reply.code < wanted + 100:
                self._refuse(stage, reply)
                if reply.code == 421:
                    raise Closing
                await connection.command(b"RSET")
                return
        if connection.error:  # known before a byte of the body was written: nothing is ambiguous
            raise connection.error
        self._closing, self._opening = delivery, None
        connection.write(wire_body(delivery.data))
        await self._final()

    async def _offer_copies(self, delivery: Delivery) -> None:
        """Name the copies to the server. Raises ``ConnectionError`` if it ends the conversation: nothing was sent."""
        delivery.refused.clear()
        for address in delivery.copies:
            reply = await self._connection.command(f"RCPT TO:<{address}>".encode())
            if reply.code == 421:
                raise ConnectionResetError("the server closed the connection")
            if not 200 <= reply.code < 300:
                delivery.refused.append(f"{address}: {reply.code} {reply.text}")

    def _refuse(self, stage: str, reply: Reply) -> None:
        """Settle the delivery that opens with a refusal."""
        assert self._opening is not None  # noqa: S101 - narrows the type
        refused, self._opening = self._opening, None
        self._connection.count()
        self._run.settle(refused.message, self._run.answers.refused(stage, reply))

    async def _final(self) -> None:
        """Await the answer to the body that was written last, if there is one."""
        if not self._closing:
            return
        reply = await self._connection.reply(extra=len(self._closing.data) / SLOWEST_UPLOAD)
        done, self._closing = self._closing, None
        self._connection.count()
        answers = self._run.answers
        accepted = 200 <= reply.code < 300
        result = answers.accepted(reply, done.refused) if accepted else answers.refused("message", reply)
        self._run.settle(done.message, result)
        if reply.code == 421:
            raise Closing


_STAGES = ("mail", "rcpt", "data")
_WANTED = (200, 200, 300)


def _refusal(answers: list[Reply]) -> tuple[str, Reply] | None:
    """Return the first answer to an envelope that is a refusal, with its stage."""
    for stage, reply, wanted in zip(_STAGES, answers, _WANTED, strict=False):
        if not wanted <= reply.code < wanted + 100:
            return stage, reply
    return None
