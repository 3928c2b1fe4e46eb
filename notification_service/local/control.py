"""Talk to a supervisor that runs in another terminal: status, stop, start, down.

A listener on 127.0.0.1 rather than a unix socket, whose path must not be longer than about 100 characters. Who talks
to it proves that it knows the key in ``control.json`` (mode 600); messages are JSON.
"""

from __future__ import annotations

import fcntl
import json
import queue
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from notification_service.local.files import write_private
from notification_service.local.ports import LOOPBACK
from notification_service.local.supervisor import Request

_ANSWER_TIMEOUT = 20.0


class NotRunning(RuntimeError):
    """No supervisor runs for this directory."""


class AlreadyRunning(RuntimeError):
    """A supervisor runs for this directory."""


class RequestRefused(RuntimeError):
    """The supervisor can not do what was asked; the message says why."""


@contextmanager
def exclusive(local: Path) -> Iterator[None]:
    """Be the one supervisor of ``local`` until the block ends. Raises ``AlreadyRunning``."""
    local.mkdir(parents=True, exist_ok=True)
    with (local / "up.lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"{local} has a supervisor") from None
        yield


@contextmanager
def listening(local: Path, requests: queue.Queue[Request]) -> Iterator[None]:
    """Pass requests of other processes on to ``requests`` until the block ends."""
    key = secrets.token_hex(32)
    path = local / "control.json"
    with Listener((LOOPBACK, 0), authkey=key.encode()) as listener:
        port = listener.address[1]
        write_private(path, json.dumps({"port": port, "key": key}))
        threading.Thread(target=_serve, args=(listener, requests), name="control", daemon=True).start()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _serve(listener: Listener, requests: queue.Queue[Request]) -> None:
    while True:
        try:
            connection = listener.accept()
        except (AuthenticationError, EOFError, ConnectionError):
            continue  # somebody without the key
        except OSError:
            return  # the listener is closed
        with connection, suppress(EOFError, OSError, ValueError, queue.Empty):
            _answer(connection, requests)


def _answer(connection: Connection, requests: queue.Queue[Request]) -> None:
    asked = json.loads(connection.recv_bytes(10_000))
    request = Request(verb=str(asked["verb"]), name=str(asked.get("name", "")))
    requests.put(request)
    answer = request.answer.get(timeout=_ANSWER_TIMEOUT)
    connection.send_bytes(json.dumps(answer).encode())


def ask(local: Path, verb: str, name: str = "") -> dict[str, Any]:
    """Ask the running supervisor of ``local`` and return its answer.

    Raises ``NotRunning``, or ``RequestRefused`` with the supervisor's reason.
    """
    try:
        address = json.loads((local / "control.json").read_text(encoding="utf-8"))
        with Client((LOOPBACK, address["port"]), authkey=address["key"].encode()) as connection:
            connection.send_bytes(json.dumps({"verb": verb, "name": name}).encode())
            if not connection.poll(_ANSWER_TIMEOUT):
                raise RequestRefused("the supervisor does not answer")
            answer: dict[str, Any] = json.loads(connection.recv_bytes())
    except (OSError, EOFError, ValueError, AuthenticationError) as error:
        raise NotRunning(f"nothing runs for {local}") from error
    if "error" in answer:
        raise RequestRefused(str(answer["error"]))
    return answer


def wait_for_state(local: Path, name: str, state: str, *, timeout: float = 60.0) -> None:
    """Wait until the service ``name`` is in ``state``. Raises ``RequestRefused`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        services = {service["name"]: service["state"] for service in ask(local, "status")["services"]}
        if services.get(name) == state:
            return
        time.sleep(0.1)
    raise RequestRefused(f"{name} is still {services.get(name)} after {timeout:.0f} s")


def wait_for_end(local: Path, *, timeout: float = 60.0) -> bool:
    """Wait until no supervisor runs for ``local``; return whether that came true within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with suppress(AlreadyRunning), exclusive(local):
            return True
        time.sleep(0.1)
    return False
