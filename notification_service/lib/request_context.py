"""What every line of log and audit wants to know of the request at hand: its id, and where it came from."""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def is_request_id(text: str) -> bool:
    """Whether a caller's ``X-Request-ID`` can be taken over."""
    return bool(_REQUEST_ID.fullmatch(text))


@dataclass(frozen=True, slots=True)
class RequestContext:
    """``ip`` is the caller's address as trusted proxies report it."""

    request_id: str
    ip: str | None
    user_agent: str


_current: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


def current_request() -> RequestContext | None:
    """Return the request at hand, or None outside requests."""
    return _current.get()


def set_current_request(context: RequestContext | None) -> None:
    """Say which request is at hand (the middleware's business)."""
    _current.set(context)
