"""The dispatcher of one worker process: one event loop that calls receivers, the database in threads.

Each endpoint is served by itself, with its own bounded number of calls under way: one that hangs fills its own places
and nobody else's. Made after the fork, like the engine.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from notification_service.lib.scope import tenant_scope
from notifications.webhooks.client import WebhookClient
from notifications.webhooks.queue import Call, Called, turn
from notifications.webhooks.signing import sign, sign_body

log = structlog.get_logger(__name__)

#: Names are resolved in threads: enough of them that slow name servers of some do not hold the others up.
_RESOLVERS: Final = 64
#: Pause after the database was away, in seconds; what is not written within the lease is sent again.
_PAUSE: Final = 0.5
USER_AGENT: Final = "notification-service-webhooks/1"

P = ParamSpec("P")
T = TypeVar("T")


class Dispatcher:
    """Makes deliveries. One per worker process; ``serve`` may be called from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="webhooks-dns"))
        self._database = ThreadPoolExecutor(max_workers=2, thread_name_prefix="webhooks-db")
        self._client = WebhookClient()
        self._news: dict[UUID, asyncio.Event] = {}
        self._served: dict[UUID, asyncio.Task[None]] = {}
        threading.Thread(target=self._loop.run_forever, name="webhooks", daemon=True).start()

    def serve(self, tenant_id: UUID, endpoint_id: UUID, *, wait: float | None = 0) -> None:
        """Make an endpoint's due deliveries; return at once, or after up to ``wait`` seconds (None: when all is done).

        What is under way goes on when this has returned.
        """
        asyncio.run_coroutine_threadsafe(self._serve(tenant_id, endpoint_id, wait), self._loop).result()

    def close(self, timeout: float = 5.0) -> None:
        """Let calls under way end, close connections and stop the loop."""
        asyncio.run_coroutine_threadsafe(self._close(timeout), self._loop).result(timeout=timeout + 5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._database.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, tenant_id: UUID, endpoint_id: UUID, wait: float | None) -> None:
        if endpoint_id in self._served:
            self._news[endpoint_id].set()
        else:
            self._news[endpoint_id] = asyncio.Event()
            task = self._served[endpoint_id] = asyncio.ensure_future(self._turns(tenant_id, endpoint_id))
            task.add_done_callback(lambda done: self._done(endpoint_id, done))
        if wait is None or wait > 0:
            await asyncio.wait([self._served[endpoint_id]], timeout=wait)

    def _done(self, endpoint_id: UUID, task: asyncio.Task[None]) -> None:
        del self._served[endpoint_id], self._news[endpoint_id]
        if not task.cancelled() and task.exception() is not None:
            log.error("webhooks_failed", endpoint_id=str(endpoint_id), exc_info=task.exception())

    async def _turns(self, tenant_id: UUID, endpoint_id: UUID) -> None:
        """Claim and call, until nothing is due and nothing is under way."""
        under_way: set[asyncio.Task[Called]] = set()
        news = self._news[endpoint_id]
        called: list[Called] = []
        while True:
            news.clear()
            free = settings.WEBHOOK_CONCURRENCY - len(under_way)
            try:
                calls = await self._in_scope(tenant_id, turn, endpoint_id, called, free)
            except (DatabaseError, InterfaceError):
                if not called and not under_way:
                    raise
                log.warning("webhooks_not_written", count=len(called), exc_info=True)
                await asyncio.sleep(_PAUSE)
                continue
            called = []
            under_way |= {asyncio.ensure_future(self._call(call)) for call in calls}
            if under_way:
                heard = asyncio.ensure_future(news.wait())
                done, _ = await asyncio.wait({*under_way, heard}, return_when=asyncio.FIRST_COMPLETED)
                heard.cancel()
                finished = under_way & done
                under_way -= finished
                called = [task.result() for task in finished]
            elif not news.is_set():
                return

    async def _call(self, call: Call) -> Called:
        at, body = timezone.now(), call.body.encode()
        timestamp = int(at.timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "webhook-id": call.webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(call.keys, call.webhook_id, timestamp, body),
        }
        if call.legacy_header:
            headers[call.legacy_header] = sign_body(call.keys[0], body)
        return Called(call, at, await self._client.post(call.url, body, headers))

    async def _in_scope(self, tenant_id: UUID, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def scoped() -> T:
            try:
                with tenant_scope(tenant_id):
                    return work(*args, **kwargs)
            finally:
                connection.close()  # back to the pool

        return await asyncio.get_running_loop().run_in_executor(self._database, scoped)

    async def _close(self, timeout: float) -> None:
        if self._served:
            await asyncio.wait(self._served.values(), timeout=timeout)
        for task in self._served.values():
            task.cancel()
        await self._client.aclose()


_dispatcher: Dispatcher | None = None
_lock = threading.Lock()


def dispatcher() -> Dispatcher:
    """Return this process's dispatcher, made at first use."""
    global _dispatcher
    with _lock:
        if _dispatcher is None:
            _dispatcher = Dispatcher()
        return _dispatcher


def close_dispatcher() -> None:
    """Close this process's dispatcher, if it has one."""
    global _dispatcher
    with _lock:
        if _dispatcher is not None:
            _dispatcher.close()
            _dispatcher = None
