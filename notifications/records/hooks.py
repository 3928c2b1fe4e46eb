"""News of outcomes and receipts for the rooms above.

No Django signals: typed lists, called in the transaction that wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from notifications.records.models import Receipt
from notifications.records.outcomes import Outcome
from notifications.records.queue import Claimed

OnOutcomes = Callable[[Sequence[Outcome]], None]
OnReceipts = Callable[[Sequence[Receipt]], None]
#: Changes the content of one message once its words are filled in: adds a header, rewrites links.
Finish = Callable[[Claimed, dict[str, Any]], dict[str, Any]]
OnClaimed = Callable[[Sequence[Claimed]], Mapping[UUID, Finish]]

_callbacks: list[OnOutcomes] = []
_on_claimed: list[OnClaimed] = []
_on_receipts: list[OnReceipts] = []


def on_outcomes(callback: OnOutcomes) -> OnOutcomes:
    """Call ``callback`` with each batch of outcomes of one tenant, inside the transaction that wrote them.

    These are the outcomes of attempts, and, with no tries, ends that no attempt came to: records that are suppressed
    at intake, cancelled, or given up because their workers were lost.

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


def on_claimed(callback: OnClaimed) -> OnClaimed:
    """Call ``callback`` with each chunk that was claimed, before it is sent, in the transaction that claimed it.

    It returns, by record id, what is to be done to messages once they are rendered: fast, without the database, and on
    the engine's own thread. Most chunks are none of its business: let it look at a field of ``Claimed`` first.
    """
    _on_claimed.append(callback)
    return callback


def finishes_of(claimed: Sequence[Claimed]) -> dict[UUID, list[Finish]]:
    """Return what everybody who asked wants done to these messages."""
    wanted: dict[UUID, list[Finish]] = {}
    for callback in _on_claimed:
        for record_id, finish in callback(claimed).items():
            wanted.setdefault(record_id, []).append(finish)
    return wanted
