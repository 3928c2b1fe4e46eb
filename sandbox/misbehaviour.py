"""What a pretend vendor's HTTP end can do instead of answering properly, and after it took a message."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

SLOW = 5.0  # seconds
HANG = 120.0  # seconds, and then the connection is closed
HALF_CLOSED = 5.0  # seconds, and then the other half is closed as well
DEFAULT_FAILURES = 2
_REMEMBERED = 10_000

#: ``drop``: the connection is closed and nothing is kept; ``half_close``: our end of it is, and we go on listening;
#: ``lost``: the message is kept, and its answer is lost.
Way = Literal["", "slow", "hang", "drop", "half_close", "lost", "html", "garbage", "redirect"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One row of a vendor's table of magic recipients.

    ``status``, ``code`` and ``message`` are a refusal in the vendor's own form; ``failures`` limits how often in a row
    it is given, or the ``way`` taken. ``receipt`` is the outcome that is reported after an acceptance, with
    ``receipt_code``.
    """

    effect: str
    status: int = 0
    code: int = 0
    message: str = ""
    retry_after: str = ""
    failures: int = 0
    way: Way = ""
    receipt: str = ""
    receipt_code: int = 0


async def act(request: web.Request, behaviour: Behaviour) -> web.Response | None:
    """Do what the behaviour says before anything is kept; return an answer, or None to go on as usual."""
    match behaviour.way:
        case "slow":
            await asyncio.sleep(SLOW)
        case "hang":
            await asyncio.sleep(HANG)
            return hang_up(request)
        case "drop":
            return hang_up(request)
        case "half_close":
            if request.transport is not None:
                request.transport.write_eof()
            await asyncio.sleep(HALF_CLOSED)
            return hang_up(request)
        case "html":
            page = "<html><head><title>500 Internal Server Error</title></head><body><h1>Oops</h1></body></html>"
            return web.Response(status=500, text=page, content_type="text/html")
        case "garbage":
            return web.Response(status=200, text="{not json", content_type="application/json")
        case "redirect":
            return web.Response(status=307, headers={"Location": "/elsewhere"})
    return None


def hang_up(request: web.Request) -> web.Response:
    """Close the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


class Failures:
    """Counts refusals by recipient: so many in a row, then one acceptance, then all over again."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, int] = OrderedDict()

    def refuses(self, recipient: str, limit: int) -> bool:
        """Whether this one is refused. A limit of 0 means always."""
        if not limit:
            return True
        seen = self._seen.pop(recipient, 0)
        if seen >= limit:
            return False
        self._seen[recipient] = seen + 1
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return True


def _answer(row: Behaviour) -> str:
    return " ".join(part for part in (str(row.status or ""), str(row.code or ""), row.message) if part)


def rules(vendor: str, channel: str, rows: Mapping[str, Behaviour]) -> list[dict[str, str]]:
    """Return a vendor's magic recipients for the API: name, example, effect, reply, channel and vendor."""
    return [
        {
            "name": recipient,
            "example": recipient,
            "effect": row.effect,
            "reply": _answer(row),
            "channel": channel,
            "vendor": vendor,
        }
        for recipient, row in rows.items()
    ]


def markdown_table(rows: Mapping[str, Behaviour]) -> str:
    """Return magic recipients as a Markdown table; the documentation page holds exactly this text."""
    lines = [
        f"| `{recipient}` | {f'`{_answer(row)}`' if _answer(row) else ''} | {row.effect} |"
        for recipient, row in rows.items()
    ]
    return "\n".join(["| Recipient | Answer | What happens |", "|---|---|---|", *lines])
