"""Magic names in addresses that are neither mail addresses nor telephone numbers, such as device tokens.

A name stands at the start of the address, ends at the first ``:`` or at the end, and may carry a number after a ``+``:
``unregistered``, ``slow+0.5``, ``fail-temporary+3:phone-7``.
"""

from __future__ import annotations

import asyncio
import math

from sandbox.magic import DEFAULT_DELAY, DEFAULT_FAILURES, LONGEST_DELAY

#: Seconds that a rate-limited answer asks for.
RETRY_AFTER = 7


def magic_name(address: str) -> tuple[str, str]:
    """Return (name, tag) of an address, both in lower case; the tag is empty if there is none."""
    name, _, tag = address.lower().partition(":")[0].partition("+")
    return name, tag


def times(tag: str) -> int:
    """Return how many failures in a row a tag asks for, at least one; ``DEFAULT_FAILURES`` without a number."""
    return max(int(tag), 1) if tag.isascii() and tag.isdigit() and len(tag) < 10 else DEFAULT_FAILURES


async def linger(tag: str) -> None:
    """Wait as many seconds as a tag says: ``DEFAULT_DELAY`` without a number, at most ``LONGEST_DELAY``."""
    try:
        seconds = float(tag)
    except ValueError:
        seconds = DEFAULT_DELAY
    await asyncio.sleep(min(max(seconds, 0.0), LONGEST_DELAY) if math.isfinite(seconds) else DEFAULT_DELAY)
