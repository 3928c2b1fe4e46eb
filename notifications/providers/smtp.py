"""SMTP: a tenant's own mail server, or any mail service that speaks SMTP."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from notification_service.lib.net import PUBLIC_ONLY, NetworkPolicy
from notifications.providers.addresses import copies_of, wire_address
from notifications.providers.base import (
    CheckResult,
    CheckStep,
    CredentialSchema,
    OnResult,
    OutgoingMessage,
    Provider,
    SendResult,
)
from notifications.providers.http_client import HttpClient
from notifications.providers.mime import build_email
from notifications.providers.oauth_tokens import AccessTokens, ClientGrant, NoAccessToken
from notifications.providers.smtp_answers import Answers
from notifications.providers.smtp_chunks import ChunkStream
from notifications.providers.smtp_client import Connection, Progress, Refused, open_connection
from notifications.providers.smtp_credential import SmtpCredential
from notifications.providers.smtp_stream import MESSAGES_PER_CONNECTION, Delivery, Run, Stream, whole_lines

__all__ = ["SmtpCredential", "SmtpProvider"]

#: Seconds after which an idle connection is closed; most servers close theirs after 60 to 300.
IDLE_SECONDS = 60.0
#: Fresh connections that may break in a row without answering for a single message.
BARREN_CONNECTIONS = 2


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
        self._http = HttpClient(network_policy=network_policy)
        self._tokens = AccessTokens(self._http.request)

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
        run = Run(
            messages,
            lambda message: _delivery(message, credential),
            _answers(credential),
            on_result,
            is_stopped=lambda: self.stopped,
        )
        pool = self._pools.setdefault(_pool_key(credential), _Pool())
        pool.users += 1
        try:
            await self._send_over(pool, credential, run)
        finally:
            pool.users -= 1
        run.settle_rest()
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
            connection = await self._idle_connection(pool) or await self._open(credential, run.answers)
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

    async def _open(self, credential: SmtpCredential, answers: Answers, progress: Progress | None = None) -> Connection:
        context = None if credential.security == "none" else self._context(credential.verify_certificate)
        grant = credential.grant()
        if grant is None:
            given = credential.access_token.get_secret_value() if credential.access_token else None
            return await open_connection(credential.server(given), self.network_policy, context, progress)
        token = await self._token(grant, answers)
        try:
            return await open_connection(credential.server(token), self.network_policy, context, progress)
        except Refused as error:
            if error.stage != "auth" or error.reply.code != 535 or not self._tokens.forget(grant, token):
                raise
        token = await self._token(grant, answers)  # the other was revoked before its time
        if progress:
            progress.restart()
        return await open_connection(credential.server(token), self.network_policy, context, progress)

    async def _token(self, grant: ClientGrant, answers: Answers) -> str:
        token = await self._tokens.get(grant)
        if isinstance(token, SendResult):
            raise NoAccessToken(token)
        answers.hide(token)
        return token

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
        answers, progress = _answers(credential), Progress()
        failure: SendResult | None = None
        connection: Connection | None = None
        try:
            connection = await self._open(credential, answers, progress)
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
        await self._tokens.aclose()
        await self._http.aclose()


def _pool_key(credential: SmtpCredential) -> bytes:
    return hashlib.sha256(json.dumps(credential.reveal(), sort_keys=True).encode()).digest()


def _answers(credential: SmtpCredential) -> Answers:
    answers = Answers(credential.server())
    answers.hide(*credential.secrets())
    return answers


def _stream(connection: Connection, run: Run) -> Stream | ChunkStream:
    chunked = run.chunking and {"CHUNKING", "PIPELINING"} <= connection.extensions.keys()
    return ChunkStream(connection, run) if chunked else Stream(connection, run)


def _delivery(message: OutgoingMessage, credential: SmtpCredential) -> Delivery:
    """Build the message. Raises ``ValueError`` for content or an address that can not be sent."""
    content = message.content
    cc, bcc = copies_of(content, message.recipient)
    data = build_email(
        message_id=message.id,
        from_email=credential.from_email,
        from_name=content.get("from_name") or credential.from_name,
        to=message.recipient,
        reply_to=content.get("reply_to") or credential.reply_to,
        subject=content.get("subject") or "",
        text=content.get("text"),
        html=content.get("html") or None,
        cc=cc,
        headers=content.get("headers"),
        attachments=content.get("attachments") or (),
    )
    copies = tuple(wire_address(address) for address in (*cc, *bcc))
    sender, recipient = wire_address(credential.from_email), wire_address(message.recipient)
    return Delivery(message, sender, recipient, whole_lines(data), copies)
