"""News for live sockets: published to one Redis channel once the transaction has committed.

Nothing here is the only copy of anything: what is in a stream is in the database, and sockets find out by their
heartbeats what Redis lost. Progress and other passing news is gone if Redis is.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from django.conf import settings
from django.db import transaction

from notification_service.lib.redis import RedisUnavailable, attempt
from notifications.inbox.frames import encode

log = structlog.get_logger(__name__)

#: Kinds of news: frames of streams, a frame to a person, a frame to a topic's subscribers, a new broadcast.
STREAM, PERSON, TOPIC, BROADCAST = "s", "u", "t", "b"
PROGRESS, PRESENCE = "progress", "presence"
TOPICS: Final = (PROGRESS, PRESENCE)
#: Frames of one publication: a message of Redis stays small enough to stand in nobody's way.
_TOGETHER: Final = 500
#: The least time between two frames about the same thing whose status is the same; and of how many things it is known.
_PROGRESS_SECONDS: Final = 0.25
_REMEMBERED: Final = 1_000
_told: dict[tuple[str, str], tuple[str | None, float]] = {}

#: A frame of somebody's stream: person, seq, text.
Streamed = tuple[str, int, str]


def publish_streams(tenant_id: UUID, frames: Iterable[Streamed]) -> None:
    """Send frames of streams to their owners' sockets after the commit."""
    every = list(frames)
    for start in range(0, len(every), _TOGETHER):
        _after_commit(STREAM, tenant_id, every[start : start + _TOGETHER])


def publish_to_user(tenant_id: UUID, user_id: str, event: Mapping[str, Any]) -> None:
    """Send an event (an object with a ``type``) to the sockets a person has open now, after the commit.

    It is in no stream: who is not connected never gets it.
    """
    _after_commit(PERSON, tenant_id, [user_id, encode(event)])


def publish_to_tenant_admins(tenant_id: UUID, event: Mapping[str, Any]) -> None:
    """Send progress to a tenant's people who may read campaigns and have subscribed to it, after the commit.

    ``event`` has ``kind`` (``campaign``, ``csv_job``), ``id``, and what is known of ``status``, ``done``, ``total``,
    ``failed``. Of what comes more often than four times a second from one process, only a new status is sent.
    """
    what, status, now = (event["kind"], event["id"]), event.get("status"), time.monotonic()
    told_status, told_at = _told.get(what, (None, float("-inf")))
    if status == told_status and now - told_at < _PROGRESS_SECONDS:
        return
    if len(_told) >= _REMEMBERED:
        _told.clear()
    _told[what] = (status, now)
    publish_to_topic(tenant_id, PROGRESS, {"type": PROGRESS, **event})


def publish_to_topic(tenant_id: UUID, topic: str, event: Mapping[str, Any]) -> None:
    """Send an event to the sockets of a tenant that have subscribed to a topic, after the commit."""
    _after_commit(TOPIC, tenant_id, [topic, encode(event)])


def announce_broadcast(tenant_id: UUID) -> None:
    """Tell the servers, after the commit, that connected people have a broadcast to get."""
    _after_commit(BROADCAST, tenant_id, None)


def envelope(kind: str, tenant_id: UUID, news: Any) -> bytes:
    """Return what is published."""
    return orjson.dumps([kind, tenant_id.hex, news])


def _after_commit(kind: str, tenant_id: UUID, news: Sequence[Any] | None) -> None:
    transaction.on_commit(partial(_publish, kind, tenant_id, news), robust=True)


def _publish(kind: str, tenant_id: UUID, news: Sequence[Any] | None) -> None:
    data = envelope(kind, tenant_id, news)
    try:
        attempt(lambda client: client.publish(settings.LIVE_CHANNEL, data))
    except RedisUnavailable as error:
        log.warning("live_news_not_published", tenant_id=str(tenant_id), kind=kind, error=str(error))
