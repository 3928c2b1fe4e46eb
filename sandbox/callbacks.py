"""Calls from pretend vendors to whoever uses them: status callbacks and event webhooks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import aiohttp
from aiohttp import web

CONCURRENCY = 32
TIMEOUT = 10.0  # seconds, for one call

log = logging.getLogger("sandbox.callbacks")


class Callbacks:
    """Runs calls in the background. Belongs to one event loop; what is still to be called at its end is forgotten."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._free = asyncio.Semaphore(CONCURRENCY)

    def start(self, calls: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine that waits and calls ``post``, in the background."""
        task = asyncio.create_task(calls())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def post(self, url: str, body: bytes, headers: dict[str, str], *, attempts: int = 1) -> bool:
        """Post to an address, again after 1, 2, … seconds if it fails; return whether it was taken (2xx)."""
        for attempt in range(attempts):
            if attempt:
                await asyncio.sleep(attempt)
            try:
                async with self._free, self._open().post(url, data=body, headers=headers) as answer:
                    if answer.ok:
                        return True
                    problem = f"status {answer.status}"
            except (aiohttp.ClientError, OSError, ValueError) as error:
                problem = type(error).__name__
            log.warning("a callback was not taken: %s", problem)
        return False

    async def close(self) -> None:
        """Stop all calls and close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT))
        return self._session


CALLBACKS = web.AppKey("callbacks", Callbacks)


async def run_callbacks(app: web.Application) -> AsyncIterator[None]:
    """Provide ``app[CALLBACKS]`` while the application runs."""
    app[CALLBACKS] = Callbacks()
    yield
    with contextlib.suppress(asyncio.CancelledError):
        await app[CALLBACKS].close()
