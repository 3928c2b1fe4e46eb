"""Who is connected, over all processes: limits on open sockets, and presence.

Each socket is an entry in Redis that lasts three heartbeats and is renewed by them: what dies with its process is
forgotten by itself. While Redis is down everybody is let in, and nobody's coming and going is told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Final, cast
from uuid import UUID

from django.conf import settings
from redis.asyncio import Redis

from notification_service.lib.errors import TooManyRequests
from notification_service.lib.redis import RedisUnavailable, attempt_async

# KEYS: of the tenant, of the person. ARGV: socket, person, life in seconds, most of a person, most of a tenant.
# → sockets that the person had before; -1: the person has too many; -2: the tenant.
_ENTER: Final = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local own = redis.call('ZCARD', KEYS[2])
if own >= tonumber(ARGV[4]) then return -1 end
if redis.call('ZCOUNT', KEYS[1], now, '+inf') >= tonumber(ARGV[5]) then return -2 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1] .. ':' .. ARGV[2])
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
redis.call('EXPIRE', KEYS[2], math.ceil(ARGV[3] * 2))
return own
"""
# KEYS and ARGV[1..2] as above → sockets that the person has left.
_LEAVE: Final = """
redis.call('ZREM', KEYS[1], ARGV[1] .. ':' .. ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('ZCARD', KEYS[2])
"""
# KEYS: of the tenant, then of each person. ARGV: life in seconds, then socket and person of each. Sockets live on.
_RENEW: Final = """
local now = tonumber(redis.call('TIME')[1])
for place = 2, #KEYS do
    local socket, person = ARGV[place * 2 - 2], ARGV[place * 2 - 1]
    redis.call('ZADD', KEYS[1], now + ARGV[1], socket .. ':' .. person)
    redis.call('ZADD', KEYS[place], now + ARGV[1], socket)
    redis.call('EXPIRE', KEYS[place], math.ceil(ARGV[1] * 2))
end
"""
# KEYS: of the tenant. ARGV: what precedes a person's key. → people whose last socket was forgotten.
_FORGET: Final = """
local now = tonumber(redis.call('TIME')[1])
local gone = {}
for _, entry in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 500)) do
    redis.call('ZREM', KEYS[1], entry)
    local person = string.sub(entry, string.find(entry, ':') + 1)
    redis.call('ZREMRANGEBYSCORE', ARGV[1] .. person, '-inf', now)
    if redis.call('ZCARD', ARGV[1] .. person) == 0 then gone[#gone + 1] = person end
end
return gone
"""
#: Sockets of streams; those of other kinds are counted apart.
_STREAMS: Final = "sockets"
_LIVES = 3
_SHOWN = 1_000
_TOGETHER = 200


async def enter(tenant_id: UUID, user_id: str, socket_id: str, *, kind: str = _STREAMS) -> bool:
    """Count a socket in; return whether it is the person's first of its kind. Raises ``TooManyRequests``."""
    limits = (settings.LIVE_SOCKETS_PER_USER, settings.LIVE_SOCKETS_PER_TENANT)
    before = await _eval(_ENTER, _keys(tenant_id, user_id, kind), socket_id, user_id, _life(), *limits)
    if before is not None and before < 0:
        whose = "You have" if before == -1 else "This tenant has"
        raise TooManyRequests(f"{whose} too many sockets open.", code="too_many_connections", retry_after=30)
    return bool(before == 0)


async def leave(tenant_id: UUID, user_id: str, socket_id: str, *, kind: str = _STREAMS) -> bool:
    """Count a socket out; return whether it was the person's last."""
    return bool(await _eval(_LEAVE, _keys(tenant_id, user_id, kind), socket_id, user_id) == 0)


async def renew(tenant_id: UUID, sockets: Sequence[tuple[str, str]], *, kind: str = _STREAMS) -> None:
    """Let sockets (id, person) live on for three heartbeats."""
    for start in range(0, len(sockets), _TOGETHER):
        some = sockets[start : start + _TOGETHER]
        keys = [_tenant_key(tenant_id, kind), *(_person_prefix(tenant_id, kind) + user_id for _, user_id in some)]
        await _eval(_RENEW, keys, _life(), *(word for pair in some for word in pair))


async def forget_lost(tenant_id: UUID, *, kind: str = _STREAMS) -> list[str]:
    """Forget sockets that nobody renewed; return who has none left by that."""
    return list(await _eval(_FORGET, [_tenant_key(tenant_id, kind)], _person_prefix(tenant_id, kind)) or [])


async def online(tenant_id: UUID) -> list[str]:
    """Return who is connected, a thousand at most."""

    async def command(client: Redis) -> list[str]:
        return cast("list[str]", await client.zrange(_tenant_key(tenant_id), 0, _SHOWN * 2))

    try:
        entries = await attempt_async(command)
    except RedisUnavailable:
        return []
    return sorted({entry.partition(":")[2] for entry in entries})[:_SHOWN]


def _life() -> float:
    return max(settings.LIVE_HEARTBEAT_SECONDS * _LIVES, 3.0)


def _keys(tenant_id: UUID, user_id: str, kind: str) -> list[str]:
    return [_tenant_key(tenant_id, kind), _person_prefix(tenant_id, kind) + user_id]


def _tenant_key(tenant_id: UUID, kind: str = _STREAMS) -> str:
    return f"tenant:{tenant_id}:{kind}"


def _person_prefix(tenant_id: UUID, kind: str = _STREAMS) -> str:
    return f"tenant:{tenant_id}:{kind}:"


async def _eval(script: str, keys: Sequence[str], *arguments: Any) -> Any:
    """Run a script; None while Redis is down."""
    words: Iterable[str] = (*keys, *(str(argument) for argument in arguments))
    try:
        return await attempt_async(lambda client: cast("Awaitable[Any]", client.eval(script, len(keys), *words)))
    except RedisUnavailable:
        return None
