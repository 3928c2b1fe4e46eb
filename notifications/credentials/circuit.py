"""Circuits: a credential whose provider keeps failing is left alone for a while, then tried with one message.

closed → (failures in a row) → open → (time passes) → half-open → one good answer closes it, one bad answer opens it for
twice as long. The state is Redis's: every worker sees it, and losing it costs a few failures. While Redis is down every
circuit counts as closed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, cast
from uuid import UUID

from notification_service.lib.redis import RedisUnavailable, attempt

#: Failures without a success in between that open a circuit.
FAILURES_TO_OPEN: Final = 5
_OPEN_SECONDS: Final = 15
_OPEN_AT_MOST: Final = 300
_PROBE_MS: Final = 20_000

State = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class Circuit:
    """``failures`` in a row; ``open_until`` is set while it is open."""

    state: State = "closed"
    failures: int = 0
    open_until: datetime | None = None


# KEYS[1] circuit; ARGV: now, good answers, bad answers, threshold, seconds open, at most.
_REPORT: Final = """
local now, good, bad = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if good > 0 then redis.call('DEL', KEYS[1], KEYS[2]) return 0 end
if bad == 0 then return 0 end
local failures = redis.call('HINCRBY', KEYS[1], 'failures', bad)
local open_until = tonumber(redis.call('HGET', KEYS[1], 'open_until') or '0')
if failures >= tonumber(ARGV[4]) and open_until <= now then
    local opened = redis.call('HINCRBY', KEYS[1], 'opened', 1)
    local seconds = math.min(tonumber(ARGV[5]) * 2 ^ (opened - 1), tonumber(ARGV[6]))
    redis.call('HSET', KEYS[1], 'open_until', tostring(now + seconds))
    redis.call('DEL', KEYS[2])
end
redis.call('EXPIRE', KEYS[1], 86400)
return 1
"""


def report(tenant_id: UUID, credential_id: UUID, *, good: int, bad: int) -> None:
    """Say how a provider answered: ``good`` means that it worked, whatever it thought of the message."""
    keys = (_key(tenant_id, credential_id), _probe_key(tenant_id, credential_id))
    arguments = (time.time(), good, bad, FAILURES_TO_OPEN, _OPEN_SECONDS, _OPEN_AT_MOST)
    try:
        attempt(lambda client: client.eval(_REPORT, 2, *keys, *map(str, arguments)))
    except RedisUnavailable:
        return


def circuits(tenant_id: UUID, credential_ids: Sequence[UUID]) -> dict[UUID, Circuit]:
    """Return the circuit of each credential, in one trip."""
    found = circuits_of([(tenant_id, credential_id) for credential_id in credential_ids])
    return dict(zip(credential_ids, found, strict=True))


def circuits_of(credentials: Sequence[tuple[UUID, UUID]]) -> list[Circuit]:
    """Return the circuits of credentials of any tenants, given as (tenant, credential), in one trip."""

    def ask(client: Any) -> list[list[str | None]]:
        pipeline = client.pipeline(transaction=False)
        for tenant_id, credential_id in credentials:
            pipeline.hmget(_key(tenant_id, credential_id), "failures", "open_until")
        return cast("list[list[str | None]]", pipeline.execute())

    try:
        answers = attempt(ask) if credentials else []
    except RedisUnavailable:
        answers = [[None, None] for _ in credentials]
    return [_circuit(*answer) for answer in answers]


def may_probe(tenant_id: UUID, credential_id: UUID) -> bool:
    """Whether the caller is the one who tries a half-open circuit; the others wait for what comes of it."""
    key = _probe_key(tenant_id, credential_id)
    try:
        return bool(attempt(lambda client: client.set(key, "1", nx=True, px=_PROBE_MS)))
    except RedisUnavailable:
        return True


def reset(tenant_id: UUID, credential_id: UUID) -> None:
    """Close a circuit: somebody has changed the credential."""
    keys = (_key(tenant_id, credential_id), _probe_key(tenant_id, credential_id))
    try:
        attempt(lambda client: client.delete(*keys))
    except RedisUnavailable:
        return


def _circuit(failures: str | None, open_until: str | None) -> Circuit:
    count = int(failures or 0)
    if open_until is None:
        return Circuit("closed", count)
    if float(open_until) > time.time():
        return Circuit("open", count, datetime.fromtimestamp(float(open_until), tz=UTC))
    return Circuit("half_open", count)


def _key(tenant_id: UUID, credential_id: UUID) -> str:
    return f"tenant:{tenant_id}:circuit:{credential_id}"


def _probe_key(tenant_id: UUID, credential_id: UUID) -> str:
    return f"{_key(tenant_id, credential_id)}:probe"
