"""What the HTTP ends of vendors share: magic names in addresses that are no mail addresses, and how to misbehave.

A magic name stands at the start of a device token, ends at the first ``:`` or at the end, and may carry a number
after a ``+``: ``unregistered``, ``slow+0.5``, ``fail-temporary+3:phone-7``.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict

from aiohttp import web

from sandbox.magic import DEFAULT_DELAY, DEFAULT_FAILURES, LONGEST_DELAY

#: Seconds that a rate-limited answer asks for.
RETRY_AFTER = 7

_REMEMBERED_ADDRESSES = 10_000


def magic_name(address: str) -> tuple[str, str]:
    """Return (name, tag) of an address, both in lower case; the tag is empty if there is none."""
    name, _, tag = address.lower().partition(":")[0].partition("+")
    return name, tag


async def linger(tag: str) -> None:
    """Wait as many seconds as the tag says: ``DEFAULT_DELAY`` without a number, at most ``LONGEST_DELAY``."""
    try:
        seconds = float(tag)
    except ValueError:
        seconds = DEFAULT_DELAY
    await asyncio.sleep(min(max(seconds, 0.0), LONGEST_DELAY) if math.isfinite(seconds) else DEFAULT_DELAY)


def hang_up(request: web.Request) -> web.Response:
    """Close the connection without an answer; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


class Failures:
    """Counts how often an address has failed, so that it is accepted in the end."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, int] = OrderedDict()

    def fails_again(self, address: str, tag: str) -> bool:
        """Tell whether an address fails this time: the first n times, then never once, then all over again."""
        wanted = int(tag) if tag.isascii() and tag.isdigit() and len(tag) < 10 else DEFAULT_FAILURES
        failed = self._failed.pop(address, 0)
        if failed >= wanted:
            return False
        self._failed[address] = failed + 1
        if len(self._failed) > _REMEMBERED_ADDRESSES:
            self._failed.popitem(last=False)
        return True
