"""A receiver as a tenant would run it: a real HTTP server that verifies with the reference library."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

from tests.running_service import wait_until


@dataclass
class Received:
    """One request: headers in lower case, the body as it came, and how many others were being answered."""

    path: str
    headers: dict[str, str]
    body: bytes
    beside: int


@dataclass
class Receiver:
    """Answers with ``status`` and ``headers``, after ``seconds``; hangs while ``hangs`` is set. Its port stays.

    What is about somebody in ``refuses`` gets a 500 whatever ``status`` says.
    """

    port: int = 0
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    hangs: bool = False
    seconds: float = 0.0
    refuses: set[str] = field(default_factory=set)
    busy: int = 0
    received: list[Received] = field(default_factory=list)

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def verified(self, secret: str) -> list[Any]:
        """Return the bodies; raises if one does not verify."""
        return [Webhook(secret).verify(each.body, each.headers) for each in self.received]

    def hears(self, count: int) -> None:
        """Wait until it has been called so often."""
        wait_until(lambda: len(self.received) >= count, 20)

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self.port or self._runner.addresses[0][1]

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        seconds = self.seconds
        self.received.append(Received(request.path, headers, body, self.busy))
        refused = any(f'"userId":"{each}"'.encode() in body for each in self.refuses)
        answer = web.Response(status=500 if refused else self.status, headers=self.headers, text=self.text)
        self.busy += 1
        try:
            await asyncio.sleep(seconds)
            while self.hangs:  # noqa: ASYNC110 - set from another thread
                await asyncio.sleep(0.02)
        finally:
            self.busy -= 1
        return answer
