"""The engine of one worker process: an event loop for its life, connections kept open, the database in threads.

Made after the fork and never before: an event loop and sockets do not survive one.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import structlog
import uvloop
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from notification_service.lib.ids import new_id
from notification_service.lib.scope import tenant_scope
from notification_service.lib.tokens import UNNAMED, Taken
from notifications.credentials import choice, circuit
from notifications.credentials.choice import UsableCredential
from notifications.credentials.services import open_provider, pause_credential
from notifications.providers.base import Provider
from notifications.records import hooks, journal, queue, wake
from notifications.records.chunks import Chunk, claim_chunk
from notifications.records.delivery import Delivery, Doors
from notifications.records.outcomes import Outcome, write_outcomes
from notifications.records.wake import Token

log = structlog.get_logger(__name__)

#: A drain gives its place to the next tenant after this long, in seconds.
TURN = 2.0
#: Outcomes are written after this many, or this long (seconds), whichever comes first: the window in which a crash
#: makes us send again what was sent.
FLUSH_ROWS, FLUSH_SECONDS = 250, 0.05
#: How often a process that drains looks for what dead ones of its machine have left, in seconds; well within a lease.
RECOVER_SECONDS = 1.0
#: Full chunks of one lane of one tenant that may be on their way at the same time, in one process.
_CHUNKS_UNDER_WAY = 2
#: Pause between tries while the database is away, and for how long we go on trying, both in seconds. It may be long:
#: nobody can take our leases meanwhile, and the sweeper gives us a moment when the database is back.
_PAUSE, _PATIENCE = 0.5, 600.0
_AWAY = (OperationalError, InterfaceError)

P = ParamSpec("P")
T = TypeVar("T")


class Engine:
    """Drains lanes. One per worker process; ``drain`` may be called from any thread.

    A drain claims chunk after chunk while earlier ones are still being sent, so that nobody waits behind a slow
    recipient; what is on its way is bounded for each lane of each tenant.
    """

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._database = ThreadPoolExecutor(max_workers=4, thread_name_prefix="engine-db")
        self._providers: dict[str, Provider[Any]] = {}
        self._under_way: dict[tuple[UUID, str], dict[asyncio.Task[None], int]] = defaultdict(dict)
        self._drains: set[asyncio.Task[Any]] = set()
        self._recovers_at = 0.0
        self._closing = False
        threading.Thread(target=self._loop.run_forever, name="engine", daemon=True).start()

    def drain(
        self, tenant_id: UUID, lane: str, *, slot: int = 0, taken: Taken = UNNAMED, patience: float | None = None
    ) -> int:
        """Claim and send what is due in a lane until nothing is, or the turn is over; return how many were claimed.

        Waits for what is being sent for ``patience`` seconds (None: until it is done), then leaves it to the engine.
        An engine that was closed claims nothing.
        """
        if self._closing:
            return 0
        token = Token(tenant_id, lane, slot, taken)
        return asyncio.run_coroutine_threadsafe(self._drain(token, patience), self._loop).result()

    def close(self, timeout: float = 8.0) -> None:
        """Begin nothing more, let what was begun end, give the rest back, close connections and stop the loop.

        Once is enough; the second call does nothing.
        """
        if self._closing:
            return
        self._closing = True
        asyncio.run_coroutine_threadsafe(self._close(timeout), self._loop).result(timeout=timeout + 10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._database.shutdown(wait=False, cancel_futures=True)

    async def _drain(self, mine: Token, patience: float | None) -> int:
        tenant_id, lane = mine.tenant_id, mine.lane
        if this := asyncio.current_task():
            self._drains.add(this)
            this.add_done_callback(self._drains.discard)
        if time.monotonic() >= self._recovers_at:
            self._recovers_at = time.monotonic() + RECOVER_SECONDS
            await self._in_thread(journal.recover)
        ends, claimed, released = time.monotonic() + TURN, 0, False
        under_way = self._under_way[tenant_id, lane]
        while not self._closing:
            if not released:
                await self._in_thread(wake.running, mine)
            while sum(under_way.values()) >= _CHUNKS_UNDER_WAY * settings.DRAIN_CHUNK:
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            token = new_id()
            chunk = await self._in_scope(
                tenant_id, claim_chunk, tenant_id, lane, token=token, limit=settings.DRAIN_CHUNK
            )
            claimed += chunk.taken
            if chunk.sendable:
                task = asyncio.ensure_future(self._deliver(tenant_id, chunk, token))
                under_way[task] = len(chunk.sendable)
                task.add_done_callback(partial(self._delivered, tenant_id, lane))
            is_full, is_late = chunk.taken == settings.DRAIN_CHUNK, time.monotonic() > ends
            if is_full and mine.slot + 1 < settings.TENANT_CONCURRENCY:
                await self._in_thread(wake.wake, tenant_id, lane, mine.slot + 1)
            if is_full and is_late:
                await self._in_thread(wake.requeue, mine)
                break
            if not is_full and (is_late or not chunk.taken):
                if released:
                    break
                # Whoever committed a row while our token was about relied on us: drop the token, then look again.
                await self._in_thread(wake.finished, mine)
                released = True
        else:
            if not released:
                await self._in_thread(wake.requeue, mine)
        if under_way:
            await asyncio.wait(under_way, timeout=patience)
        return claimed

    def _delivered(self, tenant_id: UUID, lane: str, task: asyncio.Task[None]) -> None:
        self._under_way[tenant_id, lane].pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            # Its leases run out, and another worker takes what was not written.
            log.error("delivery_failed", tenant_id=str(tenant_id), lane=lane, exc_info=task.exception())

    async def _deliver(self, tenant_id: UUID, chunk: Chunk, token: UUID) -> None:
        buffer: list[Outcome] = []
        wanted = asyncio.Event()
        taken = journal.Journal(tenant_id, token)

        def report(outcome: Outcome) -> None:
            taken.note(outcome)
            buffer.append(outcome)
            if len(buffer) >= FLUSH_ROWS:
                wanted.set()

        async def flush() -> None:
            while batch := buffer[:FLUSH_ROWS]:
                await self._write(tenant_id, batch)
                del buffer[: len(batch)]

        async def flush_often() -> None:
            while not sent:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(wanted.wait(), FLUSH_SECONDS)
                wanted.clear()
                await flush()

        sent = False
        writing = asyncio.ensure_future(flush_often())
        async with self._lease(tenant_id, token):
            try:
                await Delivery(self._doors(), report, chunk).deliver()
            finally:
                sent = True
                wanted.set()
                try:
                    await writing
                    await flush()
                finally:
                    taken.close(committed=not buffer)

    async def _write(self, tenant_id: UUID, batch: list[Outcome]) -> None:
        """Write a batch; try again while the database is away, or while a listener raises and our lease would hold."""
        began = time.monotonic()
        while True:
            try:
                return await self._in_scope(tenant_id, _record_outcomes, tenant_id, batch)
            except Exception as error:  # whoever listens runs in our transaction and may raise what it likes
                patience = _PATIENCE if isinstance(error, _AWAY) else settings.LEASE_SECONDS
                if time.monotonic() - began > patience:
                    raise
                log.warning("outcomes_not_written", count=len(batch), exc_info=True)
                await asyncio.sleep(_PAUSE)

    @contextlib.asynccontextmanager
    async def _lease(self, tenant_id: UUID, token: UUID) -> AsyncIterator[None]:
        """Keep the leases held under a token alive for as long as we are."""

        async def keep() -> None:
            pause = settings.LEASE_SECONDS / 3
            while True:
                await asyncio.sleep(pause)
                try:
                    await self._in_scope(tenant_id, queue.renew, tenant_id, token)
                    pause = settings.LEASE_SECONDS / 3
                except (DatabaseError, InterfaceError):
                    pause = min(_PAUSE, settings.LEASE_SECONDS / 3)

        keeper = asyncio.ensure_future(keep())
        try:
            yield
        finally:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper

    def _doors(self) -> Doors:
        async def pause(tenant_id: UUID, used: UsableCredential, because: str) -> None:
            if used.id is not None:
                await self._in_scope(
                    tenant_id, pause_credential, tenant_id, used.id, because=because, updated_at=used.updated_at
                )

        async def report_health(tenant_id: UUID, credential_id: UUID, good: int, bad: int) -> None:
            await self._in_thread(circuit.report, tenant_id, credential_id, good=good, bad=bad)

        async def let_through(tenant_id: UUID, credential: UsableCredential, wanted: int) -> int:
            if credential.rate_limit is None:
                return wanted
            return await self._in_thread(choice.let_through, tenant_id, credential, wanted)

        return Doors(self._provider, pause, report_health, let_through)

    def _provider(self, key: str) -> Provider[Any]:
        if key not in self._providers:
            self._providers[key] = open_provider(key)
            if self._closing:
                self._providers[key].stop()
        return self._providers[key]

    async def _in_scope(self, tenant_id: UUID, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def scoped() -> T:
            with tenant_scope(tenant_id):
                return work(*args, **kwargs)

        return await self._in_thread(scoped)

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def run() -> T:
            try:
                return work(*args, **kwargs)
            finally:
                connection.close()  # back to the pool

        return await asyncio.get_running_loop().run_in_executor(self._database, run)

    async def _close(self, timeout: float) -> None:
        for provider in self._providers.values():
            provider.stop()
        ends, lanes = time.monotonic() + timeout, set[tuple[UUID, str]]()
        while (left := ends - time.monotonic()) > 0:
            lanes.update(lane for lane, tasks in self._under_way.items() if tasks)
            if not (tasks := self._drains.union(*self._under_way.values())):
                break
            await asyncio.wait(tasks, timeout=left)
        for tenant_id, lane in lanes:  # others may go on with what was given back
            await self._in_thread(wake.requeue, Token(tenant_id, lane))
        await asyncio.gather(*(provider.aclose() for provider in self._providers.values()), return_exceptions=True)


def _record_outcomes(tenant_id: UUID, batch: list[Outcome]) -> None:
    counted = write_outcomes(tenant_id, batch)
    if counted:
        hooks.announce(counted)


_engine: Engine | None = None
_engine_lock = threading.Lock()


def engine() -> Engine:
    """Return this process's engine, made at first use."""
    global _engine
    with _engine_lock:
        if _engine is None:
            _engine = Engine()
        return _engine


def close_engine() -> None:
    """Close this process's engine, if it has one. The process ends: it gets no other."""
    with _engine_lock:
        if _engine is not None:
            _engine.close()
