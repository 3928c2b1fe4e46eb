"""A real server process on the tests' database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from django.conf import settings

from notification_service.lib.scope import tenant_scope
from notification_service.local.ports import free_ports
from notification_service.local.services import WEB_SERVER
from notifications.inbox import streams
from notifications.inbox.streams import NewMessage
from tenants import signing_keys
from tenants.models import Role, Tenant
from tenants.models.signing_key import SigningKey
from tests.conftest import Persona
from tests.running_service import wait_until

ROOT = Path(__file__).resolve().parents[2]
HEARTBEAT = 1.0


class LiveServer:
    """One server process, as ``make up`` starts it."""

    def __init__(self, directory: Path, **environment: str) -> None:
        (self.port,) = free_ports(1)
        self._directory = directory
        self._environment = {"LIVE_HEARTBEAT_SECONDS": str(HEARTBEAT), **environment}
        self.start()

    def start(self) -> None:
        parts = urlsplit(os.environ["DATABASE_URL"])
        name = settings.DATABASES["default"]["NAME"]
        given = {
            **os.environ,
            "DATABASE_URL": parts._replace(path=f"/{name}").geturl(),
            "LOG_DIR": str(self._directory),
            "ALERT_CHECK_SECONDS": "0",
            "DATABASE_POOL": "8",
            **self._environment,
        }
        self.log = (self._directory / "server.log").open("a")
        self.process = subprocess.Popen(
            [sys.executable, *WEB_SERVER, "--host=127.0.0.1", f"--port={self.port}"],
            cwd=ROOT,
            env=given,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        wait_until(self._answers, 40)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self._directory / "server.log").read_text()[-3000:]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                return True
        except OSError:
            return False

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """End it. Whatever its clients do, it ends in bounded time."""
        self.process.send_signal(by)
        try:
            self.process.wait(timeout=30)
        finally:
            self.process.kill()
            self.process.wait()
            self.log.close()

    def address(self, path: str = "/ws/notifications/") -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    @property
    def printed(self) -> str:
        return (self._directory / "server.log").read_text()


def put(tenant_id: UUID, *user_ids: str) -> list[UUID]:
    """Put a message into each of these inboxes, in one transaction."""
    with tenant_scope(tenant_id):
        messages = [NewMessage(user_id, {"title": "Hi", "body": "There"}) for user_id in user_ids]
        streams.append(messages)
    return [message.id for message in messages]


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[LiveServer]:
    server = LiveServer(tmp_path_factory.mktemp("live"), LIVE_SOCKETS_PER_USER="4")
    yield server
    server.stop()


_keys: list[SigningKey] = []


@pytest.fixture
def server(_server: LiveServer, transactional_db: None) -> LiveServer:
    """A running server. Tests that use it commit what they write; ask for it before whoever signs in.

    The key that signs tokens stays the same from test to test: servers look for new ones once a second only.
    """
    if _keys:
        signing_keys.forget_copies()
        _keys[0].save(force_insert=not SigningKey.objects.filter(id=_keys[0].id).exists())
    else:
        _keys.append(SigningKey.objects.get(id=signing_keys.signer().kid))
    return _server


@pytest.fixture
def ada(make_persona: Callable[..., Persona], tenant: Tenant) -> Persona:
    """Somebody with an inbox."""
    return make_persona(tenant, Role.EMPLOYEE)
