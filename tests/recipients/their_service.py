"""A tenant's own user service, played by a real HTTP server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pytest_django import Settings

from tests.conftest import Persona

ADDRESS = "/api/v1/projects/me/user-service"
SECRET = "a-secret-of-theirs"
ADA = {
    "email": "ada@example.com",
    "phone": "+353861234567",
    "name": "Ada",
    "timeZone": "Europe/Dublin",
    "roles": ["staff"],
    "metadata": {"city": "Cork"},
    "shoe_size": 38,
}


@dataclass
class Theirs:
    """A server that answers addresses with (status, body) in turn, the last one again and again; others are errors."""

    answers: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    delay: float = 0.0
    port: int = 0

    def knows(self, path: str, *answers: Any) -> None:
        self.answers[path] = [
            answer if isinstance(answer, tuple) else (200, json.dumps(answer).encode()) for answer in answers
        ]


@pytest.fixture
def theirs() -> Iterator[Theirs]:
    played = Theirs()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            played.asked.append((self.path, self.headers["Authorization"]))
            answers = played.answers.get(self.path, [(500, b"oops")])
            status, body = answers.pop(0) if len(answers) > 1 else answers[0]
            time.sleep(played.delay)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Location", "http://169.254.169.254/")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    played.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield played
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)


@pytest.fixture
def this_machine_is_allowed(settings: Settings) -> None:
    settings.OUTBOUND_ALLOWED_NETWORKS = ["127.0.0.0/8"]


@pytest.fixture
def store(admin: Persona, theirs: Theirs, this_machine_is_allowed: None) -> Callable[..., dict[str, Any]]:
    def store(**changes: Any) -> dict[str, Any]:
        body = {"url": f"http://127.0.0.1:{theirs.port}/users/{{user_id}}", "secret": SECRET, **changes}
        answer = admin.client.put(ADDRESS, body)
        assert answer.status_code == 200, answer.json()
        found: dict[str, Any] = answer.json()
        return found

    return store
