"""The environment of a container, on servers of the test run."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from psycopg import sql

from tests.running_service import READY_SECONDS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Production mode, with generated secrets and an empty database of its own."""
    server = os.environ["DATABASE_URL"]
    name = f"containers_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DJANGO_SECRET_KEY": secrets.token_urlsafe(50),
        "ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "ALLOWED_HOSTS": "service.example",
        "HTTPS": "false",
        "DATABASE_URL": urlsplit(server)._replace(path=f"/{name}").geturl(),
        # A number of its own, so that the worker of another test does not answer.
        "REDIS_URL": urlsplit(os.environ["REDIS_URL"])._replace(path="/9").geturl(),
        "LOG_DIR": str(tmp_path / "logs"),
        "HOST": "127.0.0.1",
    }
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


class Role:
    """One role of the image, started natively."""

    def __init__(self, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(ROOT / "entrypoint.sh"), *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for(self, condition: Callable[[], bool], seconds: float = READY_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.output}"
            assert time.monotonic() < deadline, self.output
            time.sleep(0.2)

    def end(self, seconds: float = 30) -> int:
        """Wait for its own end and return the exit code."""
        return self.process.wait(seconds)

    def stop(self) -> int:
        """Send SIGTERM, as `docker stop` does, and return the exit code."""
        self.process.terminate()
        return self.end()

    def kill(self) -> None:
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                child.kill()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Role]]:
    """Start a role: ``start("web", PORT="1234")``."""
    roles: list[Role] = []

    def start_role(*arguments: str, **more: str) -> Role:
        log = tmp_path / f"role-{len(roles)}.log"
        roles.append(Role(list(arguments), {**environment, **more}, log))
        return roles[-1]

    yield start_role
    for role in roles:
        role.kill()
