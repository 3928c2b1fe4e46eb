"""News of conversations on their way to open sockets: one Redis channel a tenant, published after the commit.

What is published may be lost (Redis is away, a process restarts): sockets notice by ``seq`` and ``revision`` and resume
from the database. Nothing here is the only copy of anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import orjson
import structlog
from django.db import transaction

from notification_service.lib.redis import RedisUnavailable, attempt

log = structlog.get_logger(__name__)


def channel_of(tenant_id: UUID) -> str:
    """Return the name of a tenant's Redis channel."""
    return f"chat:{tenant_id}"


def announce(
    tenant_id: UUID,
    frame: Mapping[str, Any],
    *,
    conversations: Collection[UUID],
    users: Collection[str] | None = None,
    everywhere: bool = False,
    revision: int | None = None,
    but: str | None = None,
) -> None:
    """Send a frame, once the transaction has committed, to the sockets that have joined one of the conversations.

    ``users`` are those who may see it (None: whoever has joined); ``everywhere`` sends it to all of their sockets,
    joined or not. Frames of one conversation with a ``revision`` are delivered in its order. ``but`` gets nothing.
    """
    envelope = orjson.dumps(
        {
            "conversations": [str(each) for each in conversations],
            "users": None if users is None else list(users),
            "everywhere": everywhere,
            "revision": revision,
            "but": but,
            "type": frame["type"],
            "user": frame.get("user_id") or frame.get("participant", {}).get("user_id"),
            "text": orjson.dumps(frame).decode(),
        }
    )
    transaction.on_commit(lambda: publish(tenant_id, envelope))


def publish(tenant_id: UUID, envelope: bytes) -> None:
    """Publish now; where Redis is away, nobody hears of it live."""
    try:
        attempt(lambda client: client.publish(channel_of(tenant_id), envelope))
    except RedisUnavailable:
        log.debug("chat_event_not_published", tenant_id=str(tenant_id))
