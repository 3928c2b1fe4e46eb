"""A clock that what these tests look at goes by."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from notification_service.lib import redis, remembered

Jump = Callable[[float], None]


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Jump:
    """Let the clock jump ahead: so nothing has to happen quickly, on a machine that may be busy with something else."""
    ahead = 0.0
    real = time.monotonic

    def jump(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return real() + ahead

    for module in (redis, remembered):
        monkeypatch.setattr(module, "time", Clock)
    return jump
