"""Ask a sink what arrived."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from typing import Any, NamedTuple


class Stats(NamedTuple):
    """Messages taken, how many different ones, and how many were refused on purpose."""

    messages: int
    distinct: int
    refused: int

    @property
    def duplicates(self) -> int:
        """How many messages came again."""
        return self.messages - self.distinct


class SinkClient:
    """A sink on ``port``, asked on ``control_port``."""

    def __init__(self, port: int, control_port: int) -> None:
        self.port = port
        self._control_port = control_port
        self._socket: socket.socket | None = None
        self._file: Any = None

    def ready(self) -> bool:
        """Whether the sink answers."""
        try:
            self.stats()
        except OSError:
            self.close()
            return False
        return True

    def stats(self) -> Stats:
        """Return what arrived since the last reset."""
        return Stats(**self._ask({"do": "stats"}))

    def reset(self) -> None:
        """Forget what arrived."""
        self._ask({"do": "reset"})

    def fault(self, kind: str = "none", *, share: float = 1.0, delay: float = 0.0, drop: bool = False) -> None:
        """Misbehave from now on for a ``share`` of the messages, and answer each after ``delay`` seconds.

        ``drop`` also breaks every open connection now.
        """
        self._ask({"do": "fault", "kind": kind, "share": share, "delay": delay, "drop": drop})

    def times(self, ids: Sequence[str]) -> dict[str, float | None]:
        """Return when each message arrived first (monotonic seconds), None for those that did not."""
        return dict(self._ask({"do": "times", "ids": list(ids)})["times"])

    def ids(self) -> set[str]:
        """Return the ids of all messages that arrived."""
        return set(self._ask({"do": "ids"})["ids"])

    def wait(self, distinct: int, *, seconds: float) -> Stats:
        """Wait until so many different messages arrived, or the time is over; return what did."""
        deadline = time.monotonic() + seconds
        while (stats := self.stats()).distinct < distinct and time.monotonic() < deadline:
            time.sleep(0.01)
        return stats

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._file.close()
            self._socket.close()
            self._socket = None

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._control_port), timeout=10)
            self._file = self._socket.makefile("rb")
        self._socket.sendall(json.dumps(question).encode() + b"\n")
        line = self._file.readline()
        if not line:
            raise ConnectionError("the sink hung up")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer
