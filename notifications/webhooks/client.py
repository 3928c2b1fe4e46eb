"""One call of a receiver: to a judged address, in bounded time, and what it answered.

No redirect is followed, nothing private is connected to (``OUTBOUND_ALLOWED_NETWORKS`` excepted), and no more of an
answer is read than is kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from django.conf import settings

from notification_service.lib.net import BlockedAddress, NetworkPolicy
from notifications.providers.http_client import ClearTextRefused, guarded_session, retry_after_of
from notifications.webhooks.models import MAX_RESPONSE

#: Longest pause that a receiver can ask for, in seconds.
MAX_RETRY_AFTER: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call. ``status`` is None if nobody answered; then ``error`` says why. Times are in seconds."""

    status: int | None
    body: str = ""
    error: str = ""
    seconds: float = 0.0
    retry_after: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the receiver has it."""
        return self.status is not None and 200 <= self.status < 300


class WebhookClient:
    """Calls receivers of any tenant; belongs to one event loop."""

    def __init__(self) -> None:
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send one request. Raises nothing for what the receiver or the network does."""
        begun = time.monotonic()
        try:
            session = self._session(url.startswith("http:"))
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                status, retry_after = response.status, retry_after_of(response.headers, most=MAX_RETRY_AFTER)
                text = await _read(response)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(None, error=_words(error), seconds=time.monotonic() - begun)
        problem = "" if 200 <= status < 300 else f"answered {status}"
        if 300 <= status < 400:
            problem += "; redirects are not followed"
        return Answer(status, text, problem, time.monotonic() - begun, retry_after)

    async def aclose(self) -> None:
        """Close the connections."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    def _session(self, clear_text: bool) -> aiohttp.ClientSession:
        session = self._sessions.get(clear_text)
        if session is None:
            policy = NetworkPolicy.parse(settings.OUTBOUND_ALLOWED_NETWORKS)
            timeout = aiohttp.ClientTimeout(total=settings.WEBHOOK_TIMEOUT_SECONDS, sock_connect=5)
            session = self._sessions[clear_text] = guarded_session(policy, clear_text=clear_text, timeout=timeout)
        return session


async def _read(response: aiohttp.ClientResponse) -> str:
    """Return the beginning of an answer; its status is known, so what breaks off here is no failure."""
    found = bytearray()
    try:
        while len(found) < MAX_RESPONSE and (piece := await response.content.readany()):
            found += piece
    except (aiohttp.ClientError, OSError):
        response.close()
    # By bytes: a character that is cut in two is left out, and PostgreSQL stores no NUL.
    return bytes(found[:MAX_RESPONSE]).decode("utf-8", "ignore").replace("\x00", "")


def _words(error: Exception) -> str:
    """Say what went wrong, without what it is that may not be reached."""
    cause = getattr(error, "os_error", None) or error.__cause__
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"the server's certificate is not valid: {error.certificate_error}"[:500]
        case aiohttp.ClientConnectorDNSError() if isinstance(cause, BlockedAddress):
            return "the address is not allowed: it is not public"
        case aiohttp.ClientConnectorDNSError() if isinstance(cause, ClearTextRefused):
            return "http is allowed to permitted networks only; use https"
        case aiohttp.ClientConnectorDNSError():
            return "the host name does not resolve"
        case aiohttp.ClientConnectorSSLError():
            return "the TLS handshake failed"
        case aiohttp.ClientConnectorError():
            return "no connection"
        case aiohttp.ConnectionTimeoutError():
            return "time-out while connecting"
        case TimeoutError():
            return "time-out: no answer in time"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            return "the connection was closed without an answer"
        case aiohttp.ClientResponseError():
            return "the answer is not HTTP"
        case aiohttp.InvalidURL():
            return "the address is not valid"
        case _:
            return "the connection failed"
