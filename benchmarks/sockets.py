"""W1 and W2: what a message to one person's socket costs the server, and what a socket costs that gets none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

import msgpack  # type: ignore[import-untyped]
import psutil  # type: ignore[import-untyped]
import redis.asyncio

from benchmarks import service
from benchmarks.results import Result, median
from benchmarks.scene import Scene
from benchmarks.socket_clients import close_all, connect_all, wait_for
from benchmarks.stage import Program
from notification_service.lib.scope import tenant_scope
from notification_service.local.ports import free_ports
from notifications.inbox import streams
from notifications.inbox.socket.threads import in_thread
from notifications.inbox.streams import NewMessage
from tenants.models import Membership, Role, Tenant, User
from tenants.tokens import issue_access_token

MESSAGES_TARGET, IDLE_TARGET = ">= 5x CPU per message", "<= 0.5x memory"
_LEAST, _MOST = 5.0, 0.5
#: By scale: sockets and messages of W1 (a message each in turn), sockets of W2.
_SOCKETS = {"tiny": 20, "quick": 100, "full": 1_000}
_MESSAGES = {"tiny": 200, "quick": 1_500, "full": 20_000}
_IDLE = {"tiny": 40, "quick": 200, "full": 2_000}
#: Messages that one transaction writes: fewer than the engine writes under load, more than when it is idle.
_TOGETHER = 50
#: Messages that may be on their way at once.
_WINDOW = 2_000
_MARKER = b"Interview at ten"
_CONTENT = {"title": "Interview at ten", "body": "Room 4, second floor. Bring the folder.", "data": {"interview": 7}}


@dataclass(frozen=True, slots=True)
class _Side:
    """A server to connect to, the address of each person's socket, and the way to send a message each to some."""

    program: Program
    port: int
    paths: Sequence[str]
    send: Callable[[Sequence[int]], Awaitable[None]]
    greeting: bytes = b""


def run_messages(scene: Scene) -> Result:
    """Send messages to one person after the other, and compare the processor time of the two servers."""
    count, people = _MESSAGES[scene.scale.name], _SOCKETS[scene.scale.name]
    theirs, ours = _theirs(scene, people), _ours(scene, people)
    try:
        used: dict[str, list[float]] = {"ours": [], "baseline": []}
        rates: dict[str, list[float]] = {"ours": [], "baseline": []}
        for _ in range(scene.scale.rounds):
            for name, side in (("baseline", theirs), ("ours", ours)):
                side.program.wait()
                seconds, elapsed = asyncio.run(_messages(side, count))
                used[name].append(seconds / count * 1e6)
                rates[name].append(count / elapsed)
    finally:
        scene.release("web", "channels")
    mine, other = median(used["ours"]), median(used["baseline"])
    ratio = other / max(mine, 0.1)  # so few messages may take less than the clock can tell
    return Result(
        "W1",
        f"{mine:.0f} us a message, {median(rates['ours']):,.0f}/s offered",
        f"{other:.0f} us (group_send, {median(rates['baseline']):,.0f}/s)",
        ratio,
        MESSAGES_TARGET,
        ratio >= _LEAST,
        {"sockets": people, "messages": count, "microseconds": used, "rate": rates, "together": _TOGETHER},
    )


