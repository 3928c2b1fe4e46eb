"""What a tenant may do by its plan: requests a second and notifications a month, asked in one trip to Redis.

Redis is where the counters live because asking it costs a fraction of a millisecond. While it is down nobody is turned
away by quota, and rates are kept per process: a promise that we could keep is worth more than a limit.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

from django.utils import timezone

from notification_service.lib.errors import TooManyRequests
from notification_service.lib.rate_limit import Limit, peek, take, take_some
from notification_service.lib.redis import RedisUnavailable, attempt, attempt_async
from tenants.models import Plan, Tenant

_EVENT_RATE: Final = Limit(1_000_000, 10.0)


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """``requests`` at the doors that write; ``notifications`` and ``events`` a calendar month (UTC), None: no limit.

    ``event_rate`` is of events, however many come in one request.
    """

    requests: Limit
    notifications: int | None
    event_rate: Limit = _EVENT_RATE
    events: int | None = None


PLAN_LIMITS: Final[Mapping[str, PlanLimits]] = {
    Plan.FREE: PlanLimits(Limit(200, 10.0), 5_000, Limit(2_000, 10.0), 50_000),
    Plan.STARTER: PlanLimits(Limit(1_000, 10.0), 100_000, Limit(10_000, 10.0), 1_000_000),
    Plan.PROFESSIONAL: PlanLimits(Limit(10_000, 10.0), 1_000_000, Limit(100_000, 10.0), 10_000_000),
    Plan.ENTERPRISE: PlanLimits(Limit(100_000, 10.0), None),
}

# KEYS: bucket, counter of the month. ARGV: tokens a second, capacity, requests, notifications in each, quota (0: none).
# → {requests granted, seconds until the next, 1 if it is the quota that is used up}
_SCRIPT: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local rate, capacity, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local each, quota = tonumber(ARGV[4]), tonumber(ARGV[5])
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = math.min(capacity, (tonumber(bucket[1]) or capacity) + (now - (tonumber(bucket[2]) or now)) * rate)
local granted, spent = math.min(wanted, math.floor(tokens)), 0
if quota > 0 then
    local left = math.floor((quota - tonumber(redis.call('GET', KEYS[2]) or '0')) / each)
    if left < granted then granted, spent = math.max(left, 0), 1 end
end
if granted > 0 then
    redis.call('INCRBY', KEYS[2], granted * each)
    redis.call('EXPIRE', KEYS[2], 5184000)
end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens - granted), 'at', tostring(now))
redis.call('PEXPIRE', KEYS[1], math.ceil(capacity / rate * 1000) + 1000)
return {granted, tostring(math.max(0, (1 - tokens + granted) / rate)), spent}
"""


@dataclass(frozen=True, slots=True)
class _Facts:
    """What every request wants to know of its tenant; ``until`` is when it must be looked up again."""

    limits: PlanLimits
    default_region: str | None
    until: float


_KNOWN_SECONDS: Final = 10.0
_known: dict[UUID, _Facts] = {}


def admit(tenant_id: UUID, mode: str, *, notifications: int = 1) -> None:
    """Let one request with so many notifications pass, or raise ``TooManyRequests``: ``throttled``, ``quota_exceeded``.

    Test traffic has a rate and no quota.
    """
    limits = _limits(tenant_id)
    keys, arguments = _question(tenant_id, mode, limits, 1, notifications)
    try:
        granted, wait, spent = cast(
            "tuple[int, str, int]", attempt(lambda client: client.eval(_SCRIPT, 2, *keys, *arguments))
        )
    except RedisUnavailable:
        decision = take(f"tenant:{tenant_id}", limits.requests)
        granted, wait, spent = int(decision.allowed), str(decision.retry_after), 0
    if granted:
        return
    if spent:
        raise TooManyRequests(
            "This month's quota of notifications is used up.", code="quota_exceeded", retry_after=_until_next_month()
        )
    raise TooManyRequests("Too many requests: slow down.", retry_after=max(float(wait), 0.1))


async def admit_some(tenant_id: UUID, mode: str, requests: int, limits: PlanLimits) -> int:
    """Return how many of several requests with one notification each may pass (for doors that gather them)."""
    keys, arguments = _question(tenant_id, mode, limits, requests, 1)
    try:
        answer = await attempt_async(
            lambda client: cast("Awaitable[list[Any]]", client.eval(_SCRIPT, 2, *keys, *arguments))
        )
    except RedisUnavailable:
        return sum(take(f"tenant:{tenant_id}", limits.requests).allowed for _ in range(requests))
    return int(answer[0])


