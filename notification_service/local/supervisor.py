"""A supervisor of child processes: start in order, wait until they answer, restart what dies, stop in order.

It knows nothing of what it runs. One thread (the caller's) owns all processes and all state; other threads only put
requests into a queue. Call ``run()`` from the main thread: the kernel ends the children when that thread ends.
"""

from __future__ import annotations

import queue
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from notification_service.local.logs import LogSink
from notification_service.local.processes import RunAs, has_members, kill_process, start_process
from notification_service.local.server import ServerFailed

_TICK = 0.05
_FIRST_DELAY, _LONGEST_DELAY, _HEALTHY_AFTER = 0.5, 10.0, 30.0
_SLOW_START = 30.0


class State(StrEnum):
    """Where a service is in its life."""

    WAITING = "waiting"  # for what it needs, or for its next try
    STARTING = "starting"  # runs, does not answer yet
    READY = "ready"
    DONE = "done"  # ran to its end, as it should
    STOPPING = "stopping"
    STOPPED = "stopped"  # by request


class StartFailed(RuntimeError):
    """The services can not be brought up; the message is one line for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What to run. ``needs`` are the services that must have been ready once before this one starts.

    ``once``: it runs to its end, and a failure ends everything. ``ready`` must answer within about two seconds;
    ``settle`` is the number of seconds that the process must have lived for before it counts as ready. What a process
    that died leaves in its session has ``linger`` seconds to end by itself.
    """

    name: str
    command: Callable[[], Sequence[str]]
    environment: Mapping[str, str]
    directory: Path = Path("/")
    needs: tuple[str, ...] = ()
    once: bool = False
    prepare: Callable[[], None] = lambda: None
    ready: Callable[[], bool] = lambda: True
    settle: float = 0.0
    run_as: RunAs | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGTERM
    stop_timeout: float = 15.0
    linger: float = 0.0


@dataclass(slots=True)
class _Child:
    service: Service
    state: State = State.WAITING
    process: subprocess.Popen[bytes] | None = None
    was_ready: bool = False
    failures: int = 0  # in a row
    restarts: int = 0  # ever
    since: float = 0.0  # of the state
    not_before: float = 0.0
    kill_at: float = 0.0
    slow: bool = False
    #: Earlier processes in whose sessions something may still run, and when that is killed.
    left: dict[subprocess.Popen[bytes], float] = field(default_factory=dict)

    def enter(self, state: State) -> None:
        self.state, self.since = state, time.monotonic()


@dataclass(slots=True)
class Request:
    """A question from another thread; the answer comes through ``answer``."""

    verb: str  # status, stop, start, down
    name: str = ""
    answer: queue.Queue[dict[str, object]] = field(default_factory=lambda: queue.Queue(1))


def _answers(service: Service) -> bool:
    """Whether the probe says yes. It may ask something half dead: whatever it raises is a no."""
    try:
        return service.ready()
    except Exception:
        return False


