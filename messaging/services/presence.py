"""Who is here: heartbeats in Redis that expire. Nobody is taken off because a socket closed; they are not heard of.

An open socket is a heartbeat every few seconds, and so is a call of ``PUT …/presence/me/``. While Redis is away
everybody counts as offline.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast
from uuid import UUID

from django.conf import settings

from messaging.events import announce
from messaging.limits import admit
from messaging.models import Conversation
from messaging.representation import rfc3339
from messaging.services.people import person_of
from notification_service.lib.errors import InvalidInput
from notification_service.lib.redis import RedisUnavailable, attempt
from notification_service.lib.scope import tenant_scope
from tenants.callers import Caller

STATUSES: Final = ("online", "away", "busy", "offline")
OFFLINE: Final = "offline"
#: Everybody who is here, by the time at which they are no more unless they are heard of again.
_HERE: Final = "chat:presence"
#: How long it is remembered when somebody was last here.
_REMEMBERED: Final = 30 * 24 * 3600
#: Conversations whose sockets are told of a change.
_TOLD: Final = 500

# KEYS: everybody, the person. ARGV: member, seconds, status (or nothing: what it was, online at first), remembered.
# → {status before, status now}
_BEAT: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local ends = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0')
local before = 'offline'
if ends > now then before = redis.call('HGET', KEYS[2], 'status') or 'offline' end
local status = ARGV[3]
if status == '' then
    if ends > now then status = before else status = 'online' end
end
redis.call('ZADD', KEYS[1], tostring(now + tonumber(ARGV[2])), ARGV[1])
redis.call('HSET', KEYS[2], 'status', status, 'seen', tostring(now))
redis.call('EXPIRE', KEYS[2], ARGV[4])
return {before, status}
"""

