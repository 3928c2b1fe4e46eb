"""Rate limits: token buckets in Redis, shared by all processes; in memory, per process, while Redis is down."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, cast

import redis

from notification_service.lib.redis import RedisUnavailable, attempt

# KEYS[1] bucket; ARGV: tokens per second, capacity, tokens wanted, take|some|peek.
# → {taken?, seconds until enough, how many}.
# The clock is Redis's own, so that no caller's clock matters.
_SCRIPT = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local rate, capacity, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = math.min(capacity, (tonumber(bucket[1]) or capacity) + (now - (tonumber(bucket[2]) or now)) * rate)
if ARGV[4] == 'some' then wanted = math.max(0, math.min(wanted, math.floor(tokens))) end
local taken, wait = 0, 0
if tokens >= wanted then taken = 1 else wait = (wanted - tokens) / rate end
if taken == 1 and ARGV[4] ~= 'peek' then tokens = tokens - wanted end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', tostring(now))
redis.call('PEXPIRE', KEYS[1], math.ceil(capacity / rate * 1000) + 1000)
return {taken, tostring(wait), wanted}
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """``capacity`` at once, refilled evenly over ``seconds``."""

    capacity: int
    seconds: float

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self.capacity / self.seconds


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the tokens were taken; if not, after how many seconds they can be."""

    allowed: bool
    retry_after: float = 0.0


def take(key: str, limit: Limit, cost: int = 1) -> Decision:
    """Take ``cost`` tokens from the bucket ``key``, or none."""
    return _ask(key, limit, cost, keep=False)


def take_some(key: str, limit: Limit, wanted: int) -> int:
    """Take up to ``wanted`` tokens; return how many there were."""

    def command(client: redis.Redis) -> int:
        arguments = (str(limit.rate), str(limit.capacity), str(wanted), "some")
        return int(cast("list[Any]", client.eval(_SCRIPT, 1, f"limit:{key}", *arguments))[2])

    try:
        return attempt(command)
    except RedisUnavailable:
        return sum(_ask_memory(key, limit, 1, keep=False).allowed for _ in range(wanted))


def peek(key: str, limit: Limit) -> Decision:
    """Say whether one token could be taken, without taking it."""
    return _ask(key, limit, 1, keep=True)


_memory: dict[str, tuple[float, float]] = {}
_memory_lock = threading.Lock()
_MEMORY_BUCKETS = 10_000


def _ask(key: str, limit: Limit, cost: int, *, keep: bool) -> Decision:
    def command(client: redis.Redis) -> Decision:
        arguments = (str(limit.rate), str(limit.capacity), str(cost), "peek" if keep else "take")
        taken, wait, _ = cast("list[Any]", client.eval(_SCRIPT, 1, f"limit:{key}", *arguments))
        return Decision(bool(taken), float(wait))

    try:
        return attempt(command)
    except RedisUnavailable:
        return _ask_memory(key, limit, cost, keep)


def _ask_memory(key: str, limit: Limit, cost: int, keep: bool) -> Decision:
    now = time.monotonic()
    with _memory_lock:
        if len(_memory) > _MEMORY_BUCKETS:
            _memory.clear()
        tokens, at = _memory.get(key, (float(limit.capacity), now))
        tokens = min(limit.capacity, tokens + (now - at) * limit.rate)
        allowed = tokens >= cost
        _memory[key] = (tokens - cost if allowed and not keep else tokens, now)
        return Decision(allowed, 0.0 if allowed else (cost - tokens) / limit.rate)
