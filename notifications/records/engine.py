"""The engine of one worker process: an event loop for its life, connections kept open, the database in threads.

Made after the fork and never before: an event loop and sockets do not survive one.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import structlog
import uvloop
from django.conf import settings
from django.db import DatabaseError, connection

from notification_service.lib.encryption import DecryptionError
from notification_service.lib.ids import new_id
from notification_service.lib.scope import tenant_scope
from notifications.credentials.services import UsableCredential, choose_credential, open_provider, pause_credential
from notifications.providers.base import Provider
from notifications.records import hooks, queue, wake
from notifications.records.delivery import Delivery
from notifications.records.outcomes import Outcome, write_outcomes
from notifications.records.queue import Claimed
from tenants.callers import Mode

log = structlog.get_logger(__name__)

#: A drain gives its place to the next tenant after this long, in seconds.
TURN = 2.0
#: Outcomes are written after this many, or this long (seconds), whichever comes first: the window in which a crash
#: makes us send again what was sent.
FLUSH_ROWS, FLUSH_SECONDS = 250, 0.05
_WRITE_PAUSE = 0.5

P = ParamSpec("P")
T = TypeVar("T")


class Engine:
    """Drains lanes. One per worker process; ``drain`` may be called from any thread."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._database = ThreadPoolExecutor(max_workers=4, thread_name_prefix="engine-db")
        self._providers: dict[str, Provider[Any]] = {}
        threading.Thread(target=self._loop.run_forever, name="engine", daemon=True).start()

    def drain(self, tenant_id: UUID, lane: str) -> int:
        """Send what is due in a lane until nothing is, or the turn is over; return how many records were handled."""
        return asyncio.run_coroutine_threadsafe(self._drain(tenant_id, lane), self._loop).result()

    def close(self) -> None:
        """Close connections and stop the loop."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._database.shutdown(wait=False, cancel_futures=True)

    async def _drain(self, tenant_id: UUID, lane: str) -> int:
        token, ends, handled, released = new_id(), time.monotonic() + TURN, 0, False
        upcoming: asyncio.Future[list[Claimed]] | None = None
        async with self._lease(tenant_id, lane, token) as release:
            while True:
                chunk = await (upcoming or self._claim(tenant_id, lane, token))
                upcoming = None
                if not chunk:
                    if released:
                        return handled
                    # Whoever committed a row while our token was about relied on us: drop the token, then look again.
                    await release()
                    released = True
                    continue
                full, late = len(chunk) == settings.DRAIN_CHUNK, time.monotonic() > ends
                if full and not late:  # the next chunk is claimed while this one is sent
                    upcoming = asyncio.ensure_future(self._claim(tenant_id, lane, token))
                await self._deliver(tenant_id, chunk)
                handled += len(chunk)
                if full and late:
                    await self._in_thread(wake.requeue, tenant_id, lane)
                    return handled

    async def _claim(self, tenant_id: UUID, lane: str, token: UUID) -> list[Claimed]:
        return await self._in_scope(tenant_id, queue.claim, tenant_id, lane, token=token, limit=settings.DRAIN_CHUNK)

    async def _deliver(self, tenant_id: UUID, chunk: list[Claimed]) -> None:
        buffer: list[Outcome] = []
        wanted = asyncio.Event()

        def report(outcome: Outcome) -> None:
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
        try:
            await Delivery(self._provider, self._choose, self._pause, report).deliver(chunk)
        finally:
            sent = True
            wanted.set()
            await writing
            await flush()

    async def _write(self, tenant_id: UUID, batch: list[Outcome]) -> None:
        """Write a batch; while the database is away or a listener raises, try for as long as our lease would hold."""
        gives_up = time.monotonic() + settings.LEASE_SECONDS
        while True:
            try:
                return await self._in_scope(tenant_id, _record_outcomes, tenant_id, batch)
            except Exception:  # whoever listens runs in our transaction and may raise what it likes
                if time.monotonic() > gives_up:
                    raise
                log.warning("outcomes_not_written", count=len(batch), exc_info=True)
                await asyncio.sleep(_WRITE_PAUSE)

    @contextlib.asynccontextmanager
    async def _lease(self, tenant_id: UUID, lane: str, token: UUID) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Keep the leases alive for as long as we are, and the drain token until what is yielded is called."""
        speaking, released = asyncio.Lock(), False

        async def release() -> None:
            nonlocal released
            async with speaking:
                released = True
                await self._in_thread(wake.finished, tenant_id, lane)

        async def keep() -> None:
            while True:
                async with speaking:
                    if not released:  # a token that is said to run after its end would keep new ones away
                        await self._in_thread(wake.running, tenant_id, lane)
                await asyncio.sleep(settings.LEASE_SECONDS / 10)
                with contextlib.suppress(DatabaseError):
                    await self._in_scope(tenant_id, queue.renew, tenant_id, token)

        keeper = asyncio.ensure_future(keep())
        try:
            yield release
        finally:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper

    def _provider(self, key: str) -> Provider[Any]:
        if key not in self._providers:
            self._providers[key] = open_provider(key)
        return self._providers[key]

    async def _choose(self, tenant_id: UUID, channel: str, mode: Mode) -> UsableCredential | None:
        # Asked for each chunk: what was corrected, disabled or deleted a moment ago counts at once, in every process.
        try:
            return await self._in_scope(tenant_id, choose_credential, tenant_id, channel, mode)
        except DecryptionError as error:  # records wait, like for a credential that was refused, and are not given up
            log.error("credential_does_not_decrypt", tenant_id=str(tenant_id), channel=channel, error=str(error))
            return None

    async def _pause(self, tenant_id: UUID, credential_id: UUID, because: str) -> None:
        await self._in_scope(tenant_id, pause_credential, tenant_id, credential_id, because=because)

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

    async def _close(self) -> None:
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
    """Close this process's engine, if it has one."""
    global _engine
    with _engine_lock:
        if _engine is not None:
            _engine.close()
            _engine = None
