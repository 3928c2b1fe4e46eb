"""What a sink knows: how many messages arrived, which, when; and the port on which it is asked.

Questions and answers are JSON, one a line: ``{"do": "stats"}``, ``reset``, ``fault``, ``drop``, ``times``, ``ids``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import uvloop

#: What can be done to a message instead of taking it. ``drop`` takes it and breaks the connection unanswered.
FAULTS = ("none", "4xx", "5xx", "hang", "drop")


@dataclass(slots=True)
class Ledger:
    """Counts messages by id. ``messages`` - ``distinct`` is how many came more than once."""

    messages: int = 0
    refused: int = 0
    seen: dict[bytes, float] = field(default_factory=dict)
    fault: str = "none"
    share: float = 1.0
    delay: float = 0.0
    transports: set[asyncio.Transport] = field(default_factory=set)

    def what_to_do(self) -> str:
        """Return the fault that meets the next message."""
        if self.fault == "none" or (self.share < 1.0 and random.random() >= self.share):  # noqa: S311 - no secret
            return "none"
        return self.fault

    def take(self, message_id: bytes) -> None:
        """Count one message that is taken; the moment of its first arrival is kept (monotonic seconds)."""
        self.messages += 1
        if message_id not in self.seen:
            self.seen[message_id] = time.monotonic()

    def drop_connections(self) -> None:
        """Break every open connection."""
        for transport in list(self.transports):
            transport.abort()

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Answer one question of the control port. Raises ``ValueError`` for an unknown one."""
        match question.get("do"):
            case "stats":
                return {"messages": self.messages, "distinct": len(self.seen), "refused": self.refused}
            case "reset":
                self.messages = self.refused = 0
                self.seen = {}
            case "fault":
                kind = question.get("kind", "none")
                if kind not in FAULTS:
                    raise ValueError(f"kind: unknown fault {kind!r}; known: {', '.join(FAULTS)}")
                self.fault, self.share = kind, float(question.get("share", 1.0))
                self.delay = float(question.get("delay", 0.0))
                if question.get("drop", False):
                    self.drop_connections()
            case "times":
                return {"times": {name: self.seen.get(name.encode()) for name in question["ids"]}}
            case "ids":
                return {"ids": [name.decode() for name in self.seen]}
            case unknown:
                raise ValueError(f"do: unknown question {unknown!r}")
        return {}


async def _control(ledger: Ledger, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await reader.readline():
            try:
                answer = ledger.answer(json.loads(line))
            except (ValueError, KeyError) as error:
                answer = {"error": str(error)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


def serve(protocol: Callable[[Ledger], asyncio.Protocol]) -> None:
    """Run a sink on ``--port`` and its control port on ``--control-port``, on loopback, until it is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control-port", type=int, required=True)
    arguments = parser.parse_args()
    ledger = Ledger()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_server(lambda: protocol(ledger), "127.0.0.1", arguments.port, backlog=1024)
        control = await asyncio.start_server(
            lambda reader, writer: _control(ledger, reader, writer), "127.0.0.1", arguments.control_port
        )
        await control.serve_forever()

    uvloop.run(run())
