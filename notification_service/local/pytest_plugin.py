"""pytest plugin: a run of the tests has its own PostgreSQL and Redis, unless the environment names others.

Loaded with ``-p notification_service.local.pytest_plugin``: before pytest-django reads the settings.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from notification_service.local.testing import TestServers, start_test_servers

_ROOT = Path(__file__).resolve().parents[2]
_servers = pytest.StashKey[TestServers]()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Start the servers in the process that the user started; pytest-xdist's workers inherit their URLs."""
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    if not is_worker and not {"DATABASE_URL", "REDIS_URL"} <= os.environ.keys():
        servers = early_config.stash[_servers] = start_test_servers(_ROOT)
        os.environ.setdefault("DATABASE_URL", servers.database_url)
        os.environ.setdefault("REDIS_URL", servers.redis_url)
    return (yield)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers that this process started."""
    if servers := config.stash.get(_servers, None):
        servers.stop()
