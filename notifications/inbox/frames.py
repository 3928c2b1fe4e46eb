"""The shapes that sockets and REST show; ``docs/asyncapi.yaml`` describes the frames."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from notifications.inbox.models import InboxMessage


def encode(frame: Mapping[str, Any]) -> str:
    """Return a frame as text."""
    return orjson.dumps(frame, option=orjson.OPT_UTC_Z).decode()


def represent(
    message_id: UUID,
    content: Mapping[str, Any],
    *,
    category: str,
    priority: str,
    created_at: datetime,
    expires_at: datetime | None = None,
    read_at: datetime | None = None,
    archived_at: datetime | None = None,
    snoozed_until: datetime | None = None,
    acknowledged_at: datetime | None = None,
    broadcast_id: UUID | None = None,
) -> dict[str, Any]:
    """Return a message as its owner sees it."""
    body = content.get("body") or ""
    return {
        "id": message_id,
        "title": content.get("title") or "",
        "body": body,
        "description": body,
        "category": category,
        "priority": priority,
        "sound": content.get("sound"),
        "image": content.get("image"),
        "action": content.get("action"),
        "actions": content.get("actions") or [],
        "data": content.get("data") or {},
        "created_at": created_at,
        "timestamp": created_at,
        "expires_at": expires_at,
        "read_at": read_at,
        "archived_at": archived_at,
        "snoozed_until": snoozed_until,
        "acknowledged_at": acknowledged_at,
        "broadcast_id": broadcast_id,
    }


def represent_message(message: InboxMessage) -> dict[str, Any]:
    """Return a stored message as its owner sees it."""
    return represent(
        message.id,
        message.content,
        category=message.category,
        priority=message.priority,
        created_at=message.created_at,
        expires_at=message.expires_at,
        read_at=message.read_at,
        archived_at=message.archived_at,
        snoozed_until=message.snoozed_until,
        acknowledged_at=message.acknowledged_at,
        broadcast_id=message.broadcast_id,
    )


def message_frame(shown: Mapping[str, Any], *, seq: int, unread: int, **more: Any) -> str:
    """Return the frame of a new message, as text: ``broadcast`` for a broadcast's copy, else ``notification``."""
    kind = "broadcast" if shown["broadcast_id"] else "notification"
    return encode({"type": kind, "seq": seq, "unread": unread, **more, **shown})
