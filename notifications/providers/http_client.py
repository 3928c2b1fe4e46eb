"""A guarded HTTP client: one session per event loop, hosts resolved once and judged, answers bounded.

Redirects are not followed, and clear-text HTTP goes to explicitly allowed networks only.
"""

from __future__ import annotations

import ipaddress
import math
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, ClassVar

import aiohttp
import orjson
from aiohttp.abc import AbstractStreamWriter, ResolveResult
from pydantic import AfterValidator

from notification_service.lib.net import PUBLIC_ONLY, BlockedAddress, NetworkPolicy, http_parts, resolve_allowed
from notifications.providers.base import FailureReason, SendResult

#: Longest text of the other side that is kept, in characters.
MAX_RESPONSE = 500
#: Largest answer that is read, in bytes; a vendor's answer to one message has a few hundred.
MAX_ANSWER = 256 * 1024
#: Longest pause that a vendor can ask for, in seconds.
MAX_RETRY_AFTER = 24 * 3600.0
#: Seconds for which an idle connection is kept: less than any vendor's own limit, so that it is us who close.
KEEP_ALIVE = 15.0

_R = FailureReason


def check_base_url(value: str) -> str:
    """Return an address without its trailing slash. Raises ``ValueError`` for all but a plain HTTP(S) address."""
    url = http_parts(value)
    if url is None:
        raise ValueError("Enter an address such as https://api.example.com.")
    if url.query or url.fragment or url.username is not None or url.password is not None:
        raise ValueError("Enter the address without user name, query or fragment.")
    return value.rstrip("/")


#: Address of a vendor's API in a credential: https, or http where the installation allows the network.
BaseUrl = Annotated[str, AfterValidator(check_base_url)]


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer that came in full. ``retry_after`` is in seconds, as the ``Retry-After`` header asks."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    retry_after: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the status says that the request was carried out."""
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any] | None:
        """Return the body if it is a JSON object, else ``None``."""
        try:
            found = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
        return found if isinstance(found, dict) else None


class HttpError(Exception):
    """No usable answer. ``ambiguous`` tells that the request had been written, so that it may have been carried out."""

    def __init__(
        self, text: str, *, reason: FailureReason = _R.NETWORK_ERROR, retryable: bool = True, ambiguous: bool = False
    ) -> None:
        super().__init__(text)
        self.text = text
        self.reason = reason
        self.retryable = retryable
        self.ambiguous = ambiguous

    def result(self, secrets: tuple[str, ...] = ()) -> SendResult:
        """Return the failure as a result, without the secrets."""
        return SendResult.failure(
            self.reason, redact(self.text, secrets), retryable=self.retryable, ambiguous=self.ambiguous
        )


class ClearTextRefused(OSError):
    """Clear-text HTTP to an address that is in no allowed network."""


class _TooLarge(aiohttp.ClientError):
    """An answer of more than ``MAX_ANSWER`` bytes."""


class GuardedConnector(aiohttp.TCPConnector):
    """Connects to the address that was judged, and to no other; also for hosts that are written as addresses."""

    def __init__(self, policy: NetworkPolicy, *, clear_text: bool) -> None:
        super().__init__(limit=0, limit_per_host=256, keepalive_timeout=KEEP_ALIVE, use_dns_cache=False)
        self._policy = policy
        self._clear_text = clear_text

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> list[ResolveResult]:
        found = await resolve_allowed(host, port, self._policy.allowed_networks)
        if not all(self._policy.permits(ipaddress.ip_address(ip), clear_text=self._clear_text) for _, ip in found):
            raise ClearTextRefused
        return [
            ResolveResult(hostname=host, host=text, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)
            for family, text in found
        ]


def guarded_session(policy: NetworkPolicy, *, clear_text: bool, **options: Any) -> aiohttp.ClientSession:
    """Return a session for addresses that a tenant supplied: guarded, without cookies and without a proxy.

    ``options`` are those of ``aiohttp.ClientSession``.
    """
    return aiohttp.ClientSession(
        connector=GuardedConnector(policy, clear_text=clear_text),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        **options,
    )


class _Body(aiohttp.BytesPayload):
    """A body that knows whether a connection was there to write it to: before that, nobody can have acted on it."""

    written = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self.written = True
        await super().write_with_length(writer, content_length)


