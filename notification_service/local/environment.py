"""The environment of a development installation: generated secrets, ports that stay, URLs made of both.

Everything that the caller's environment sets wins, so ``DATABASE_URL=… make up`` uses that server and starts none.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from notification_service.local.files import write_private
from notification_service.local.kafka import EmbeddedKafka
from notification_service.local.ports import free_ports, is_free
from notification_service.local.postgres import EmbeddedPostgres
from notification_service.local.redis import EmbeddedRedis

DEFAULT_PORT = 3001
_INTERNAL = ("postgres", "redis", "kafka", "sandbox_smtp", "sandbox_http")
_PORT_RANGE = range(1, 65536)

_SECRETS: dict[str, Callable[[], str]] = {
    "DJANGO_SECRET_KEY": lambda: secrets.token_urlsafe(50),
    "ENCRYPTION_KEYS": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
}


class InvalidPort(ValueError):
    """``PORT`` is not a port number."""


@dataclass(frozen=True, slots=True)
class LocalSetup:
    """Where this checkout keeps its local things (``local``) and on which ports it runs them."""

    root: Path
    port: int
    ports: Mapping[str, int]
    given: Mapping[str, str]

    @property
    def local(self) -> Path:
        """The directory that holds all local state."""
        return self.root / ".local"

    @property
    def base_url(self) -> str:
        """Where the service answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def sandbox_url(self) -> str:
        """Where the sandbox's page and API answer."""
        return f"http://127.0.0.1:{self.ports['sandbox_http']}"

    @property
    def postgres(self) -> EmbeddedPostgres | None:
        """The embedded PostgreSQL, or None if ``DATABASE_URL`` names another."""
        if "DATABASE_URL" in self.given:
            return None
        return EmbeddedPostgres(self.local / "postgres", self.ports["postgres"])

    @property
    def redis(self) -> EmbeddedRedis | None:
        """The embedded Redis, or None if ``REDIS_URL`` names another."""
        if "REDIS_URL" in self.given:
            return None
        return EmbeddedRedis(self.local / "redis", self.ports["redis"])

    @property
    def kafka(self) -> EmbeddedKafka | None:
        """The mock Kafka cluster, or None if ``KAFKA_BOOTSTRAP_SERVERS`` names another (or, if empty, none)."""
        if "KAFKA_BOOTSTRAP_SERVERS" in self.given:
            return None
        return EmbeddedKafka(self.local / "kafka", self.ports["kafka"])

    def environment(self) -> dict[str, str]:
        """Return the whole environment for the service's processes; makes missing secrets."""
        smtp = f"127.0.0.1:{self.ports['sandbox_smtp']}"
        defaults = {
            **_stored_secrets(self.local / "env"),
            "DEBUG": "true",
            "PUBLIC_URL": self.base_url,
            "SANDBOX_URL": self.sandbox_url,
            "SANDBOX_SMTP_URL": f"smtp://demo:sandbox@{smtp}",
            "EMAIL_URL": f"smtp://platform:sandbox@{smtp}",
            "OUTBOUND_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
            "LOG_FORMAT": "console",
            "DEMO_FILE": str(self.local / "demo.json"),
            "PYTHONUNBUFFERED": "1",
        }
        if self.postgres:
            defaults["DATABASE_URL"] = self.postgres.url
        if self.redis:
            defaults["REDIS_URL"] = self.redis.url
        if self.kafka:
            defaults["KAFKA_BOOTSTRAP_SERVERS"] = self.kafka.url
        return {**defaults, **self.given}


def local_setup(root: Path, given: Mapping[str, str] | None = None, *, rechoose_ports: bool = False) -> LocalSetup:
    """Return the setup of the checkout ``root``.

    Internal ports are chosen once and kept in ``.local/ports.json``; ``rechoose_ports`` replaces those that somebody
    else has taken meanwhile (only while the servers are down). Raises ``InvalidPort``.
    """
    given = dict(os.environ if given is None else given)
    path = root / ".local" / "ports.json"
    public = _public_port(given)
    return LocalSetup(root, public, _internal_ports(path, public, rechoose=rechoose_ports), given)


def _public_port(given: Mapping[str, str]) -> int:
    text = given.get("PORT") or str(DEFAULT_PORT)
    if not text.isascii() or not text.isdigit() or int(text) not in _PORT_RANGE:
        raise InvalidPort(f"PORT={text} is not a port number (1 to 65535)")
    return int(text)


def _internal_ports(path: Path, public: int, *, rechoose: bool) -> dict[str, int]:
    kept: dict[str, int] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if rechoose:
        kept = {name: port for name, port in kept.items() if port != public and is_free(port)}
    missing = [name for name in _INTERNAL if name not in kept]
    if missing:
        # The public one is still free while we look: nobody else may take it.
        chosen = [port for port in free_ports(len(missing) + 1) if port != public]
        kept |= dict(zip(missing, chosen, strict=False))
        write_private(path, json.dumps(kept, indent=2) + "\n")
    return kept


def _stored_secrets(path: Path) -> dict[str, str]:
    """Read ``NAME=value`` lines; add the secrets that are missing."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    stored = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    missing = {name: make() for name, make in _SECRETS.items() if name not in stored}
    if missing:
        stored |= missing
        header = "# Generated for development on this machine. Never use these anywhere else.\n"
        write_private(path, header + "".join(f"{name}={value}\n" for name, value in stored.items()))
    return stored
