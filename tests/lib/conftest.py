"""A clock that what these tests look at goes by."""

from __future__ import annotations

import pytest

from notification_service.lib import redis, remembered
from tests.clock import Jump, jumping_clock


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Jump:
    """Let the clock of Redis's breaker and of what is remembered jump ahead."""
    return jumping_clock(monkeypatch, redis, remembered)
