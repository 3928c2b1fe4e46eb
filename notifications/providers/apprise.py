"""Apprise: chat services and other destinations that are described by a URL.

Apprise is synchronous and opens its own sockets, so each message is sent in a thread, under ``SocketGuard``, in bounded
time. Only services whose code was looked at are admitted, and only URL parameters that change nothing but the look of a
message: others read local files (``template``), fetch addresses, or switch off the check of certificates.

Sources: https://appriseit.com/services/, and the plugins' code.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import apprise
from pydantic import Field, field_validator, model_validator

from notification_service.lib.net import PUBLIC_ONLY, NetworkPolicy
from notifications.providers.base import (
    CheckResult,
    CredentialSchema,
    FailureReason,
    OutgoingMessage,
    Provider,
    Secret,
    SendResult,
)
from notifications.providers.http import Codes, HttpAnswer, refusal
from notifications.providers.socket_guard import SocketGuard

_R = FailureReason
#: Services at an address of their own.
HOSTED = frozenset(
    {
        "slack", "discord", "tgram", "gchat", "webex", "wxteams", "zulip", "pover", "line", "feishu", "lark",
        "twist", "pagerduty", "opsgenie", "dingtalk", "guilded",
    }
)  # fmt: skip
#: Services at an address that the tenant gives: encrypted, and in clear text for allowed networks.
ON_PREMISES = frozenset({"workflow", "workflows", "mmosts", "rockets", "gotifys", "ntfys"})
IN_CLEAR_TEXT = frozenset({"mmost", "rocket", "gotify", "ntfy"})
#: Parameters that change the look of a message, or are part of an address that a service gives out.
PARAMETERS = frozenset(
    {
        "format", "overflow", "image", "footer", "footer_logo", "fields", "avatar", "emojis", "thread", "topic",
        "silent", "preview", "mode", "ver", "channel", "priority", "sound", "region", "tags", "key", "token",
        "threadkey", "wd", "sig", "sp", "sv", "api-version", "to",
    }
)  # fmt: skip
MAX_DESTINATIONS = 50
_LINE = re.compile(r"(?:(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,63})=)?(?P<url>[A-Za-z][A-Za-z0-9+.-]*://\S+)")
_STATUS = re.compile(r"\berror=(\d{3})\b")

#: One destination that is gone or says no must not stop the others of the credential: no ``auth_error`` here.
STATUSES: Codes = {str(status): (_R.PROVIDER_ERROR, False) for status in (401, 403, 404, 410)}


class AppriseCredential(CredentialSchema):
    """Destinations by name. Their URLs hold tokens, so all of it is secret."""

    urls: Secret = Field(
        description="One destination a line, as `name=URL`; a single URL alone is named `default`. "
        f"Services: {', '.join(sorted(HOSTED | ON_PREMISES | IN_CLEAR_TEXT))}.",
        examples=["ops=slack://TokenA/TokenB/TokenC\nsales=discord://WebhookID/WebhookToken"],
    )

    @model_validator(mode="before")
    @classmethod
    def _lines(cls, data: Any) -> Any:
        """Take a list of lines, or an object of URLs by name, as well."""
        if isinstance(data, dict) and isinstance(urls := data.get("urls"), list | dict):
            lines = [f"{name}={url}" for name, url in urls.items()] if isinstance(urls, dict) else map(str, urls)
            return {**data, "urls": "\n".join(lines)}
        return data

    @field_validator("urls")
    @classmethod
    def _known_services(cls, value: Secret) -> Secret:
        found = _destinations(value.get_secret_value())
        for name, url in found.items():
            _open(name, url)
        return value

    def destinations(self) -> dict[str, str]:
        """Return the URLs by name."""
        return _destinations(self.urls.get_secret_value())


@lru_cache(maxsize=256)
def _destinations(text: str) -> dict[str, str]:
    """Return URLs by name. Raises ``ValueError`` that names the line and shows nothing of it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not 1 <= len(lines) <= MAX_DESTINATIONS:
        raise ValueError(f"Enter 1 to {MAX_DESTINATIONS} destinations, one a line.")
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"Line {number} is not name=URL.")
        name = (match["name"] or "default").lower()
        if name in found:
            raise ValueError(f"Line {number}: the name {name} is taken; write each line as name=URL.")
        found[name] = match["url"]
    return found


