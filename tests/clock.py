"""A clock that jumps ahead: so nothing has to happen quickly, on a machine that may be busy with something else."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType

import pytest

Jump = Callable[[float], None]


def jumping_clock(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> Jump:
    """Let the monotonic clock that these modules look at jump ahead by so many seconds."""
    ahead = 0.0
    real = time.monotonic

    def jump(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return real() + ahead

    for module in modules:
        monkeypatch.setattr(module, "time", Clock)
    return jump