# KEYS: everybody. ARGV: how many at most. → members who have not been heard of in time; each is returned once.
_EXPIRE: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', tostring(now), 'LIMIT', 0, ARGV[1])
for _, member in ipairs(gone) do redis.call('ZREM', KEYS[1], member) end
return gone
"""


@dataclass(frozen=True, slots=True)
class Presence:
    """How somebody is, and when they were last heard of (None: not for a month)."""

    user_id: str
    status: str
    last_seen_at: datetime | None

    @property
    def is_here(self) -> bool:
        """Whether they sit in front of it: what is unread they will see."""
        return self.status in ("online", "busy")

    def represent(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"user_id": self.user_id, "status": self.status, "last_seen_at": rfc3339(self.last_seen_at)}


def beat(tenant_id: UUID, user_id: str, status: str = "") -> Presence:
    """Note that somebody is here, and how (empty: as before); tell others if that has changed."""

    def command(client: Any) -> list[str]:
        keys = (_HERE, _key(tenant_id, user_id))
        arguments = (_member(tenant_id, user_id), str(settings.CHAT_PRESENCE_SECONDS), status, str(_REMEMBERED))
        return cast("list[str]", client.eval(_BEAT, 2, *keys, *arguments))

    try:
        before, now = attempt(command)
    except RedisUnavailable:
        return Presence(user_id, OFFLINE, None)
    presence = Presence(user_id, now, datetime.now(UTC))
    if now != before:
        _tell(tenant_id, presence)
    return presence


def renew(people: Collection[tuple[UUID, str]]) -> None:
    """Note that all these people (tenant, user id) are still here, in one trip."""
    asked = list(people)

    def command(client: Any) -> list[list[str]]:
        with client.pipeline(transaction=False) as pipe:
            for tenant_id, user_id in asked:
                keys = (_HERE, _key(tenant_id, user_id))
                life = str(settings.CHAT_PRESENCE_SECONDS)
                pipe.eval(_BEAT, 2, *keys, _member(tenant_id, user_id), life, "", str(_REMEMBERED))
            return cast("list[list[str]]", pipe.execute())

    try:
        answers = attempt(command)
    except RedisUnavailable:
        return
    for (tenant_id, user_id), (before, now) in zip(asked, answers, strict=True):
        if now != before:  # nobody had heard of them for a while
            _tell(tenant_id, Presence(user_id, now, datetime.now(UTC)))


def update_own(caller: Caller, status: str) -> Presence:
    """Say how the caller is. Raises ``InvalidInput``, ``TooManyRequests``."""
    person = person_of(caller)
    admit(person.tenant_id, person.user_id, "presence")
    if status not in STATUSES:
        raise InvalidInput.at("status", f"Must be one of {', '.join(STATUSES)}.")
    return beat(person.tenant_id, person.user_id, status)


def statuses(tenant_id: UUID, user_ids: Collection[str]) -> dict[str, Presence]:
    """Return how each person is, in one trip."""
    asked = list(user_ids)

    def command(client: Any) -> list[Any]:
        with client.pipeline(transaction=False) as pipe:
            pipe.time()
            for user_id in asked:
                pipe.zscore(_HERE, _member(tenant_id, user_id))
                pipe.hmget(_key(tenant_id, user_id), "status", "seen")
            return list(pipe.execute())

    try:
        now, *answers = attempt(command)
    except RedisUnavailable:
        return {user_id: Presence(user_id, OFFLINE, None) for user_id in asked}
    clock = now[0] + now[1] / 1_000_000
    found = {}
    for user_id, ends, (status, seen) in zip(asked, answers[::2], answers[1::2], strict=True):
        is_alive = ends is not None and ends > clock
        moment = datetime.fromtimestamp(float(seen), UTC) if seen else None
        found[user_id] = Presence(user_id, status if is_alive and status else OFFLINE, moment)
    return found


def seen_by(caller: Caller, user_ids: Iterable[str]) -> list[Presence]:
    """Return how people are, of those with whom the caller shares a conversation and the caller themselves."""
    person = person_of(caller)
    asked = list(dict.fromkeys(user_ids))
    shared = set(
        Conversation.objects.filter(
            id__in=_own(person.user_id).values("id"),
            participants__user_id__in=asked,
            participants__left_at=None,
        ).values_list("participants__user_id", flat=True)
    )
    known = [user_id for user_id in asked if user_id in shared or user_id == person.user_id]
    found = statuses(person.tenant_id, known)
    return [found[user_id] for user_id in known]


def expire(limit: int = 500) -> int:
    """Tell of those who have not been heard of in time; return how many. Each is told of once, whoever asks."""
    try:
        gone = cast("list[str]", attempt(lambda client: client.eval(_EXPIRE, 1, _HERE, str(limit))))
    except RedisUnavailable:
        return 0
    for member in gone:
        tenant, _, user_id = member.partition("|")
        with tenant_scope(UUID(tenant)):
            presence = statuses(UUID(tenant), [user_id])[user_id]
            _tell(UUID(tenant), presence)
    return len(gone)


def forget(tenant_id: UUID, user_id: str) -> None:
    """Forget that somebody was ever here."""

    def command(client: Any) -> None:
        client.zrem(_HERE, _member(tenant_id, user_id))
        client.delete(_key(tenant_id, user_id))

    try:
        attempt(command)
    except RedisUnavailable:
        return  # it expires by itself


def _tell(tenant_id: UUID, presence: Presence) -> None:
    with tenant_scope(tenant_id):
        told = list(_own(presence.user_id).order_by("-active_at").values_list("id", flat=True)[:_TOLD])
        if told:
            announce(tenant_id, {"type": "presence_changed", **presence.represent()}, conversations=told)


def _own(user_id: str) -> Any:
    return Conversation.objects.filter(participants__user_id=user_id, participants__left_at=None)


def _member(tenant_id: UUID, user_id: str) -> str:
    return f"{tenant_id}|{user_id}"


def _key(tenant_id: UUID, user_id: str) -> str:
    return f"chat:presence:{tenant_id}:{user_id}"
