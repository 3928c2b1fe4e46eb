"""Frames in their order: they are published after their commits and may overtake each other on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

#: How long an early frame waits for the one before it, in seconds, and how many may wait.
PATIENCE: Final = 0.25
_MOST: Final = 1_000


class Order(Generic[T]):
    """Passes on numbered things in the order of their numbers, as long as none is missing for longer than ``PATIENCE``.

    What comes after its turn is passed on at once: its receiver knows by the number what is newer.
    """

    __slots__ = ("_ahead", "_last", "_pass_on", "_timer")

    def __init__(self, pass_on: Callable[[T], None]) -> None:
        self._pass_on = pass_on
        self._last: int | None = None
        self._ahead: dict[int, T] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether something is early."""
        return bool(self._ahead)

    def take(self, number: int, thing: T) -> None:
        """Pass a thing on, now or after what comes before it."""
        if self._last is None or number <= self._last + 1:
            self._last = number if self._last is None else max(self._last, number)
            self._pass_on(thing)
            while self._ahead and self._last + 1 in self._ahead:
                self._last += 1
                self._pass_on(self._ahead.pop(self._last))
            if not self._ahead and self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return
        self._ahead[number] = thing
        if len(self._ahead) > _MOST:
            self._give_up()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._give_up)

    def _give_up(self) -> None:
        """Pass on what waits: what is missing will not come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._ahead = self._ahead, {}
        for number in sorted(waiting):
            self._last = number
            self._pass_on(waiting[number])
