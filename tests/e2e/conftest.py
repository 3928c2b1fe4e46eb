"""One running service for all tests that drive it from outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.running_service import RunningService, running_service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with running_service(tmp_path_factory.mktemp("e2e"), LEASE_SECONDS="8") as running:
        yield running