async def _messages(side: _Side, count: int) -> tuple[float, float]:
    listeners = await connect_all(side.port, side.paths, _MARKER, greeting=side.greeting)
    try:
        await asyncio.sleep(0.3)  # what follows a handshake is no part of this
        process = psutil.Process(side.program.process.pid)
        before, started = _cpu(process), time.monotonic()
        turns = iter(place % len(side.paths) for place in range(count))
        sent = 0
        while some := list(islice(turns, _TOGETHER)):
            await side.send(some)
            sent += len(some)
            if sent % (_WINDOW // 2) == 0:  # as fast as they are taken, and no faster
                await wait_for(listeners, sent - _WINDOW // 2, seconds=60)
        await wait_for(listeners, count, seconds=60)
        elapsed = max(one.latest for one in listeners) - started
        return _cpu(process) - before, elapsed
    finally:
        close_all(listeners)
        await asyncio.sleep(0.3)


def run_idle(scene: Scene) -> Result:
    """Open sockets that offer compression as browsers do, leave them alone, and compare the servers' memory."""
    count = _IDLE[scene.scale.name]
    found: dict[str, float] = {}
    scene.release("web", "channels")  # what they did before has left its traces in their memory
    for name, side in (("baseline", _theirs(scene, count)), ("ours", _ours(scene, count))):
        side.program.wait()
        found[name] = asyncio.run(_idle(side))
    ratio = found["ours"] / found["baseline"]
    return Result(
        "W2",
        f"{found['ours'] / 1024:.1f} KB a socket, {count:,} sockets",
        f"{found['baseline'] / 1024:.1f} KB (Channels consumer)",
        ratio,
        IDLE_TARGET,
        ratio <= _MOST,
        {"sockets": count, "bytes": found},
    )


async def _idle(side: _Side) -> float:
    warm = await connect_all(side.port, side.paths[:20], _MARKER, greeting=side.greeting, deflate=True)
    close_all(warm)
    await asyncio.sleep(0.5)
    process = psutil.Process(side.program.process.pid)
    before = process.memory_info().rss
    listeners = await connect_all(side.port, side.paths, _MARKER, greeting=side.greeting, deflate=True)
    await asyncio.sleep(1.0)
    after = process.memory_info().rss
    close_all(listeners)
    return max(1.0, float(after - before)) / len(listeners)


def _ours(scene: Scene, people: int) -> _Side:
    program, port = scene.keep_server("web", lambda: service.start_web(scene.stage))
    company = service.company(f"sockets-{time.monotonic_ns()}", {})
    tenant = Tenant.objects.get(id=company.id)
    nobody = "!"  # no password: nobody signs in with one
    users = User.objects.bulk_create(
        User(email=f"p{place}@{tenant.slug}.example", password=nobody) for place in range(people)
    )
    with tenant_scope(tenant.id):
        Membership.objects.bulk_create(Membership(tenant=tenant, user=user, role=Role.EMPLOYEE) for user in users)
    paths = [f"/ws/notifications/?token={issue_access_token(user, tenant, Role.EMPLOYEE)}" for user in users]
    ids = [str(user.id) for user in users]

    async def send(places: Sequence[int]) -> None:
        await in_thread(_append, tenant.id, [ids[place] for place in places])

    return _Side(program, port, paths, send, greeting=b'"hello"')


def _append(tenant_id: UUID, user_ids: Sequence[str]) -> None:
    with tenant_scope(tenant_id):
        streams.append([NewMessage(user_id, _CONTENT) for user_id in user_ids])


def _theirs(scene: Scene, people: int) -> _Side:
    program, port = scene.keep_server("channels", lambda: _start_theirs(scene))
    clients: dict[Any, redis.asyncio.Redis] = {}

    async def send(places: Sequence[int]) -> None:
        # What group_send does, one PUBLISH a message, without loading a second set of settings into this process.
        loop = asyncio.get_running_loop()
        if loop not in clients:
            clients[loop] = redis.asyncio.Redis.from_url(scene.baseline_environment["REDIS_URL"])
        for place in places:
            event = {"type": "notification", "data": {"type": "notification", "unread": 1, **_CONTENT}}
            await clients[loop].publish(f"asgi__group__user_{place}", msgpack.packb(event))

    return _Side(program, port, [f"/ws/notifications/?user={place}" for place in range(people)], send)


def _start_theirs(scene: Scene) -> tuple[Program, int]:
    (port,) = free_ports(1)
    return scene.stage.start(
        "channels",
        *("-m", "uvicorn", "benchmarks.baselines.asgi:application", "--host=127.0.0.1", f"--port={port}"),
        "--log-level=warning",
        environment=scene.baseline_environment,
        ready=lambda: service.answers(f"http://127.0.0.1:{port}/"),
    ), port


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