def admit_events(tenant_id: UUID, mode: str, count: int) -> int:
    """Return how many of so many events may come in now, at least one.

    Raises ``TooManyRequests``: ``throttled``, or ``quota_exceeded`` if the month's events are used up.
    """
    rate, left = _limits(tenant_id).event_rate, events_left(tenant_id, mode)
    if left is not None and left <= 0:
        raise events_used_up()
    key, wanted = f"tenant:{tenant_id}:events", count if left is None else min(count, left)
    granted = take_some(key, rate, wanted)
    if not granted:
        raise TooManyRequests("Too many events: slow down.", retry_after=max(peek(key, rate).retry_after, 0.1))
    return granted


def events_left(tenant_id: UUID, mode: str) -> int | None:
    """Return how many events a tenant may still send this month; None without a limit, and while Redis is down."""
    most = _limits(tenant_id).events
    if most is None or mode != "live":
        return None
    try:
        used = attempt(lambda client: cast("str | None", client.get(_events_key(tenant_id, mode))))
    except RedisUnavailable:
        return None
    return max(0, most - int(used or 0))


def count_events(tenant_id: UUID, mode: str, count: int) -> None:
    """Count events that were stored for the first time; what comes twice is counted once."""
    key = _events_key(tenant_id, mode)

    def add(client: Any) -> None:
        client.incrby(key, count)
        client.expire(key, 5_184_000)

    try:
        attempt(add)
    except RedisUnavailable:
        return


def events_used_up() -> TooManyRequests:
    """Return the error of events that come when the month's are used up."""
    return TooManyRequests(
        "This month's quota of events is used up.", code="quota_exceeded", retry_after=_until_next_month()
    )


def _events_key(tenant_id: UUID, mode: str) -> str:
    return f"tenant:{tenant_id}:events:{mode}:{timezone.now():%Y-%m}"


def month_so_far(tenant_id: UUID) -> tuple[int, int | None]:
    """Return a tenant's live notifications of this calendar month, and its quota; nothing while Redis is down."""
    limits = _limits(tenant_id)
    (_, counter), _ = _question(tenant_id, "live", limits, 0, 0)
    try:
        used = int(cast("str | None", attempt(lambda client: client.get(counter))) or 0)
    except RedisUnavailable:
        used = 0
    return used, limits.notifications


def known_limits(tenant_id: UUID) -> PlanLimits | None:
    """Return a tenant's limits if this process has looked them up within ten seconds."""
    found = _known.get(tenant_id)
    return found.limits if found and found.until > time.monotonic() else None


def default_region(tenant_id: UUID) -> str | None:
    """Return the region (ISO 3166) of a tenant's phone numbers that name no country, as of at most ten seconds ago."""
    found = _known.get(tenant_id)
    return (found if found and found.until > time.monotonic() else _look_up(tenant_id)).default_region


def forget(tenant_id: UUID) -> None:
    """Look a tenant up again at the next request: it has changed."""
    _known.pop(tenant_id, None)


def _limits(tenant_id: UUID) -> PlanLimits:
    """Return a tenant's limits, looked up again well before the fast doors would have to do without them."""
    found = _known.get(tenant_id)
    if found and found.until > time.monotonic() + _KNOWN_SECONDS / 2:
        return found.limits
    return _look_up(tenant_id).limits


def _look_up(tenant_id: UUID) -> _Facts:
    plan, settings = Tenant.objects.values_list("plan", "settings").get(id=tenant_id)
    facts = _Facts(PLAN_LIMITS[plan], settings.get("default_region"), time.monotonic() + _KNOWN_SECONDS)
    _known[tenant_id] = facts
    return facts


def _question(
    tenant_id: UUID, mode: str, limits: PlanLimits, requests: int, each: int
) -> tuple[tuple[str, str], tuple[str, ...]]:
    month = timezone.now().strftime("%Y-%m")
    quota = (limits.notifications or 0) if mode == "live" else 0
    keys = (f"tenant:{tenant_id}:requests", f"tenant:{tenant_id}:notifications:{mode}:{month}")
    return keys, (str(limits.requests.rate), str(limits.requests.capacity), str(requests), str(each), str(quota))


def _until_next_month() -> float:
    now = timezone.now()
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
    return (following - now).total_seconds()