class Supervisor:
    """Runs ``services`` (in an order in which each comes after what it needs) on behalf of ``owner``."""

    def __init__(
        self, services: Sequence[Service], *, owner: Path, log: LogSink, on_ready: Callable[[], None] = lambda: None
    ) -> None:
        self.requests: queue.Queue[Request] = queue.Queue()
        self._children = {service.name: _Child(service) for service in services}
        self._owner = owner
        self._log = log
        self._on_ready = on_ready
        self._announced = False
        self._stop_signals = 0

    # --- The loop -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run until SIGINT, SIGTERM, SIGHUP or a ``down`` request; then stop everything in order.

        A second signal kills what still runs. Raises ``StartFailed`` if a service can not start at all.
        """
        handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._on_signal) for number in handled}
        try:
            while not self._stop_signals:
                self._answer_requests()
                for child in self._children.values():
                    self._clear_away(child)
                    self._advance(child)
                self._announce()
                time.sleep(_TICK)
        finally:
            self._stop_all()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stop_signals += 1

    def _announce(self) -> None:
        if not self._announced and all(child.was_ready for child in self._children.values()):
            self._announced = True
            self._on_ready()

    # --- One service ----------------------------------------------------------------------------------------------

    def _advance(self, child: _Child) -> None:
        if self._stop_signals:
            return
        now = time.monotonic()
        if child.state is State.WAITING:
            needed = (self._children[name] for name in child.service.needs)
            if now >= child.not_before and all(need.was_ready for need in needed):
                self._start(child)
        elif child.process is not None and (code := child.process.poll()) is not None:
            self._on_exit(child, code)
        elif child.state is State.STARTING and not child.service.once:
            self._probe(child, now)
        elif child.state is State.READY and child.failures and now - child.since > _HEALTHY_AFTER:
            child.failures = 0
        elif child.state is State.STOPPING and child.process is not None and now > child.kill_at:
            kill_process(child.process)

    def _start(self, child: _Child) -> None:
        service = child.service
        try:
            service.prepare()
            child.process = start_process(
                service.command(),
                owner=self._owner,
                environment=service.environment,
                directory=service.directory,
                run_as=service.run_as,
                output=subprocess.PIPE,
                death_signal=service.death_signal,
            )
        except (ServerFailed, OSError) as error:
            if not child.was_ready:
                raise StartFailed(f"{service.name}: {error}") from error
            self._retry_later(child, str(error))
            return
        if child.process.stdout is not None:
            self._log.follow(service.name, child.process.stdout)
        child.slow = False
        child.enter(State.STARTING)

    def _probe(self, child: _Child, now: float) -> None:
        if now - child.since < child.service.settle:
            return
        if _answers(child.service):
            child.was_ready = True
            self._say(child, f"ready after {now - child.since:.1f} s")
            child.enter(State.READY)
        elif not child.slow and now - child.since > _SLOW_START:
            child.slow = True
            self._say(
                child, f"does not answer after {_SLOW_START:.0f} s; its log: {self._log.path(child.service.name)}"
            )

    def _on_exit(self, child: _Child, code: int) -> None:
        if child.process is not None:  # what it left in its session: pool processes of a killed worker
            child.left[child.process] = time.monotonic() + child.service.linger
        child.process = None
        if child.state is State.STOPPING:
            child.enter(State.STOPPED)
            self._say(child, "stopped")
        elif child.service.once and code == 0:
            child.was_ready = True
            child.enter(State.DONE)
        elif child.service.once:
            path = self._log.path(child.service.name)
            raise StartFailed(f"{child.service.name} failed ({_how(code)}); its log: {path}")
        else:
            self._retry_later(child, _how(code))

    def _clear_away(self, child: _Child) -> None:
        """Kill what dead processes have left behind and had its time."""
        for process, until in list(child.left.items()):
            if time.monotonic() >= until:
                kill_process(process)
            if not has_members(process):
                del child.left[process]

    def _retry_later(self, child: _Child, why: str) -> None:
        delay = min(_FIRST_DELAY * 2**child.failures, _LONGEST_DELAY)
        child.failures += 1
        child.restarts += 1
        child.not_before = time.monotonic() + delay
        child.enter(State.WAITING)
        self._say(child, f"{why}; starts again in {delay:g} s")

    def _say(self, child: _Child, text: str) -> None:
        self._log.line(child.service.name, f"[supervisor] {text}")

    # --- Requests -------------------------------------------------------------------------------------------------

    def _answer_requests(self) -> None:
        with suppress(queue.Empty):
            while True:
                request = self.requests.get_nowait()
                request.answer.put(self._answer(request))

    def _answer(self, request: Request) -> dict[str, object]:
        if request.verb == "status":
            return {"services": [self._describe(child) for child in self._children.values()]}
        if request.verb == "down":
            self._stop_signals += 1
            return {}
        child = self._children.get(request.name)
        if child is None or child.service.once:
            known = ", ".join(name for name, one in self._children.items() if not one.service.once)
            return {"error": f"no service {request.name!r}; there are: {known}"}
        if request.verb == "stop":
            self._request_stop(child)
        elif request.verb == "start":
            if child.state is State.STOPPING:
                return {"error": f"{request.name} is stopping; try again in a moment"}
            if child.process is None:
                child.failures, child.not_before = 0, 0.0
                child.enter(State.WAITING)
        else:
            return {"error": f"unknown request {request.verb!r}"}
        return {}

    def _request_stop(self, child: _Child) -> None:
        if child.process is None:
            child.enter(State.STOPPED)
        elif child.state is not State.STOPPING:
            self._signal_stop(child)

    def _describe(self, child: _Child) -> dict[str, object]:
        return {
            "name": child.service.name,
            "state": child.state.value,
            "pid": child.process.pid if child.process else None,
            "restarts": child.restarts,
            "seconds": round(time.monotonic() - child.since, 1),
        }

    # --- The end --------------------------------------------------------------------------------------------------

    def _signal_stop(self, child: _Child) -> None:
        assert child.process is not None  # noqa: S101 - for the type checker
        with suppress(ProcessLookupError):
            child.process.send_signal(child.service.stop_signal)
        child.kill_at = time.monotonic() + child.service.stop_timeout
        child.enter(State.STOPPING)

    def _stop_all(self) -> None:
        """Stop what nobody running needs, wait, and so on down to the servers."""
        asked = self._stop_signals
        self._log.text("stopping (Ctrl-C again: kill)")
        while running := [child for child in self._children.values() if child.process is not None]:
            needed = {name for child in running for name in self._needs_of(child.service.name)}
            for child in running:
                if child.state is not State.STOPPING and child.service.name not in needed:
                    self._signal_stop(child)
                if child.process is None or child.state is not State.STOPPING:
                    continue
                if child.process.poll() is None and (self._stop_signals > asked or time.monotonic() > child.kill_at):
                    self._say(child, "killed")
                    kill_process(child.process)
                if child.process.poll() is not None:
                    kill_process(child.process)
                    child.process = None
                    child.enter(State.STOPPED)
            time.sleep(_TICK)
        for child in self._children.values():
            for process in child.left:
                kill_process(process)

    def _needs_of(self, name: str) -> set[str]:
        """What a service needs, directly and through others (a migration that has ended needs the database too)."""
        direct = set(self._children[name].service.needs)
        return direct.union(*(self._needs_of(need) for need in direct))


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
