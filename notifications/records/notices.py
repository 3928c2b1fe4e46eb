"""One notice to a tenant's admins when a channel of theirs keeps failing, and not one for each message.

Failures are counted in Redis over a sliding window. What is counted is the end of a message: a retry that may still
succeed is no news. Nothing here is ever in the way of an outcome: it happens after the commit, and while Redis is down
it does not happen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, cast
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, transaction
from redis.exceptions import RedisError

from notification_service.lib.redis import RedisUnavailable, attempt
from notification_service.lib.scope import tenant_scope
from notifications.records.outcomes import Outcome
from notifications.records.states import Status
from tenants import audit
from tenants.callers import system_caller
from tenants.notices import tell_admins

log = structlog.get_logger(__name__)

#: The window slides by this part of itself.
_SLICES: Final = 10

# KEYS: failures by slice of time and reason; pause. ARGV: seconds of a slice, slices, threshold, seconds of the pause,
# then reason, count, reason, count … → {reason, count …} of the whole window if it is time for a notice.
_COUNT: Final = """
local width, slices = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = math.floor(tonumber(redis.call('TIME')[1]) / width)
for i = 5, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], now .. ':' .. ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], math.ceil(width * (slices + 1) * 1000))
local fields, sums, total = redis.call('HGETALL', KEYS[1]), {}, 0
for i = 1, #fields, 2 do
    local slice, reason = string.match(fields[i], '^(%d+):(.*)$')
    if tonumber(slice) <= now - slices then
        redis.call('HDEL', KEYS[1], fields[i])
    else
        sums[reason] = (sums[reason] or 0) + tonumber(fields[i + 1])
        total = total + tonumber(fields[i + 1])
    end
end
if total < tonumber(ARGV[3]) or not redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[4]) then return {} end
local found = {}
for reason, count in pairs(sums) do found[#found + 1] = reason; found[#found + 1] = tostring(count) end
return found
"""


def watch_failures(outcomes: Sequence[Outcome]) -> None:
    """Count failed live messages once they are committed (``hooks.on_outcomes``), and give notice where it is due."""
    failed: dict[tuple[UUID, str], Counter[str]] = {}
    for outcome in outcomes:
        if outcome.status == Status.FAILED and outcome.claimed.mode == "live":
            counts = failed.setdefault((outcome.claimed.tenant_id, outcome.claimed.channel), Counter())
            counts[str(outcome.result.reason or "unknown_error")] += 1
    for (tenant_id, channel), counts in failed.items():
        transaction.on_commit(partial(_count, tenant_id, channel, counts), robust=True)


def _count(tenant_id: UUID, channel: str, counts: Mapping[str, int]) -> None:
    pause = f"tenant:{tenant_id}:failures:{channel}:told"
    keys = (f"tenant:{tenant_id}:failures:{channel}", pause)
    arguments: list[str] = [
        str(max(settings.FAILURE_NOTICE_WINDOW_SECONDS / _SLICES, 1)),
        str(_SLICES),
        str(settings.FAILURE_NOTICE_COUNT),
        str(settings.FAILURE_NOTICE_PAUSE_SECONDS),
        *(str(part) for item in counts.items() for part in item),
    ]
    try:
        found = cast("list[str]", attempt(lambda client: client.eval(_COUNT, len(keys), *keys, *arguments)))
        if not found:
            return
        reasons = {reason: int(count) for reason, count in zip(found[::2], found[1::2], strict=True)}
        try:
            _give_notice(tenant_id, channel, reasons)
        except DatabaseError:
            attempt(lambda client: client.delete(pause))  # nobody has heard of it: the next failure tries again
            raise
    except (RedisUnavailable, RedisError, DatabaseError) as error:
        log.warning("failure_notice_not_given", tenant_id=str(tenant_id), channel=channel, error=type(error).__name__)


def _give_notice(tenant_id: UUID, channel: str, reasons: Mapping[str, int]) -> None:
    failed, minutes = sum(reasons.values()), round(settings.FAILURE_NOTICE_WINDOW_SECONDS / 60) or 1
    with tenant_scope(tenant_id):
        audit.record(
            system_caller(tenant_id, "delivery"),
            "delivery.failing",
            "channel",
            channel,
            failed=failed,
            reasons=dict(sorted(reasons.items())),
            window_seconds=settings.FAILURE_NOTICE_WINDOW_SECONDS,
        )
        lines = [f"- {reason}: {count}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1])]
        tell_admins(
            tenant_id,
            f"Messages on the channel {channel} keep failing",
            f"{failed} messages on the channel {channel} have failed in the last {minutes} minutes.\n\n"
            + "\n".join(lines)
            + "\n\nEach record says why it failed, in the provider's own words.",
        )
    log.warning("delivery_failing", tenant_id=str(tenant_id), channel=channel, failed=failed, reasons=dict(reasons))