class HttpClient:
    """Sends requests of any tenant's; belongs to one event loop."""

    #: Seconds to open a connection, and for everything from the first step to the last byte of the answer.
    connect_timeout: ClassVar[float] = 5.0
    total_timeout: ClassVar[float] = 20.0

    def __init__(self, *, network_policy: NetworkPolicy = PUBLIC_ONLY) -> None:
        #: Which addresses a host that a tenant supplied may have.
        self.network_policy = network_policy
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    def _session(self, clear_text: bool) -> aiohttp.ClientSession:
        session = self._sessions.get(clear_text)
        if session is None:
            session = self._sessions[clear_text] = guarded_session(
                self.network_policy,
                clear_text=clear_text,
                headers={"User-Agent": "notification-service"},
                skip_auto_headers=("Content-Type",),
                timeout=aiohttp.ClientTimeout(total=self.total_timeout, sock_connect=self.connect_timeout),
            )
        return session

    async def request(
        self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """Send one request and read its answer, whatever its status. Raises ``HttpError`` and nothing else.

        A refusal whose body breaks off is still a refusal and comes back with an empty body; a success that can not be
        read to its end is an ambiguous error.
        """
        payload = _Body(body) if body or method != "GET" else None
        session = self._session(url.startswith("http:"))
        try:
            async with session.request(method, url, data=payload, headers=headers, allow_redirects=False) as response:
                try:
                    content = await read_answer(response.content)
                except (aiohttp.ClientError, OSError):
                    if response.status < 400:
                        raise
                    content = b""
                return HttpAnswer(response.status, response.headers, content, retry_after_of(response.headers))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _named(error, written=payload is not None and payload.written) from None

    async def aclose(self) -> None:
        """Close the connections."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()


def redact(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Return the other side's words, fit to be stored: no secrets, no control characters, of bounded length."""
    for secret in secrets:
        text = text.replace(secret, "••••")
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return text[:MAX_RESPONSE]


async def read_answer(stream: aiohttp.StreamReader) -> bytes:
    """Read to the end. Raises ``aiohttp.ClientError``, for more than ``MAX_ANSWER`` octets too."""
    content = bytearray()
    while piece := await stream.readany():
        content += piece
        if len(content) > MAX_ANSWER:
            raise _TooLarge
    return bytes(content)


def retry_after_of(headers: Mapping[str, str], *, most: float = MAX_RETRY_AFTER) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, as a number or a date (RFC 9110 §10.2.3), or ``None``.

    Never more than ``most``.
    """
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), most) if math.isfinite(seconds) else None


def _named(error: Exception, *, written: bool) -> HttpError:
    """Name an error of the transport.

    A certificate that does not verify and an address that is not allowed stay so until a person acts, and are not
    retried. All else on the network passes.
    """
    retryable = True
    cause = getattr(error, "os_error", None) or error.__cause__ if isinstance(error, aiohttp.ClientError) else None
    match error:
        case aiohttp.ClientConnectorCertificateError():
            text, retryable, written = f"the server's certificate is not valid: {error.certificate_error}", False, False
        case aiohttp.ClientConnectorDNSError() if isinstance(cause, ClearTextRefused):
            text, retryable, written = "http is allowed to permitted networks only; use https", False, False
        case aiohttp.ClientConnectorDNSError() if isinstance(cause, BlockedAddress):
            text, retryable, written = "the provider's address is not allowed", False, False
        case aiohttp.ClientConnectorDNSError():
            text, written = "the provider's host name does not resolve", False
        case aiohttp.ClientConnectorSSLError():
            text, written = "the TLS handshake failed", False
        case aiohttp.ClientConnectorError():
            text, written = f"no connection: {_os_words(error.os_error)}", False
        case aiohttp.ConnectionTimeoutError():
            text, written = "time-out while connecting", False
        case TimeoutError():
            text = "time-out while waiting for the answer" if written else "time-out before the request was sent"
        case aiohttp.InvalidURL():
            text, retryable, written = "the provider's address is not valid", False, False
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            text = "the provider closed the connection without a complete answer"
        case aiohttp.ClientResponseError():
            text = "the provider's answer is not HTTP"
        case _TooLarge():
            text = f"the answer is larger than {MAX_ANSWER // 1024} KiB"
        case OSError():
            text = _os_words(error)
        case aiohttp.ClientError():
            text = "the connection failed"
        case _:  # a header that can not be sent: its value may be a secret, so the words stay here
            return HttpError("the request can not be written", reason=_R.CONTENT_ERROR, retryable=False)
    return HttpError(text, retryable=retryable, ambiguous=written)


def _os_words(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else type(error).__name__
