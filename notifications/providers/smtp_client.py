"""One SMTP connection (RFC 5321): replies in, commands out, TLS, authentication. What to do with it is decided above.

The connection is an ``asyncio.Protocol`` that parses replies as they arrive, so that a group of commands costs one
write and one wake-up (RFC 2920). Whatever the server does surfaces as one of four things: a ``Reply``, ``Refused``
(a reply that ends the conversation), ``SmtpError`` (it does not speak SMTP as asked), or an ``OSError``
(``TimeoutError`` and ``ssl.SSLError`` are some).
"""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from notification_service.lib.net import NetworkPolicy, resolve_allowed

#: RFC 5321 §4.5.3.1.5 allows 512 octets a reply line; real servers exceed it, none needs more than this.
MAX_LINE = 8192
MAX_LINES = 128

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s|$)")


class SmtpError(Exception):
    """The server does not do what the protocol or the credential asks for."""


class Reply(NamedTuple):
    """A complete reply: its code and its lines without the code."""

    code: int
    lines: tuple[bytes, ...]

    @property
    def text(self) -> str:
        """The server's own words on one line."""
        words = [line.decode("utf-8", "replace").strip() for line in self.lines]
        if len(words) > 1 and (enhanced := self.enhanced):  # said once is enough
            words[1:] = [word.removeprefix(enhanced).strip() for word in words[1:]]
        return " ".join(word for word in words if word)

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 3463), ``5.1.1`` for example, or nothing."""
        match = _ENHANCED.match(self.lines[0].decode("ascii", "replace")) if self.lines else None
        return match.group(1) if match else ""


class Refused(Exception):
    """A reply that says no. ``stage`` is the step it answers: greeting, ehlo, starttls, auth, mail, …"""

    def __init__(self, stage: str, reply: Reply) -> None:
        super().__init__(f"{stage}: {reply.code}")
        self.stage = stage
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Server:
    """Where to connect and as whom. ``security`` is ``starttls``, ``tls`` or ``none``; ``timeout`` in seconds.

    ``auth`` is ``auto``, ``plain``, ``login`` or ``xoauth2``; for the last, ``password`` is the access token.
    """

    host: str
    port: int
    security: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout: float = 30.0
    auth: str = "auto"


@dataclass(slots=True)
class Progress:
    """How far opening a connection came: the steps that are done, with the server's words, and the one under way."""

    current: str = "connect"
    done: list[tuple[str, str]] = field(default_factory=list)

    def finish(self, detail: str) -> None:
        """The step under way is done."""
        self.done.append((self.current, detail))

    def restart(self) -> None:
        """Everything is done once more."""
        self.current = "connect"
        self.done.clear()


