"""News of conversations on their way to open sockets: one Redis channel, published after the commit.

What is published may be lost (Redis is away, a process restarts): sockets notice by ``seq`` and ``revision`` and resume
from the database. Nothing here is the only copy of anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import orjson
import structlog
from django.conf import settings
from django.db import transaction

from notification_service.lib.redis import RedisUnavailable, attempt

log = structlog.get_logger(__name__)


def announce(
    tenant_id: UUID,
    frame: Mapping[str, Any],
    *,
    conversations: Collection[UUID],
    users: Collection[str] | None = None,
    everywhere: bool = False,
    also: str | None = None,
    revision: int | None = None,
    but: str | None = None,
) -> None:
    """Send a frame, once the transaction has committed, to the sockets that have joined one of the conversations.

    ``users`` are those who may see it (None: whoever has joined); ``everywhere`` sends it to all of their sockets,
    joined or not, and ``also`` to all sockets of one person. Frames of one conversation with a ``revision`` are
    delivered in its order. ``but`` gets nothing.
    """
    envelope = orjson.dumps(
        {
            "tenant": str(tenant_id),
            "conversations": [str(each) for each in conversations],
            "users": None if users is None else list(users),
            "everywhere": everywhere,
            "also": also,
            "revision": revision,
            "but": but,
            "type": frame["type"],
            "user": frame.get("user_id") or frame.get("participant", {}).get("user_id"),
            "text": orjson.dumps(frame).decode(),
        }
    )
    transaction.on_commit(lambda: _publish(envelope), robust=True)


def _publish(envelope: bytes) -> None:
    try:
        attempt(lambda client: client.publish(settings.CHAT_CHANNEL, envelope))
    except RedisUnavailable as error:
        log.warning("chat_news_not_published", error=str(error))
