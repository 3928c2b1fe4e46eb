"""pytest plugin: a run of the tests has its own PostgreSQL and Redis, unless the environment names others.

Loaded with ``-p notification_service.local.pytest_plugin``: before pytest-django reads the settings.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from notification_service.local.testing import TestServers, start_test_servers

_ROOT = Path(__file__).resolve().parents[2]
_servers = pytest.StashKey[TestServers]()

#: What the settings need besides the servers; none of it is a secret of anybody.
_ENVIRONMENT = {
    "DEBUG": "true",
    "DJANGO_SECRET_KEY": "only-for-tests-" + "x" * 40,
    "ENCRYPTION_KEYS": base64.urlsafe_b64encode(b"only for tests, 32 bytes of key!").decode(),
    "OUTBOUND_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
}


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Start the servers in the process that the user started; pytest-xdist's workers inherit their URLs."""
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    if not is_worker and not {"DATABASE_URL", "REDIS_URL"} <= os.environ.keys():
        servers = early_config.stash[_servers] = start_test_servers(_ROOT)
        os.environ.setdefault("DATABASE_URL", servers.database_url)
        os.environ.setdefault("REDIS_URL", servers.redis_url)
        os.environ.setdefault("LOG_DIR", str(servers.directory / "logs"))
        os.environ.setdefault("MEDIA_ROOT", str(servers.directory / "media"))
    # The tests of Kafka use the one that is named; no others shall believe that there is one.
    if named := os.environ.pop("KAFKA_BOOTSTRAP_SERVERS", ""):
        os.environ["TEST_KAFKA_BOOTSTRAP_SERVERS"] = named
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if is_worker:  # a Redis database each: gw0 has the first
        number = os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")
        os.environ["REDIS_URL"] = f"{os.environ['REDIS_URL'].rpartition('/')[0]}/{number}"
    return (yield)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers that this process started."""
    if servers := config.stash.get(_servers, None):
        servers.stop()
