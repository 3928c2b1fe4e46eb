"""Mail servers to talk to: aiosmtpd for the orderly conversations, a scripted one for everything else."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP as SmtpServer
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from notification_service.lib.net import NetworkPolicy
from notifications.providers.base import OutgoingMessage, SendResult
from notifications.providers.smtp import SmtpCredential, SmtpProvider

LOCAL = NetworkPolicy.parse(["127.0.0.0/8", "::1/128"])
USERNAME, PASSWORD = "mailer", "pässword-7f3a"


def credential(port: int, **values: Any) -> SmtpCredential:
    """Return a credential for a server on this machine, in clear unless the test says otherwise."""
    payload = {"host": "127.0.0.1", "port": port, "security": "none", "from_email": "no-reply@acme.test", **values}
    return SmtpCredential.model_validate(payload)


def messages(count: int, lane: str = "normal", **content: Any) -> list[OutgoingMessage]:
    """Return messages to u0@example.com, u1@example.com, …"""
    content = content or {"subject": "Hello", "text": "Hello there.\n"}
    return [OutgoingMessage(uuid4(), f"u{number}@example.com", content, lane) for number in range(count)]


async def send_all(
    provider: SmtpProvider, batch: list[OutgoingMessage], login: SmtpCredential
) -> dict[str, SendResult]:
    """Send a batch and return the results by recipient; every message must be answered exactly once."""
    results: list[tuple[UUID, str, SendResult]] = []
    await provider.send_many(
        batch, login, lambda message, result: results.append((message.id, message.recipient, result))
    )
    assert sorted(str(item[0]) for item in results) == sorted(str(message.id) for message in batch)
    return {recipient: result for _, recipient, result in results}


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_certificate(directory: Path, *, days: int = 1) -> tuple[Path, ssl.SSLContext]:
    """Return a self-signed certificate for localhost and 127.0.0.1 and a server context that uses it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / "server.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context


