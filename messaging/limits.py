"""How much a person may do in a while: against spam and runaway clients."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from notification_service.lib.errors import TooManyRequests
from notification_service.lib.rate_limit import Limit, take

_LIMITS: Final = {
    "send": Limit(30, 10.0),
    "change": Limit(60, 10.0),
    "typing": Limit(20, 10.0),
    "presence": Limit(30, 60.0),
    "upload": Limit(20, 120.0),
    "create": Limit(60, 600.0),
    "search": Limit(20, 10.0),
    "resume": Limit(120, 10.0),
}
#: Messages in one conversation, whoever sends them.
_CONVERSATION: Final = Limit(100, 10.0)


def admit(tenant_id: UUID, user_id: str, what: str, cost: int = 1) -> None:
    """Let a person do something (a key of the table above), or raise ``TooManyRequests``."""
    _take(f"chat:{what}:{tenant_id}:{user_id}", _LIMITS[what], cost)


def admit_message(tenant_id: UUID, user_id: str, conversation_id: UUID) -> None:
    """Let a person send one message to a conversation, or raise ``TooManyRequests``."""
    admit(tenant_id, user_id, "send")
    _take(f"chat:conversation:{tenant_id}:{conversation_id}", _CONVERSATION, 1)


def _take(key: str, limit: Limit, cost: int) -> None:
    decision = take(key, limit, cost)
    if not decision.allowed:
        raise TooManyRequests("Too many requests: slow down.", retry_after=max(decision.retry_after, 0.1))
