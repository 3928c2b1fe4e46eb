"""The pretend mail server: SMTP (RFC 5321) with pipelining (RFC 2920), on the program's own event loop."""

from __future__ import annotations

import asyncio
import base64
import collections
import logging
import re
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session, syntax

from sandbox.magic import Recipients, delay, is_dropped
from sandbox.store import Store

SIZE_LIMIT = 25 * 2**20  # bytes
HOSTNAME = "sandbox.localhost"
REFUSED_PASSWORDS = ("wrong", "invalid", "expired")

_LINE_LIMIT = 998  # octets without CRLF (RFC 5322 §2.1.1)
_READ_LIMIT = 2**17
_AUTH_LINE_LIMIT = 12_288  # RFC 4954 §4
_TOO_LONG_LINE = re.compile(rb"[^\n]{%d}" % (_LINE_LIMIT + 2))
_PLAIN_PATH = re.compile(r'<([^<>\s"\\@:,]+@[^<>\s"\\@:,]+)>(.*)', re.DOTALL)
_XOAUTH2 = re.compile(rb"user=([^\x01]+)\x01auth=Bearer ([^\x01]+)\x01\x01")
_ANSWER_AT_ONCE = (b"220", b"221", b"334", b"354", b"421")

log = logging.getLogger("sandbox.smtp")


class Handler:
    """Decides about recipients and keeps what is accepted. One for all connections."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._recipients = Recipients()

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Add PIPELINING to the extensions that the library offers."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept the recipient, unless it is a magic one that says otherwise."""
        if address == "<>":
            return "501 5.1.3 Bad recipient address: empty"
        refusal = self._recipients.refusal(address)
        if refusal is not None:
            return refusal
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str | None:
        """Keep the message, once per recipient. None: the connection was closed and there is nothing to answer."""
        if any(map(is_dropped, envelope.rcpt_tos)):
            if server.transport is not None:
                server.transport.close()
            return None
        wait = max(map(delay, envelope.rcpt_tos))
        if wait:
            await asyncio.sleep(wait)
        auth: Any = session.auth_data
        content = envelope.content or b""
        ids = self._store.add(
            channel="email",
            tenant=auth.login.decode("utf-8", "replace") if isinstance(auth, LoginPassword) else "",
            to=envelope.rcpt_tos,
            sender="" if envelope.mail_from == "<>" else envelope.mail_from or "",
            raw=content if isinstance(content, bytes) else content.encode(),
        )
        return f"250 2.0.0 OK: kept as {ids[0]}"

    async def handle_exception(self, error: Exception) -> str:
        """Answer in general words; what went wrong goes to the log."""
        if not isinstance(error, asyncio.IncompleteReadError):
            log.error("session failed", exc_info=error)
        return "451 4.3.0 Internal error"


def authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: LoginPassword
) -> AuthResult:
    """Let every name in, with any password or access token that does not start with a word for a bad one."""
    if login.password.decode("utf-8", "replace").startswith(REFUSED_PASSWORDS):
        return AuthResult(success=False, handled=False)  # 535 5.7.8 Authentication credentials invalid
    return AuthResult(success=True, auth_data=login)