def _open(name: str, url: str) -> tuple[Any, bool]:
    """Return (plugin, is it clear text) of a URL. Raises ``ValueError`` that names the destination, not the URL."""
    plugin: Any = apprise.Apprise.instantiate(url, asset=apprise.AppriseAsset(async_mode=False, plugin_paths=[]))
    if plugin is None:
        raise ValueError(f"{name}: Apprise does not understand this URL.")
    scheme = urlsplit(plugin.url()).scheme.lower()
    if scheme not in HOSTED | ON_PREMISES | IN_CLEAR_TEXT:
        raise ValueError(f"{name}: this service is not available here.")
    used = {key.lower() for key, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    if used - PARAMETERS:
        raise ValueError(f"{name}: only these parameters are allowed: {', '.join(sorted(PARAMETERS))}.")
    plugin.redirects = False
    return plugin, scheme in IN_CLEAR_TEXT


@dataclass(slots=True)
class _Job:
    """One message on its way, in a thread: reading a URL takes a while, and the first one loads all plugins."""

    name: str
    url: str
    message: dict[str, Any]
    timeouts: tuple[float, float]
    guard: SocketGuard
    service: str = "Apprise"
    sent: bool = False
    status: int | None = None
    problem: str = ""

    def run(self) -> None:
        """Send, in the thread of the caller."""
        _current.set(self)
        try:
            plugin, self.guard.clear_text = _open(self.name, self.url)
            plugin.socket_connect_timeout, plugin.socket_read_timeout = self.timeouts
            self.service = str(plugin.service_name)
            target = apprise.Apprise(asset=plugin.asset)
            target.add(plugin)
            with self.guard:
                self.sent = bool(target.notify(**self.message))
        except Exception as error:  # its words may hold tokens
            self.problem = type(error).__name__
        finally:
            _current.set(None)


_current: ContextVar[_Job | None] = ContextVar("apprise_job", default=None)


class _Words(logging.Handler):
    """Hears what Apprise logs about the job of its context: the only place where it tells the HTTP status."""

    def emit(self, record: logging.LogRecord) -> None:
        """Remember the status, and nothing else: the words may hold tokens."""
        job = _current.get()
        if job is not None and (match := _STATUS.search(record.getMessage())):
            job.status = int(match[1])


_logger = logging.getLogger("apprise")
_logger.addHandler(_Words(logging.WARNING))
_logger.setLevel(logging.WARNING)
_logger.propagate = False  # at lower levels it logs URLs with their tokens
logging.getLogger("urllib3").setLevel(logging.INFO)  # so does the library under it


class AppriseProvider(Provider[AppriseCredential]):
    """Sends through Apprise, a message a thread."""

    key: ClassVar[str] = "apprise"
    label: ClassVar[str] = "Apprise"
    channel: ClassVar[str] = "apprise"
    schema: ClassVar[type[CredentialSchema]] = AppriseCredential
    concurrency: ClassVar[int] = 8
    #: Seconds for one connection, for one piece of an answer, and for all of one message.
    connect_timeout: ClassVar[float] = 5.0
    read_timeout: ClassVar[float] = 10.0
    total_timeout: ClassVar[float] = 20.0

    def __init__(self, *, network_policy: NetworkPolicy = PUBLIC_ONLY) -> None:
        super().__init__(network_policy=network_policy)
        self._threads: ThreadPoolExecutor | None = None
        self._free = asyncio.Semaphore(2 * self.concurrency)

    async def send(self, message: OutgoingMessage, credential: AppriseCredential) -> SendResult:
        """Send to the destination that the recipient names."""
        destinations = credential.destinations()
        url = destinations.get(message.recipient.lower())
        if url is None:
            known = ", ".join(destinations)
            return SendResult.failure(
                _R.CONTENT_ERROR, f"The credential has no destination of this name; it has {known}."[:500]
            )
        content = message.content
        job = _Job(
            message.recipient,
            url,
            {
                "title": content.get("title") or "",
                "body": content["body"],
                "body_format": content.get("format", "text"),
            },
            (self.connect_timeout, self.read_timeout),
            SocketGuard(self.network_policy),
        )
        async with self._free:
            if not await self._finished(job.run, job.guard):
                return SendResult.failure(_R.NETWORK_ERROR, f"time-out: {job.service}", ambiguous=job.guard.attempted)
        return _result(job)

    async def _finished(self, work: Callable[[], None], guard: SocketGuard) -> bool:
        """Run in a thread; return whether it came to its end in time. After that its connections are cut."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(2 * self.concurrency, thread_name_prefix="apprise")
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            done, _ = await asyncio.wait([future], timeout=self.total_timeout)
        finally:
            guard.cut()
        return bool(done)

    async def check(self, credential: AppriseCredential) -> CheckResult:
        """Read the URLs. Nothing can be asked without sending a message, so nothing is asked."""
        started = time.monotonic()
        names = [f"{name} ({_open(name, url)[0].service_name})" for name, url in credential.destinations().items()]
        return CheckResult(
            True,
            f"The URLs are well-formed: {', '.join(names)}. Whether they are accepted shows with the first message.",
            duration_ms=round((time.monotonic() - started) * 1000),
        )

    async def aclose(self) -> None:
        """Let the threads go."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)


def _result(job: _Job) -> SendResult:
    service = job.service
    if job.sent:
        return SendResult.success(response=f"{service} took it")
    if job.guard.blocked:
        return SendResult.failure(_R.NETWORK_ERROR, f"the address of {service} is not allowed", retryable=False)
    if job.status is not None and job.status >= 300:
        text = f"{service} answered with HTTP status {job.status}."
        return refusal(HttpAnswer(job.status, {}, b""), code=str(job.status), text=text, codes=STATUSES)
    if job.problem:
        return SendResult.failure(_R.UNKNOWN_ERROR, f"{service}: {job.problem}", ambiguous=job.guard.attempted)
    return SendResult.failure(_R.NETWORK_ERROR, f"no answer from {service}", ambiguous=job.guard.attempted)
