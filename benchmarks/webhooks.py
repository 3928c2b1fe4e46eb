"""H1: how long a webhook takes from the commit of its event to its receiver while another receiver hangs.

A tenant has a hundred endpoints, and each hears of every event, on a schedule. First all answer at once; then one of
them takes what it gets and never answers; then all answer again. Counted are the others.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Final
from uuid import UUID

import orjson
import redis
from aiohttp import web
from django.conf import settings
from django.db import connection

from benchmarks import service
from benchmarks.results import Result, percentile
from benchmarks.scene import Scene
from benchmarks.service import Company
from benchmarks.stage import BenchmarkFailed
from notification_service.lib.scope import tenant_scope
from notifications.webhooks import services

TARGET: Final = "healthy p99 <= 1.2x"
_FIRST_TARGET: Final = 1.2
_ENDPOINTS: Final = {"tiny": 5, "quick": 100, "full": 100}
_SECONDS: Final = {"tiny": 1.0, "quick": 2.0, "full": 30.0}
#: Seconds between two events.
_EVERY: Final = 0.5
_PATIENCE: Final = 30.0


class _Receivers:
    """A server that is all receivers, by path. It notes when what arrived; ``hanging`` gets no answer."""

    def __init__(self) -> None:
        self.arrived: dict[tuple[int, int], float] = {}
        self.hanging: int | None = None
        self.held = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="receivers", daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_post("/{number}", self._answer)
        self._released = asyncio.Event()
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        self._released.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        now, number = time.monotonic(), int(request.match_info["number"])
        event = orjson.loads(await request.read())["data"]["n"]
        if number == self.hanging:
            self.held += 1
            await self._released.wait()
        self.arrived[number, event] = now
        return web.Response(status=204)


def run(scene: Scene) -> Result:
    """Measure without a fault, with one, and without again."""
    count, seconds = _ENDPOINTS[scene.scale.name], _SECONDS[scene.scale.name]
    who = service.company("hooked", {})
    receivers = _Receivers()
    workers = service.keep_workers(scene)
    try:
        with tenant_scope(who.id):
            made = [
                services.create_endpoint(who.caller, url=f"http://127.0.0.1:{receivers.port}/{number}").endpoint.id
                for number in range(count)
            ]
        for worker in workers:
            worker.wait()
        _delays(who, receivers, range(count), 2.0)  # warm
        healthy = range(1, count)
        calm = _delays(who, receivers, healthy, seconds)
        receivers.hanging = 0
        troubled = _delays(who, receivers, healthy, seconds)
        held, receivers.hanging = receivers.held, None
        calm += _delays(who, receivers, healthy, seconds)
    finally:
        service.release_workers(scene)  # they still write what became of the last deliveries
        receivers.stop()
        _clear()
    if not held:
        raise BenchmarkFailed("H1: nothing was sent to the receiver that hangs")
    ratio = percentile(troubled, 0.99) / percentile(calm, 0.99)
    details = {
        name: {
            "deliveries": len(delays),
            "p50_ms": round(percentile(delays, 0.5) * 1000, 1),
            "p99_ms": round(percentile(delays, 0.99) * 1000, 1),
        }
        for name, delays in {"no_fault": calm, "one_hangs": troubled}.items()
    }
    return Result(
        "H1",
        f"p99 {percentile(troubled, 0.99) * 1000:.0f} ms while 1 of {len(made)} hangs",
        f"no fault p99 {percentile(calm, 0.99) * 1000:.0f} ms",
        ratio,
        TARGET,
        ratio <= _FIRST_TARGET,
        {"endpoints": count, "events_every_s": _EVERY, "held": held, **details},
    )


def _delays(who: Company, receivers: _Receivers, healthy: range, seconds: float) -> list[float]:
    """Tell of events on a schedule; return the seconds from each commit to each arrival at the receivers that count."""
    receivers.arrived.clear()
    told: dict[int, float] = {}
    begun = time.monotonic()
    for number in range(max(int(seconds / _EVERY), 1)):
        time.sleep(max(0.0, begun + number * _EVERY - time.monotonic()))
        _tell(who.id, number)
        told[number] = time.monotonic()
    expected = [(endpoint, number) for endpoint in healthy for number in told]
    deadline = time.monotonic() + _PATIENCE
    while missing := [each for each in expected if each not in receivers.arrived]:
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"H1: {len(missing)} of {len(expected)} webhooks did not arrive")
        time.sleep(0.02)
    # A worker may be quicker than the return from our own commit.
    return [max(receivers.arrived[each] - told[each[1]], 0.0) for each in expected]


def _tell(tenant_id: UUID, number: int) -> None:
    with tenant_scope(tenant_id):
        services.publish("campaign.completed", {"campaignId": "benchmark", "n": number}, key=str(number))


def _clear() -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE webhook_delivery, webhook_endpoint")
    client = redis.Redis.from_url(settings.REDIS_URL)
    for key in client.scan_iter("webhook:*:token"):
        client.delete(key)
    client.close()