class Connection(SMTP):
    """One client.

    Differs from the library where pipelined clients need it: answers to a group of commands leave together, message
    data is read in large pieces, and commands that came before the client's end of file are still carried out.
    """

    _reader: Any  # asyncio.StreamReader; its buffer has no public face, and the library reaches into it as well
    line_length_limit = _READ_LIMIT  # the library gives this to its stream reader; lines are checked in smtp_DATA

    def __init__(self, handler: Handler, connections: set[Connection]) -> None:
        # An own dictionary: the library shares one between all connections and empties it for each new one.
        self.command_size_limits: dict[str, int] = collections.defaultdict(lambda: SMTP.command_size_limit)
        self._connections = connections
        self._answers: list[bytes] = []
        self._at_end = False
        super().__init__(
            handler,
            data_size_limit=SIZE_LIMIT,
            enable_SMTPUTF8=True,
            hostname=HOSTNAME,
            ident="sandbox ESMTP",
            auth_require_tls=False,
            authenticator=authenticate,
            loop=asyncio.get_running_loop(),
        )
        self.command_size_limits["AUTH"] = _AUTH_LINE_LIMIT

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection in, so that it can be closed with the server."""
        self._connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Count the connection out."""
        self._connections.discard(self)
        super().connection_lost(error)

    def eof_received(self) -> bool | None:
        """Stop, but not before the commands that were sent ahead of the end have been carried out."""
        if self._reader._waiter is None and self._reader._buffer:
            self._at_end = True
            self._reader.feed_eof()
            return True
        result: bool | None = super().eof_received()
        return result

    async def push(self, status: str | bytes) -> None:
        """Send an answer; while further commands are waiting it is held back to leave with theirs (RFC 2920 §3.2)."""
        answer = status.encode() if isinstance(status, str) else status
        self._answers.append(answer)
        waiting = b"\n" in self._reader._buffer
        if waiting and not answer.startswith(_ANSWER_AT_ONCE):
            return
        self._writer.write(b"\r\n".join(self._answers) + b"\r\n")
        self._answers.clear()
        if self._at_end and not waiting:
            self._finish()
        await self._writer.drain()

    async def auth_XOAUTH2(self, _: SMTP, args: list[str]) -> AuthResult:
        """Log in with an access token: https://developers.google.com/gmail/imap/xoauth2-protocol."""
        blob = args[1].encode() if len(args) > 1 else await self.challenge_auth("", log_client_response=False)
        try:
            clear = base64.b64decode(blob, validate=True) if isinstance(blob, bytes) and len(args) > 1 else blob
        except ValueError:
            clear = b""
        said = _XOAUTH2.fullmatch(clear if isinstance(clear, bytes) else b"")
        if said is None:
            await self.push("501 5.5.2 Can't decode base64")
            return AuthResult(success=False, handled=True)
        login = LoginPassword(said[1], said[2])
        assert self.session is not None and self.envelope is not None  # noqa: S101, PT018 - there is a conversation
        result = authenticate(self, self.session, self.envelope, "XOAUTH2", login)
        if not result.success:  # the reasons, then an empty line of the client's, then the refusal
            await self.challenge_auth('{"status":"401","schemes":"bearer","scope":"https://mail.google.com/"}')
        return result

    @syntax("DATA")
    async def smtp_DATA(self, arg: str | None) -> None:
        """Read the message up to the lone dot and hand it to the handler."""
        if await self.check_helo_needed():
            return
        envelope = self.envelope
        if envelope is None or not envelope.rcpt_tos:
            await self.push("503 5.5.1 Error: need RCPT command")
            return
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        content = await self._read_content()
        self.envelope = self._create_envelope()  # whatever comes of this message, the next one starts afresh
        answer: str | None
        if content is None:
            answer = "552 5.3.4 Error: Too much mail data"
        elif _TOO_LONG_LINE.search(content):
            answer = f"500 5.5.2 Line too long: more than {_LINE_LIMIT} octets (RFC 5322 section 2.1.1)"
        else:
            envelope.content = envelope.original_content = content
            answer = await self.event_handler.handle_DATA(self, self.session, envelope)
        if answer is not None:
            await self.push(answer)

    async def _read_content(self) -> bytes | None:
        """Return the message data without transparency dots (RFC 5321 §4.5.2); None when it is beyond the limit.

        Whatever follows the lone dot stays in the reader: it is the next envelope.
        """
        content = bytearray(b"\r\n")  # a lone dot may stand in the first line
        too_much = False
        while not content.endswith(b"\r\n.\r\n"):
            try:
                content += await self._reader.readuntil(b".\r\n")
            except asyncio.LimitOverrunError as overrun:
                content += await self._reader.read(overrun.consumed)
            if len(content) > SIZE_LIMIT + 5:
                too_much = True
                del content[:-5]
        if too_much:
            return None
        return bytes(content[:-3]).replace(b"\r\n.", b"\r\n")[2:]

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """Parse a path; the common form needs no general address parser."""
        match = _PLAIN_PATH.fullmatch(arg)
        if match:
            return match[1], match[2]
        address: tuple[str | None, str | None] = super()._getaddr(arg)
        return address

    def _finish(self) -> None:
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()
        if self.transport is not None:
            self.transport.close()

    def close(self) -> None:
        """Tell the client that the server goes away (RFC 5321 §3.8), and close."""
        if self.transport is not None:
            self._writer.write(b"421 4.3.2 Shutting down\r\n")
            self._finish()


class Server:
    """The listening end and its connections."""

    def __init__(self, store: Store) -> None:
        self._handler = Handler(store)
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen and return the port (another one than asked for when that was 0). Raises OSError if it is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self._handler, self._connections), host, port)
        bound: Any = self._server.sockets[0].getsockname()
        return int(bound[1])

    async def stop(self) -> None:
        """Stop listening and close all connections."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.close()
        await self._server.wait_closed()
