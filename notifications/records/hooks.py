"""News of outcomes and receipts for the rooms above.

No Django signals: typed lists, called in the transaction that wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from notifications.records.models import Receipt
from notifications.records.outcomes import Outcome

OnOutcomes = Callable[[Sequence[Outcome]], None]
OnReceipts = Callable[[Sequence[Receipt]], None]

_callbacks: list[OnOutcomes] = []
_on_receipts: list[OnReceipts] = []


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


def on_receipts(callback: OnReceipts) -> OnReceipts:
    """Call ``callback`` with each batch of receipts of one tenant that found their records, like ``on_outcomes``."""
    _on_receipts.append(callback)
    return callback


def announce_receipts(receipts: Sequence[Receipt]) -> None:
    """Tell everybody who asked."""
    for callback in _on_receipts:
        callback(receipts)
