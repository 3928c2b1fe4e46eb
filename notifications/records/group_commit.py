"""Many requests, one transaction: what arrives while a write is under way is written together by the next one.

Each caller is answered after *its* commit. One connection per flusher, kept in the intake scope, which may insert rows
of every tenant and read none.
"""

from __future__ import annotations

import asyncio
import select
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
import psycopg
import structlog
from django.db import connections

from notifications.recipients.suppressions import category_of, suppression_key
from notifications.records.models import NotificationRecord
from notifications.records.wake import wake
from tenants.limits import admit_some, known_limits


class CommitUnknown(Exception):
    """The connection broke while the database was writing: the row may be there or not."""


log = structlog.get_logger(__name__)

_FLUSHERS = 2
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key with the answer that it will be given again; ``expires_at`` in RFC 3339."""

    id: UUID
    key: str
    request_hash: str
    answer: Any
    expires_at: str


@dataclass(slots=True)
class _Waiting:
    record: NotificationRecord
    key: Key | None
    done: asyncio.Future[bool] = field(repr=False)


_WRITE = """
WITH batch AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%s::jsonb) AS b(
        id uuid, tenant_id uuid, channel text, recipient text, content jsonb, context jsonb, metadata jsonb, lane text,
        mode text, status text, max_retries int, due_at timestamptz, scheduled_at timestamptz, expires_at timestamptz,
        created_by text, created_at timestamptz,
        key_id uuid, key text, request_hash text, answer jsonb, key_expires_at timestamptz, suppression_key text,
        user_id text, category text)
),
barred AS MATERIALIZED (
    SELECT b.id FROM batch AS b WHERE EXISTS (
        SELECT FROM suppression AS s
        WHERE s.tenant_id = b.tenant_id AND s.channel = b.channel AND s.address = b.suppression_key)
    UNION ALL
    SELECT b.id FROM batch AS b WHERE b.user_id <> '' AND (
        EXISTS (SELECT FROM preference AS p WHERE p.tenant_id = b.tenant_id AND p.user_id = b.user_id)
        OR EXISTS (
            SELECT FROM category AS c
            WHERE c.tenant_id = b.tenant_id AND c.key = b.category AND NOT c.default_on))
),
claimed AS (
    INSERT INTO idempotency_key (id, tenant_id, key, request_hash, status_code, response, created_at, expires_at)
    SELECT key_id, tenant_id, key, decode(request_hash, 'hex'), 201, answer, created_at, key_expires_at
    FROM batch WHERE key IS NOT NULL AND id NOT IN (SELECT id FROM barred)
    ON CONFLICT (tenant_id, key) DO NOTHING
    RETURNING id
),
written AS (
    INSERT INTO notification_record (
        id, tenant_id, channel, recipient, user_id, content, context, metadata, lane, mode, status, delivery_state,
        failure_reason, provider_response, provider, provider_message_id, retry_count, max_retries, attempt_count,
        lost_count, due_at, scheduled_at, expires_at, created_by, created_at, updated_at)
    SELECT id, tenant_id, channel, recipient, user_id, content, context, metadata, lane, mode, status, 'none',
        '', '', '', '', 0, max_retries, 0, 0, due_at, scheduled_at, expires_at, created_by, created_at, created_at
    FROM batch WHERE (key IS NULL OR key_id IN (SELECT id FROM claimed)) AND id NOT IN (SELECT id FROM barred)
)
SELECT id FROM batch WHERE key IS NOT NULL AND key_id NOT IN (SELECT id FROM claimed)
UNION SELECT id FROM barred
"""


class GroupCommit:
    """Writes records for callers on one event loop. Made on that loop; ``close`` ends it."""

    def __init__(self) -> None:
        self._queue: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._flushers = [asyncio.ensure_future(self._flush_forever()) for _ in range(_FLUSHERS)]

    async def write(self, record: NotificationRecord, key: Key | None = None) -> bool:
        """Write a checked record; True once it is committed.

        False if nothing was written, because the key has been used, the tenant's limit does not let it pass, the
        recipient's address is suppressed for something, or they may have chosen not to get it: the long way knows
        what to say. Raises ``psycopg.Error`` if nothing could be written, ``CommitUnknown`` if nobody can tell.
        """
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(record, key, done))
        self._arrived.set()
        return await done

    async def close(self) -> None:
        """Stop the flushers; callers who still wait are cancelled."""
        for flusher in self._flushers:
            flusher.cancel()
        await asyncio.gather(*self._flushers, return_exceptions=True)

    async def _flush_forever(self) -> None:
        connection: psycopg.AsyncConnection[Any] | None = None
        try:
            while True:
                await self._arrived.wait()
                batch, self._queue = self._queue[:_BATCH], self._queue[_BATCH:]
                if not self._queue:
                    self._arrived.clear()
                if not batch:
                    continue
                try:
                    if connection is not None and _has_ended(connection):
                        await connection.close()
                        connection = None
                    connection = connection or await _connect()
                    await self._flush(connection, batch)
                except (psycopg.Error, CommitUnknown) as error:
                    _answer_error(batch, error)
        finally:
            if connection is not None:
                await connection.close()

    async def _flush(self, connection: psycopg.AsyncConnection[Any], batch: list[_Waiting]) -> None:
        passing = _without_twins(await _admitted(batch))
        written: set[UUID] = set()
        if passing:
            rows = orjson.dumps([_row(waiting) for waiting in passing]).decode()
            try:
                cursor = await connection.execute(_WRITE, [rows])
            except psycopg.OperationalError as error:
                await connection.close()
                raise CommitUnknown from error
            refused = {row[0] for row in await cursor.fetchall()}
            written = {waiting.record.id for waiting in passing} - refused
        lanes: Counter[tuple[UUID, str]] = Counter()
        for waiting in batch:
            record = waiting.record
            if not waiting.done.done():  # else the caller hung up; the row stays: it was asked for
                waiting.done.set_result(record.id in written)
            if record.id in written and record.due_at <= record.created_at:
                lanes[record.tenant_id, str(record.lane)] += 1
        for (tenant_id, lane), count in lanes.items():
            log.info("accepted", tenant_id=str(tenant_id), lane=lane, count=count)
            asyncio.get_running_loop().run_in_executor(None, wake, tenant_id, lane)


async def _admitted(batch: list[_Waiting]) -> list[_Waiting]:
    """Return those whom their tenants' limits let pass: one trip to Redis for each tenant."""
    by_tenant: dict[tuple[UUID, str], list[_Waiting]] = defaultdict(list)
    for waiting in batch:
        by_tenant[waiting.record.tenant_id, waiting.record.mode].append(waiting)
    passing = []
    for (tenant_id, mode), group in by_tenant.items():
        limits = known_limits(tenant_id)
        if limits is not None:
            passing += group[: await admit_some(tenant_id, mode, len(group), limits)]
    return passing