@dataclass
class Caught:
    """What an aiosmtpd server took, and how it was asked to behave."""

    pipelining: bool = True
    envelopes: list[Envelope] = field(default_factory=list)
    sessions: set[int] = field(default_factory=set)
    port: int = 0

    async def handle_EHLO(
        self, server: SmtpServer, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [responses[0], "250-PIPELINING", *responses[1:]] if self.pipelining else responses

    async def handle_DATA(self, server: SmtpServer, session: Session, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        self.sessions.add(id(session))
        return "250 2.0.0 Ok: queued as 4F2A1B77"


def _check_login(server: Any, session: Any, envelope: Any, mechanism: str, login: Any) -> AuthResult:
    good = isinstance(login, LoginPassword) and (login.login, login.password) == (USERNAME.encode(), PASSWORD.encode())
    return AuthResult(success=good, handled=good)


@contextlib.contextmanager
def mail_server(
    *,
    tls: ssl.SSLContext | None = None,
    starttls: ssl.SSLContext | None = None,
    login: bool = False,
    pipelining: bool = True,
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN"),
    **options: Any,
) -> Iterator[Caught]:
    """Run an aiosmtpd server in a thread."""
    caught = Caught(pipelining)
    port = free_port()
    if login:
        excluded = [name for name in ("PLAIN", "LOGIN") if name not in mechanisms]
        options |= {
            "authenticator": _check_login,
            "auth_required": True,
            "auth_require_tls": starttls is not None,
            "auth_exclude_mechanism": excluded,
        }
    if starttls:
        options |= {"tls_context": starttls, "require_starttls": True}
    controller = Controller(caught, hostname="127.0.0.1", port=port, ssl_context=tls, enable_SMTPUTF8=True, **options)
    controller.start()
    caught.port = port
    try:
        yield caught
    finally:
        controller.stop()


#: Things that a scripted server may do instead of answering.
CLOSE, RESET, HANG = "close", "reset", "hang"

_USUAL: dict[str, bytes] = {
    "greeting": b"220 odd.test ESMTP\r\n",
    "EHLO": b"250-odd.test\r\n250-PIPELINING\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n",
    "HELO": b"250 odd.test\r\n",
    "AUTH": b"235 2.7.0 welcome\r\n",
    "MAIL": b"250 2.1.0 ok\r\n",
    "RCPT": b"250 2.1.5 ok\r\n",
    "DATA": b"354 go on\r\n",
    "message": b"250 2.0.0 Ok: queued as ABCDEF12\r\n",
    "RSET": b"250 2.0.0 ok\r\n",
    "NOOP": b"250 2.0.0 ok\r\n",
    "QUIT": b"221 2.0.0 bye\r\n",
}


class OddServer:
    """Answers as the script says: for each step a list of answers, the last of which is repeated.

    Steps are ``greeting``, the verbs, and ``message`` for the end of data. An answer is bytes, or one of ``CLOSE``,
    ``RESET``, ``HANG``, or a list of these that happen one after the other (numbers are seconds to wait; an event is
    waited for).
    """

    def __init__(self, script: dict[str, Any]) -> None:
        self.script = {
            step: list(script[step]) if isinstance(script[step], tuple) else [script[step]] for step in script
        }
        self.taken: list[tuple[bytes, bytes, bytes]] = []
        self.lines: list[bytes] = []
        self.connections = 0
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def _act(self, step: str, writer: asyncio.StreamWriter, said: list[bytes] | None = None) -> bytes:
        said = [] if said is None else said
        answers = self.script.get(step) or [_USUAL.get(step, b"502 5.5.2 not known\r\n")]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        for part in answer if isinstance(answer, list) else [answer]:
            if isinstance(part, bytes):
                said.append(part)
                writer.write(part)
                await writer.drain()
            elif isinstance(part, asyncio.Event):
                await part.wait()
            elif part == HANG:
                await asyncio.sleep(3600)
            elif part == RESET:
                writer.transport.abort()
                raise ConnectionResetError
            elif part == CLOSE:
                raise ConnectionResetError
            else:
                await asyncio.sleep(part)
        return b"".join(said)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        sender = recipient = b""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._act("greeting", writer)
            while line := await reader.readline():
                self.lines.append(line)
                verb = line[:4].strip().upper().decode()
                if verb == "BDAT":
                    await self._chunk(await reader.readexactly(int(line.split()[1])), sender, recipient, writer)
                    continue
                said = await self._act(verb, writer)
                if verb in {"MAIL", "RSET"}:
                    sender, recipient = (line if said.startswith(b"250") else b""), b""
                elif verb == "RCPT" and said.startswith(b"250"):
                    recipient = line
                if verb == "DATA" and said.startswith(b"354"):
                    data = b""
                    while (part := await reader.readline()) != b".\r\n":
                        if not part:
                            raise ConnectionResetError
                        data += part
                    heard: list[bytes] = []
                    try:
                        await self._act("message", writer, heard)
                    finally:
                        if sender and recipient and b"".join(heard).startswith(b"250"):
                            self.taken.append((sender, recipient, data))
                elif verb == "QUIT":
                    break
        writer.close()

    async def _chunk(self, data: bytes, sender: bytes, recipient: bytes, writer: asyncio.StreamWriter) -> None:
        """RFC 3030: the octets are read whatever is answered; a message needs a sender and a recipient."""
        if "BDAT" in self.script:
            await self._act("BDAT", writer)
        elif not (sender and recipient):
            writer.write(b"503 5.5.1 no sender, or no recipient\r\n")
            await writer.drain()
        else:
            heard: list[bytes] = []
            try:
                await self._act("message", writer, heard)
            finally:
                if b"".join(heard).startswith(b"250"):
                    self.taken.append((sender, recipient, data))

    async def heard(self, line: bytes, count: int = 1) -> None:
        """Wait until a line has come so often."""
        while self.lines.count(line) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def recipients(self) -> list[str]:
        """Recipients of the messages that were taken, in order."""
        return [line.decode().partition("<")[2].partition(">")[0] for _, line, _ in self.taken]


@contextlib.asynccontextmanager
async def odd_server(**script: Any) -> AsyncIterator[OddServer]:
    """Run a scripted server in this event loop."""
    odd = OddServer(script)
    listener = await asyncio.start_server(odd.serve, "127.0.0.1", 0)
    odd.port = listener.sockets[0].getsockname()[1]
    try:
        yield odd
    finally:
        listener.close()
        odd.close()
        await asyncio.sleep(0)
        current = asyncio.current_task()
        for task in asyncio.all_tasks():
            if task is not current and "serve" in repr(task.get_coro()):
                task.cancel()
