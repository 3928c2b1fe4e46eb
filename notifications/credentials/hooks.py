"""News of credentials for the rooms above: a channel that could not send can send again."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

OnUsable = Callable[[UUID, str], None]

_on_usable: list[OnUsable] = []


def on_credential_usable(callback: OnUsable) -> OnUsable:
    """Call ``callback(tenant_id, channel)`` in the transaction in which a credential becomes usable."""
    _on_usable.append(callback)
    return callback


def credential_usable(tenant_id: UUID, channel: str) -> None:
    """Tell everybody who asked."""
    for callback in _on_usable:
        callback(tenant_id, channel)