def _without_twins(batch: list[_Waiting]) -> list[_Waiting]:
    """Return the first of those that share a key; the others find it taken when they go the long way."""
    seen: set[tuple[UUID, str]] = set()
    first = []
    for waiting in batch:
        if waiting.key is not None:
            use = (waiting.record.tenant_id, waiting.key.key)
            if use in seen:
                continue
            seen.add(use)
        first.append(waiting)
    return first


def _row(waiting: _Waiting) -> dict[str, Any]:
    record, key = waiting.record, waiting.key
    row: dict[str, Any] = {
        "id": record.id,
        "tenant_id": record.tenant_id,
        "channel": record.channel,
        "recipient": record.recipient,
        "content": record.content,
        "context": record.context,
        "metadata": record.metadata,
        "lane": str(record.lane),
        "mode": record.mode,
        "status": str(record.status),
        "max_retries": record.max_retries,
        "due_at": record.due_at,
        "scheduled_at": record.scheduled_at,
        "expires_at": record.expires_at,
        "created_by": record.created_by,
        "created_at": record.created_at,
        "suppression_key": suppression_key(record.channel, record.recipient),
        "user_id": record.user_id,
        "category": category_of(record.metadata),
    }
    if key is not None:
        row |= {
            "key_id": key.id,
            "key": key.key,
            "request_hash": key.request_hash,
            "answer": key.answer,
            "key_expires_at": key.expires_at,
        }
    return row


def _answer_error(batch: list[_Waiting], error: Exception) -> None:
    log.warning("batch_not_written", count=len(batch), error=type(error).__name__)
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(error)


def _has_ended(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether a connection at rest was closed, here or by a server that was restarted.

    Nothing comes unasked on it but the end (or a changed setting of the server). What is noticed only while a batch is
    being written leaves its callers in doubt.
    """
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


async def _connect() -> psycopg.AsyncConnection[Any]:
    settings = connections["default"].settings_dict
    connection = await psycopg.AsyncConnection.connect(
        host=settings["HOST"] or None,
        port=settings["PORT"] or None,
        user=settings["USER"] or None,
        password=settings["PASSWORD"] or None,
        dbname=settings["NAME"],
        connect_timeout=5,
        application_name="notification_service intake",
        autocommit=True,
        prepare_threshold=1,
    )
    # For the connection's life: it does nothing but intake.
    await connection.execute("SELECT set_config('app.scope', 'intake', false)")
    return connection
