"""The shapes that sockets and REST show; ``docs/asyncapi.yaml`` describes the frames."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import orjson


def encode(frame: Mapping[str, Any]) -> str:
    """Return a frame as text."""
    return orjson.dumps(frame, option=orjson.OPT_UTC_Z).decode()


class Shown(Protocol):
    """A message, stored already or about to be."""

    @property
    def id(self) -> UUID: ...
    @property
    def content(self) -> Mapping[str, Any]: ...
    @property
    def category(self) -> str: ...
    @property
    def priority(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def expires_at(self) -> datetime | None: ...
    @property
    def read_at(self) -> datetime | None: ...
    @property
    def archived_at(self) -> datetime | None: ...
    @property
    def snoozed_until(self) -> datetime | None: ...
    @property
    def acknowledged_at(self) -> datetime | None: ...
    @property
    def broadcast_id(self) -> UUID | None: ...


def represent_message(message: Shown) -> dict[str, Any]:
    """Return a message as its owner sees it."""
    content = message.content
    body = content.get("body") or ""
    return {
        "id": message.id,
        "title": content.get("title") or "",
        "body": body,
        "description": body,
        "category": message.category,
        "priority": message.priority,
        "sound": content.get("sound"),
        "image": content.get("image"),
        "action": content.get("action"),
        "actions": content.get("actions") or [],
        "data": content.get("data") or {},
        "created_at": message.created_at,
        "timestamp": message.created_at,
        "expires_at": message.expires_at,
        "read_at": message.read_at,
        "archived_at": message.archived_at,
        "snoozed_until": message.snoozed_until,
        "acknowledged_at": message.acknowledged_at,
        "broadcast_id": message.broadcast_id,
    }


def message_frame(message: Shown, *, seq: int, unread: int, **more: Any) -> str:
    """Return the frame of a new message, as text: ``broadcast`` for a broadcast's copy, else ``notification``."""
    kind = "broadcast" if message.broadcast_id else "notification"
    return encode({"type": kind, "seq": seq, "unread": unread, **more, **represent_message(message)})
