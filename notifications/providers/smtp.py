"""SMTP: a tenant's own mail server, or any mail service that speaks SMTP."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import idna
from pydantic import AliasChoices, Field, SecretStr, TypeAdapter, ValidationInfo, field_validator, model_validator

from notification_service.lib.net import PUBLIC_ONLY, NetworkPolicy
from notifications.providers.addresses import wire_address
from notifications.providers.base import (
    CheckResult,
    CheckStep,
    CredentialSchema,
    OnResult,
    OutgoingMessage,
    Provider,
    Secret,
    SendResult,
)
from notifications.providers.mime import build_email
from notifications.providers.sender import SenderIdentity
from notifications.providers.smtp_answers import Answers
from notifications.providers.smtp_chunks import ChunkStream
from notifications.providers.smtp_client import Connection, Progress, Refused, Server, open_connection
from notifications.providers.smtp_stream import MESSAGES_PER_CONNECTION, Delivery, Run, Stream, whole_lines

#: Seconds after which an idle connection is closed; most servers close theirs after 60 to 300.
IDLE_SECONDS = 60.0
#: Fresh connections that may break in a row without answering for a single message.
BARREN_CONNECTIONS = 2

_HOST = re.compile(r"[A-Za-z0-9_.:-]{1,253}")
_BOOL: TypeAdapter[bool] = TypeAdapter(bool)


class SmtpCredential(SenderIdentity):
    """Where the mail server is, how to log in, and who the mail is from."""

    host: str = Field(
        validation_alias=AliasChoices("host", "smtp_host"),
        description="Name or address of the mail server.",
        examples=["smtp.example.com"],
    )
    port: int = Field(587, validation_alias=AliasChoices("port", "smtp_port"), ge=1, le=65535)
    username: str | None = Field(
        None, validation_alias=AliasChoices("username", "smtp_username", "smtp_user"), max_length=320
    )
    password: Secret | None = Field(
        None, validation_alias=AliasChoices("password", "smtp_password"), max_length=4096, validate_default=True
    )
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        description="`starttls`: encrypt after connecting; `tls`: encrypted from the start (default on port 465); "
        "`none`: send in clear.",
    )
    timeout: float = Field(30, ge=1, le=120, description="Seconds to wait for each answer of the server.")
    verify_certificate: bool = Field(True, description="Whether the server's certificate must be valid for its name.")

    @model_validator(mode="before")
    @classmethod
    def _older_spellings(cls, data: Any) -> Any:
        """Forget empty fields, and turn ``use_tls`` (STARTTLS) and ``use_ssl`` (TLS) into ``security``."""
        if not isinstance(data, dict):
            return data
        data = {name: value for name, value in data.items() if value is not None and value != ""}
        old = {name: data.pop(name) for name in ("use_tls", "use_ssl") if name in data}
        implicit = str(data.get("port", data.get("smtp_port", ""))).strip() == "465"
        flags = {}
        for name, value in old.items():
            try:
                flags[name] = _BOOL.validate_python(value)
            except ValueError:
                raise ValueError(f"{name} must be true or false.") from None
        if all(flags.get(name) for name in ("use_tls", "use_ssl")):
            raise ValueError("use_tls and use_ssl exclude each other.")
        if "security" not in data:
            if flags.get("use_ssl") or implicit:
                data["security"] = "tls"
            elif flags and not flags.get("use_tls"):
                data["security"] = "none"
        return data

    @field_validator("host")
    @classmethod
    def _host_name(cls, value: str) -> str:
        host = value.removeprefix("[").removesuffix("]").rstrip(".").lower()
        try:
            host = host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError:
            host = ""
        if not _HOST.fullmatch(host):
            raise ValueError("Enter a host name or an IP address, without scheme, path or port.")
        return host

    @field_validator("username")
    @classmethod
    def _no_null(cls, value: str | None) -> str | None:
        if value is not None and not value.isprintable():
            raise ValueError("Control characters are not allowed.")
        return value

    @field_validator("password")
    @classmethod
    def _together(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if "username" in info.data and (value is None) != (info.data["username"] is None):
            raise ValueError("Username and password must be given together.")
        if value is not None and "\0" in value.get_secret_value():
            raise ValueError("Null characters are not allowed.")
        return value

    def server(self) -> Server:
        """Return what the client needs to know."""
        password = self.password.get_secret_value() if self.password else None
        return Server(self.host, self.port, self.security, self.username, password, self.timeout)


@dataclass(slots=True)
class _Pool:
    """The connections of one credential: those at rest, with the moment they came to rest, and how many are busy."""

    idle: list[tuple[Connection, float]] = field(default_factory=list)
    busy: int = 0
    #: Calls of ``send_many`` under way: while there are any, the pool is kept.
    users: int = 0


class SmtpProvider(Provider[SmtpCredential]):
    """Sends by SMTP over pooled, pipelined connections."""

    key: ClassVar[str] = "smtp"
    label: ClassVar[str] = "SMTP"
    channel: ClassVar[str] = "email"
    schema: ClassVar[type[CredentialSchema]] = SmtpCredential
    #: Connections of one credential at the same time.
    concurrency: ClassVar[int] = 8

    def __init__(self, *, network_policy: NetworkPolicy = PUBLIC_ONLY) -> None:
        super().__init__(network_policy=network_policy)
        self._pools: dict[bytes, _Pool] = {}
        self._contexts: dict[bool, ssl.SSLContext] = {}

    async def send(self, message: OutgoingMessage, credential: SmtpCredential) -> SendResult:
        """Send one message."""
        results: list[SendResult] = []
        await self.send_many([message], credential, lambda _, result: results.append(result))
        return results[0]

    async def send_many(
        self, messages: Sequence[OutgoingMessage], credential: SmtpCredential, on_result: OnResult
    ) -> None:
        """Send all messages over up to ``concurrency`` connections; see ``Provider.send_many``.

        The first connection is opened alone, so that a wrong password is tried once and not eight times. A message
        behind a slow one on the same connection waits for it; the others go around.
        """
        if not messages:
            return
        server = credential.server()
        run = Run(messages, lambda message: _delivery(message, credential), Answers(server), on_result)
        pool = self._pools.setdefault(_pool_key(credential), _Pool())
        pool.users += 1
        try:
            await self._send_over(pool, credential, run)
        finally:
            pool.users -= 1
        while left := run.take():
            run.settle(left.message, run.failure)
        if run.callback_error:
            raise run.callback_error

    async def _send_over(self, pool: _Pool, credential: SmtpCredential, run: Run) -> None:
        if not run.has_more() or not (first := await self._acquire(pool, credential, run)):
            return
        connecting: set[asyncio.Task[None]] = set()
        extra: list[asyncio.Task[None]] = []
        try:
            extra = [
                asyncio.create_task(self._lane(pool, credential, run, None, connecting))
                for _ in range(min(self.concurrency - pool.busy, run.unsettled - 1))
            ]
            connecting.update(extra)
            run.connections += len(extra)
            await self._lane(pool, credential, run, first, connecting)
            if not run.has_more():  # nothing left for those that are not connected yet
                for task in connecting:
                    task.cancel()
            await asyncio.gather(*extra, return_exceptions=True)
        finally:
            for task in extra:
                task.cancel()

    async def _lane(
        self,
        pool: _Pool,
        credential: SmtpCredential,
        run: Run,
        connection: Connection | None,
        connecting: set[asyncio.Task[None]],
    ) -> None:
        """Send over one connection after another until the run is empty or the server is not to be had."""
        barren = 0
        while barren < BARREN_CONNECTIONS and run.has_more():
            connection = connection or await self._acquire(pool, credential, run)
            if not connection:
                return
            if task := asyncio.current_task():
                connecting.discard(task)
            healthy, before, fresh = False, connection.answered, not connection.reused
            try:
                await _stream(connection, run).run()
                healthy = True
            except Exception as error:
                run.failure = run.answers.broken(error)
                barren = barren + 1 if fresh and connection.answered == before else 0
            finally:
                if not healthy:
                    connection.abort()
                self._release(pool, connection)
                connection = None

    async def _acquire(self, pool: _Pool, credential: SmtpCredential, run: Run) -> Connection | None:
        """Return a connection from the pool or a new one; None, with the reason in ``run.failure``, if none opens."""
        pool.busy += 1
        opened = False
        try:
            connection = await self._idle_connection(pool) or await self._open(credential)
            opened = True
            return connection
        except Exception as error:
            run.failure = run.answers.broken(error)
            return None
        finally:
            pool.busy -= not opened

    async def _idle_connection(self, pool: _Pool) -> Connection | None:
        self._close_idle()
        if pool.idle:
            for _ in range(3):  # let the event loop deliver what happened while the connection was at rest
                await asyncio.sleep(0)
        while pool.idle:
            connection, _ = pool.idle.pop()
            if connection.usable:
                connection.reused = True
                return connection
            connection.abort()
        return None

    def _release(self, pool: _Pool, connection: Connection) -> None:
        pool.busy -= 1
        if not connection.usable:
            connection.abort()
        elif connection.answered >= MESSAGES_PER_CONNECTION:
            connection.quit()
        else:
            pool.idle.append((connection, time.monotonic()))
        self._close_idle()

    def _close_idle(self, older_than: float | None = None) -> None:
        """Close connections that have been at rest for so many seconds (``IDLE_SECONDS``), of all credentials."""
        limit = time.monotonic() - (IDLE_SECONDS if older_than is None else older_than)
        for key, pool in list(self._pools.items()):
            for connection, since in pool.idle:
                if since <= limit:
                    connection.quit()
            pool.idle = [(connection, since) for connection, since in pool.idle if since > limit]
            if not pool.idle and not pool.users:
                del self._pools[key]

    async def _open(self, credential: SmtpCredential, progress: Progress | None = None) -> Connection:
        context = None if credential.security == "none" else self._context(credential.verify_certificate)
        return await open_connection(credential.server(), self.network_policy, context, progress)

    def _context(self, verify: bool) -> ssl.SSLContext:
        if verify not in self._contexts:
            context = ssl.create_default_context()
            if not verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._contexts[verify] = context
        return self._contexts[verify]

    async def check(self, credential: SmtpCredential) -> CheckResult:
        """Connect, encrypt, log in and say NOOP; each step is reported with the server's own words."""
        started = time.monotonic()
        answers, progress = Answers(credential.server()), Progress()
        failure: SendResult | None = None
        connection: Connection | None = None
        try:
            connection = await self._open(credential, progress)
            progress.current = "noop"
            reply = await connection.command(b"NOOP")
            if reply.code != 250:
                raise Refused("noop", reply)
            progress.finish(reply.text)
            connection.quit()
        except Exception as error:
            failure = answers.broken(error)
        finally:
            if connection and failure:
                connection.abort()
        steps = [CheckStep(name, True, answers.words(detail)) for name, detail in progress.done]
        if failure:
            words = f"{failure.code} {failure.response}".strip()
            steps.append(CheckStep(progress.current, False, words))
        return CheckResult(
            ok=failure is None,
            detail=steps[-1].detail
            if failure
            else "The server answered, and the log-in works."
            if credential.username
            else "The server answered; no log-in is set.",
            reason=failure.reason if failure else None,
            steps=tuple(steps),
            duration_ms=round((time.monotonic() - started) * 1000),
        )

    async def aclose(self) -> None:
        """Say goodbye on every idle connection."""
        self._close_idle(older_than=0)


def _pool_key(credential: SmtpCredential) -> bytes:
    return hashlib.sha256(json.dumps(credential.reveal(), sort_keys=True).encode()).digest()


def _stream(connection: Connection, run: Run) -> Stream | ChunkStream:
    chunked = run.chunking and {"CHUNKING", "PIPELINING"} <= connection.extensions.keys()
    return ChunkStream(connection, run) if chunked else Stream(connection, run)


def _delivery(message: OutgoingMessage, credential: SmtpCredential) -> Delivery:
    """Build the message. Raises ``ValueError`` for content or an address that can not be sent."""
    content = message.content
    data = build_email(
        message_id=message.id,
        from_email=credential.from_email,
        from_name=content.get("from_name") or credential.from_name,
        to=message.recipient,
        reply_to=content.get("reply_to") or credential.reply_to,
        subject=content.get("subject") or "",
        text=content.get("text"),
        html=content.get("html") or None,
        cc=content.get("cc") or (),
        headers=content.get("headers"),
    )
    return Delivery(message, wire_address(credential.from_email), wire_address(message.recipient), whole_lines(data))