class Connection(asyncio.Protocol):
    """A connection and the replies that it has not handed out yet."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.error: Exception | None = None
        self.extensions: dict[str, str] = {}
        #: Messages that the server has answered for on this connection.
        self.answered = 0
        #: Taken from a pool, and nothing answered since: it may have died at rest.
        self.reused = False
        self._transport: asyncio.Transport
        self._replies: deque[Reply] = deque()
        self._partial = b""
        self._lines: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None

    # --- what the event loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are not subclasses of it

    def data_received(self, data: bytes) -> None:
        if self._partial:
            data = self._partial + data
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            if not self._take_line(data[start:end]):
                return
            start = end + 1
        self._partial = data[start:]
        if len(self._partial) > MAX_LINE:
            self._fail(SmtpError("the server sent a line that is too long"))
        elif self._replies and self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _take_line(self, line: bytes) -> bool:
        code, mark = line[:3], line[3:4]
        if len(line) > MAX_LINE or len(self._lines) >= MAX_LINES:
            self._fail(SmtpError("the server sent a reply that is too long"))
            return False
        if len(code) < 3 or not code.isdigit() or not b"2" <= code < b"6" or mark not in b" -\r":
            self._fail(SmtpError("the server sent something that is not an SMTP reply"))
            return False
        self._lines.append(line[4:].rstrip())
        if mark != b"-":
            self._replies.append(Reply(int(code), tuple(self._lines)))
            self._lines = []
        return True

    def eof_received(self) -> None:
        self._lose(ConnectionResetError("the server closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(exc or ConnectionResetError("the server closed the connection"))

    def _lose(self, error: Exception) -> None:
        self.error = self.error or error
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._lose(error)
        self._transport.abort()

    # --- reading and writing ---

    @property
    def usable(self) -> bool:
        """Whether the connection is open and nothing unasked-for has arrived on it."""
        return not (self.error or self._replies or self._partial or self._lines or self._transport.is_closing())

    def write(self, data: bytes) -> None:
        """Write commands or a message. Raises what broke the connection, if it is known to be broken already."""
        if self.error:
            raise self.error
        self._transport.write(data)

    async def reply(self, *, extra: float = 0.0) -> Reply:
        """Return the next reply. Raises ``OSError`` or ``SmtpError``; after that the connection is of no more use.

        ``extra`` seconds are added to the time-out, for a long message that is still being sent.
        """
        if not self._replies:
            if self.error:
                raise self.error
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            limit = self.timeout + extra
            alarm = loop.call_later(limit, self._fail, TimeoutError(f"the server did not answer within {limit:.0f} s"))
            try:
                await self._waiter
            finally:
                alarm.cancel()
                self._waiter = None
            if not self._replies:
                raise self.error or ConnectionResetError("the connection was closed")
        return self._replies.popleft()

    async def command(self, line: bytes) -> Reply:
        """Send one command and return its reply."""
        self.write(line + b"\r\n")
        return await self.reply()

    def count(self) -> None:
        """A message was answered for."""
        self.answered += 1
        self.reused = False

    def abort(self) -> None:
        """Drop the connection at once."""
        self._transport.abort()

    def quit(self) -> None:
        """Say goodbye and close, without waiting for the answer."""
        if self.usable:
            self._transport.write(b"QUIT\r\n")
        self._transport.close()

    # --- opening ---

    async def hello(self) -> Reply:
        """Introduce ourselves and learn what the server can do. Falls back to HELO (RFC 5321 §3.2)."""
        name = self._own_name().encode("ascii")
        self.extensions = {}
        reply = await self.command(b"EHLO " + name)
        if reply.code in {500, 501, 502, 504, 550}:
            reply = await self.command(b"HELO " + name)
            _expect("ehlo", reply, 250)
            return reply
        _expect("ehlo", reply, 250)
        for line in reply.lines[1:]:
            keyword, _, rest = line.decode("ascii", "replace").replace("AUTH=", "AUTH ", 1).partition(" ")
            known = self.extensions.get(keyword.upper())
            self.extensions[keyword.upper()] = f"{known} {rest}" if known else rest
        return reply

    def _own_name(self) -> str:
        """Our host name if it is fully qualified, else the address literal that RFC 5321 §4.1.4 asks for."""
        name = socket.gethostname()
        if "." in name and re.fullmatch(r"[A-Za-z0-9.-]{1,255}", name):
            return name
        address = str((self._transport.get_extra_info("sockname") or ("127.0.0.1",))[0]).partition("%")[0]
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

    async def start_tls(self, context: ssl.SSLContext, host: str) -> Reply:
        """Upgrade to TLS (RFC 3207). What arrived in clear before the handshake is forgotten, and so is the EHLO."""
        if "STARTTLS" not in self.extensions:
            raise SmtpError(
                "the server does not offer STARTTLS, and the credential forbids to go on without encryption"
            )
        reply = await self.command(b"STARTTLS")
        _expect("starttls", reply, 220)
        # Bytes that a man in the middle put behind the 220 must not be read as answers inside the tunnel.
        self._replies.clear()
        self._lines.clear()
        self._partial = b""
        transport = await asyncio.get_running_loop().start_tls(
            self._transport, self, context, server_hostname=host, ssl_handshake_timeout=self.timeout
        )
        if transport is None:
            raise self.error or ConnectionResetError("the server closed the connection")
        self._transport = transport
        return reply

    async def authenticate(self, username: str, secret: str, auth: str = "auto") -> Reply:
        """Log in by PLAIN (RFC 4616), LOGIN or XOAUTH2 (https://developers.google.com/gmail/imap/xoauth2-protocol).

        ``auto`` is the first of PLAIN and LOGIN that is offered. Raises ``Refused``, or ``AuthUnavailable`` if what is
        wanted is not offered.
        """
        offered = self.extensions.get("AUTH", "").upper().split()
        wanted = ("PLAIN", "LOGIN") if auth == "auto" else (auth.upper(),)
        mechanism = next((name for name in wanted if name in offered), None)
        if mechanism is None:
            names = ", ".join(offered) or "none"
            raise AuthUnavailable(
                f"the server does not offer {' or '.join(wanted)} to log in with (it offers: {names})"
            )
        if mechanism == "PLAIN":
            reply = await self.command(b"AUTH PLAIN " + _encoded(f"\0{username}\0{secret}"))
        elif mechanism == "LOGIN":
            reply = await self.command(b"AUTH LOGIN")
            for answer in (username, secret):
                if reply.code != 334:
                    break
                reply = await self.command(_encoded(answer))
        else:
            reply = await self.command(b"AUTH XOAUTH2 " + _encoded(f"user={username}\1auth=Bearer {secret}\1\1"))
            if reply.code == 334:  # its reasons; the refusal itself comes after an empty line
                reply = await self.command(b"")
        _expect("auth", reply, 235)
        return reply


def _encoded(text: str) -> bytes:
    return base64.b64encode(text.encode())


class AuthUnavailable(SmtpError):
    """A user name is given, but the server does not let anybody log in on this connection."""


def _expect(stage: str, reply: Reply, code: int) -> None:
    if reply.code != code:
        raise Refused(stage, reply)


async def open_connection(
    server: Server, policy: NetworkPolicy, context: ssl.SSLContext | None, progress: Progress | None = None
) -> Connection:
    """Connect, greet, encrypt and log in. Raises ``Refused``, ``SmtpError`` or ``OSError`` (``BlockedAddress`` too).

    ``context`` is needed unless ``security`` is ``none``. The name is resolved once; see ``resolve_allowed``.
    """
    progress = progress or Progress()
    connection = await _connect(server, policy, context if server.security == "tls" else None)
    try:
        progress.finish(f"{server.host}:{server.port}")
        progress.current = "greeting"
        reply = await connection.reply()
        _expect("greeting", reply, 220)
        progress.finish(reply.text)
        progress.current = "ehlo"
        progress.finish((await connection.hello()).text)
        if server.security == "starttls":
            assert context is not None  # noqa: S101 - the caller's contract
            progress.current = "starttls"
            progress.finish((await connection.start_tls(context, server.host)).text)
            progress.current = "ehlo"
            await connection.hello()
        if server.username is not None and server.password is not None:
            progress.current = "auth"
            progress.finish((await connection.authenticate(server.username, server.password, server.auth)).text)
    except BaseException:
        connection.abort()
        raise
    return connection


async def _connect(server: Server, policy: NetworkPolicy, context: ssl.SSLContext | None) -> Connection:
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    try:
        async with asyncio.timeout(server.timeout):
            addresses = await resolve_allowed(server.host, server.port, policy.allowed_networks)
            for family, address in addresses:
                try:
                    _, connection = await loop.create_connection(
                        lambda: Connection(server.timeout),
                        address,
                        server.port,
                        family=family,
                        ssl=context,
                        server_hostname=server.host if context else None,
                    )
                except OSError as error:
                    failure = failure or error
                else:
                    return connection
    except TimeoutError:
        raise failure or TimeoutError(f"no connection within {server.timeout:.0f} s") from None
    raise failure or OSError("the host has no address")
