"""Callers who have been let in a moment ago: for doors that are asked thousands of times a second.

An entry lives for less than a second, so whatever ends a caller's rights (a revoked key, a lost membership, a suspended
tenant, an expired token) is felt within one, everywhere, without anybody having to tell every process. Half a second
before its end one request is sent the long way to renew it, while the others still pass. Refusals are not kept: they
always go the long way.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Final

from tenants.callers import Caller

_FRESH: Final = 0.4
_LIVES: Final = 0.9
_ENTRIES: Final = 10_000


@dataclass(slots=True)
class _Entry:
    caller: Caller
    renew_at: float
    ends_at: float


class CallerCache:
    """Callers by the credentials that they showed and the address they called from. Not shared between processes."""

    def __init__(self) -> None:
        self._entries: dict[bytes, _Entry] = {}

    def get(self, fingerprint: bytes) -> Caller | None:
        """Return the caller, or None to whoever must go the long way (nobody known, or it is time to renew)."""
        entry = self._entries.get(fingerprint)
        now = time.monotonic()
        if entry is None:
            return None
        if now >= entry.ends_at:
            self._entries.pop(fingerprint, None)
            return None
        if now >= entry.renew_at:
            entry.renew_at = entry.ends_at  # this request renews it; the others still pass
            return None
        return entry.caller

    def remember(self, fingerprint: bytes, caller: Caller) -> None:
        """Keep a caller who has just been let in."""
        if len(self._entries) >= _ENTRIES:
            self._entries.clear()
        now = time.monotonic()
        self._entries[fingerprint] = _Entry(caller, now + _FRESH, now + _LIVES)

    def clear(self) -> None:
        """Forget everybody."""
        self._entries.clear()


callers = CallerCache()


def fingerprint(authorization: str, key: str, secret: str, peer: str, forwarded_for: str) -> bytes:
    """Return what stands for a set of credentials and an address; the credentials themselves are not kept."""
    joined = "\x00".join((authorization, key, secret, peer, forwarded_for))
    return hashlib.blake2b(joined.encode("utf-8", "surrogateescape"), digest_size=16).digest()
