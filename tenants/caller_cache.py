"""Callers who have been let in a moment ago: for doors that are asked thousands of times a second.

An entry lives for less than a second, so whatever ends a caller's rights (a revoked key, a lost membership, a suspended
tenant, an expired token) is felt within one, everywhere, without anybody having to tell every process. Half a second
before its end one request is sent the long way to renew it, while the others still pass. Refusals are not kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass
from typing import Final

from tenants.callers import Caller

_FRESH: Final = 0.4
_LIVES: Final = 0.9
_ENTRIES: Final = 10_000
#: How long the long way may take before another request tries, and how often those who wait look, in seconds.
_RENEWAL: Final = 1.0
_PAUSE: Final = 0.005
_LOOKS: Final = 200


@dataclass(slots=True)
class _Entry:
    caller: Caller
    renew_at: float
    ends_at: float


class CallerCache:
    """Callers by the credentials that they showed and the address they called from. Not shared between processes."""

    def __init__(self) -> None:
        self._entries: dict[bytes, _Entry] = {}
        #: Until when somebody is believed to be on the long way for these credentials.
        self._renewed_by: dict[bytes, float] = {}

    async def get(self, fingerprint: bytes) -> Caller | None:
        """Return the caller, or None to whoever must go the long way: one at a time for the same credentials.

        The others wait for what comes of it, for a moment, instead of all going the long way at once.
        """
        caller, must_go = self._look(fingerprint)
        for _ in range(_LOOKS):
            if caller is not None or must_go:
                break
            await asyncio.sleep(_PAUSE)
            caller, must_go = self._look(fingerprint)
        return caller

    def _look(self, fingerprint: bytes) -> tuple[Caller | None, bool]:
        """Return the caller if one is known, and whether this request is the one that has to renew it."""
        now = time.monotonic()
        entry = self._entries.get(fingerprint)
        if entry is not None and now < entry.renew_at:
            return entry.caller, False
        if self._renewed_by.get(fingerprint, 0.0) < now:  # nobody is on the way, or whoever was has not come back
            if len(self._renewed_by) >= _ENTRIES:
                self._renewed_by.clear()
            self._renewed_by[fingerprint] = now + _RENEWAL
            return None, True
        return (entry.caller if entry is not None and now < entry.ends_at else None), False

    def remember(self, fingerprint: bytes, caller: Caller) -> None:
        """Keep a caller who has just been let in."""
        if len(self._entries) >= _ENTRIES:
            self._entries.clear()
        now = time.monotonic()
        self._entries[fingerprint] = _Entry(caller, now + _FRESH, now + _LIVES)
        self._renewed_by.pop(fingerprint, None)

    def forget(self, fingerprint: bytes) -> None:
        """Forget a caller who has just been turned away."""
        self._entries.pop(fingerprint, None)
        self._renewed_by.pop(fingerprint, None)

    def clear(self) -> None:
        """Forget everybody."""
        self._entries.clear()
        self._renewed_by.clear()


callers = CallerCache()


def fingerprint(authorization: str, key: str, secret: str, peer: str, forwarded_for: str) -> bytes:
    """Return what stands for a set of credentials and an address; the credentials themselves are not kept."""
    joined = "\x00".join((authorization, key, secret, peer, forwarded_for))
    return hashlib.blake2b(joined.encode("utf-8", "surrogateescape"), digest_size=16).digest()
