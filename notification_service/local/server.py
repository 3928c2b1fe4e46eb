"""What the embedded servers have in common: prepare, start, ask whether it answers, stop."""

from __future__ import annotations

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Self

from notification_service.local.ports import require_free
from notification_service.local.processes import RunAs, start_process, stop_process


class ServerFailed(RuntimeError):
    """A server could not be prepared or does not answer; the message says what it said last."""


class EmbeddedServer(ABC):
    """A server from a wheel that keeps all it has in ``directory`` and listens on 127.0.0.1:``port`` alone."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    death_signal: ClassVar[signal.Signals] = signal.SIGTERM
    run_as: RunAs | None = None

    def __init__(self, directory: Path, port: int, *, durable: bool = True) -> None:
        self.directory = directory.absolute()
        self.port = port
        self.durable = durable

    @abstractmethod
    def prepare(self) -> None:
        """Make the server ready to start (idempotent; call it before each start). Raises ``ServerFailed``."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line; it stays in the foreground and holds no secret."""

    @abstractmethod
    def ready(self) -> bool:
        """Return whether the server answers a client now (waits two seconds at most)."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL for clients, with its password."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment that the server runs in."""
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}

    @property
    def log_path(self) -> Path:
        """Where ``running()`` writes what the server prints."""
        return self.directory / f"{self.name}.log"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.directory)!r}, {self.port})"

    @contextmanager
    def running(self, *, owner: Path | None = None, timeout: float = 30.0) -> Iterator[Self]:
        """Run the server until the block ends, or this process does.

        Raises ``PortTaken``, or ``ServerFailed`` if it does not answer within ``timeout`` seconds.
        """
        require_free(self.port)
        self.prepare()
        with self.log_path.open("ab") as log:
            process = start_process(
                self.command(),
                owner=owner or self.directory,
                environment=self.environment,
                directory=Path("/"),
                run_as=self.run_as,
                output=log,
                death_signal=self.death_signal,
            )
        try:
            deadline = time.monotonic() + timeout
            while not self.ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ServerFailed(f"{self.name} did not start; it said last: {self._last_words()}")
                time.sleep(0.02)
            yield self
        finally:
            stop_process(process, stop_signal=self.stop_signal, timeout=15)

    def _last_words(self) -> str:
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        return " | ".join(lines[-5:]) or "nothing"
