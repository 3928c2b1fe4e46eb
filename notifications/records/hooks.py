"""News of outcomes for the rooms above. No Django signals: one typed list, called in the transaction that wrote."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from notifications.records.outcomes import Outcome

OnOutcomes = Callable[[Sequence[Outcome]], None]

_callbacks: list[OnOutcomes] = []


def on_outcomes(callback: OnOutcomes) -> OnOutcomes:
    """Call ``callback`` with each batch of outcomes of one tenant, inside the transaction that wrote them.

    What it writes commits with the outcomes or not at all; what it raises undoes them, and the batch is tried again.
    """
    _callbacks.append(callback)
    return callback


def announce(outcomes: Sequence[Outcome]) -> None:
    """Tell everybody who asked."""
    for callback in _callbacks:
        callback(outcomes)
