"""OAuth 2 access tokens (RFC 6749), fetched over a guarded HTTP client and kept until they age."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeGuard
from urllib.parse import urlencode

from pydantic import SecretStr

from notifications.providers.base import FailureReason, SendResult
from notifications.providers.http import Codes, HttpAnswer, HttpError, refusal

#: A token is replaced this many seconds before it ends.
REFRESH_BEFORE = 300.0
#: Seconds in which a second token that is refused is not replaced again.
_PATIENCE = 60.0
#: Grants whose token is remembered; the one that was not used for longest goes first.
_REMEMBERED = 2_000
#: Fields of a request that are secrets.
_SECRETS = ("assertion", "client_secret", "refresh_token")

_R = FailureReason
#: RFC 6749 §5.2, and what Google adds.
CODES: Codes = {
    "invalid_grant": (_R.AUTH_ERROR, False),
    "invalid_client": (_R.AUTH_ERROR, False),
    "invalid_request": (_R.AUTH_ERROR, False),
    "invalid_scope": (_R.AUTH_ERROR, False),
    "unauthorized_client": (_R.AUTH_ERROR, False),
    "unsupported_grant_type": (_R.AUTH_ERROR, False),
    "deleted_client": (_R.AUTH_ERROR, False),
    "disabled_client": (_R.AUTH_ERROR, False),
    "access_denied": (_R.AUTH_ERROR, False),
    "internal_failure": (_R.PROVIDER_ERROR, True),
    "temporarily_unavailable": (_R.PROVIDER_ERROR, True),
}


class Grant(Protocol):
    """What entitles to a token."""

    @property
    def token_uri(self) -> str:
        """Where tokens come from."""

    def fingerprint(self) -> bytes:
        """Return a key for caches that gives nothing away."""

    async def form(self) -> dict[str, str]:
        """Return the fields that the token endpoint is sent. Raises ``ValueError`` with words that may be shown."""


@dataclass(frozen=True, slots=True)
class ClientGrant:
    """A client's own token (RFC 6749 §4.4), or with ``refresh_token`` that of a person who allowed it once (§6)."""

    token_uri: str
    client_id: str
    client_secret: SecretStr | None = None
    refresh_token: SecretStr | None = None
    scope: str | None = None

    def fingerprint(self) -> bytes:
        """Return a key for caches that gives nothing away."""
        parts = [self.token_uri, *self._fields().values()]
        return hashlib.sha256("\0".join(parts).encode()).digest()

    async def form(self) -> dict[str, str]:
        """Return the fields that the token endpoint is sent."""
        return self._fields()

    def _fields(self) -> dict[str, str]:
        fields = {
            "grant_type": "refresh_token" if self.refresh_token else "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret.get_secret_value() if self.client_secret else None,
            "refresh_token": self.refresh_token.get_secret_value() if self.refresh_token else None,
            "scope": self.scope,
        }
        return {name: value for name, value in fields.items() if value}


class NoAccessToken(Exception):
    """There is no token; ``result`` is what every message that needed it comes to."""

    def __init__(self, result: SendResult) -> None:
        super().__init__(result.response)
        self.result = result


@dataclass(frozen=True, slots=True)
class _Token:
    """An access token with its moments on the event loop's clock."""

    value: str
    refresh_at: float
    expires_at: float


class AccessTokens:
    """The tokens of all grants of one provider: fetched once however many messages wait, and kept until they age."""

    def __init__(self, request: Callable[..., Awaitable[HttpAnswer]]) -> None:
        self._request = request
        self._tokens: OrderedDict[bytes, _Token] = OrderedDict()
        #: When a token of a grant was refused for the last time.
        self._dropped: OrderedDict[bytes, float] = OrderedDict()
        self._fetches: dict[bytes, asyncio.Task[_Token | SendResult]] = {}

    async def get(self, grant: Grant) -> str | SendResult:
        """Return a token, or the failure that stands for every message that needed it."""
        key = grant.fingerprint()
        known = self._tokens.get(key)
        now = asyncio.get_running_loop().time()
        if known and now < known.refresh_at:
            self._tokens.move_to_end(key)
            return known.value
        fetch = self._fetches.get(key)
        if fetch is None:
            fetch = self._fetches[key] = asyncio.create_task(self._fetch(key, grant))
            fetch.add_done_callback(lambda _: self._fetches.pop(key, None))
        found = await asyncio.shield(fetch)  # who gives up waiting must not take the token from the others
        if isinstance(found, _Token):
            return found.value
        # The old token outlives a passing trouble of the token endpoint.
        return known.value if known and found.retryable and now < known.expires_at else found

    def forget(self, grant: Grant, token: str) -> bool:
        """Drop a token that was refused, and tell whether another is worth a try.

        It is not if the one before was refused a moment ago too: then it is not the token's fault.
        """
        key = grant.fingerprint()
        known = self._tokens.get(key)
        if known is None or known.value != token:
            return True  # somebody else has dropped it
        now = asyncio.get_running_loop().time()
        if now - self._dropped.get(key, -_PATIENCE) < _PATIENCE:
            return False
        del self._tokens[key]
        self._dropped[key] = now
        if len(self._dropped) > _REMEMBERED:
            self._dropped.popitem(last=False)
        return True

    async def aclose(self) -> None:
        """Stop fetching and forget everything."""
        fetches = list(self._fetches.values())
        for fetch in fetches:
            fetch.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)
        self._tokens.clear()

    async def _fetch(self, key: bytes, grant: Grant) -> _Token | SendResult:
        try:
            form = await grant.form()
        except ValueError as error:
            return SendResult.failure(_R.AUTH_ERROR, str(error))
        secrets = tuple(form[name] for name in _SECRETS if name in form)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        started = asyncio.get_running_loop().time()
        try:
            answer = await self._request("POST", grant.token_uri, body=urlencode(form).encode(), headers=headers)
        except HttpError as error:
            return replace(error.result(secrets), ambiguous=False)
        found = answer.json() or {}
        value, lifetime = found.get("access_token"), found.get("expires_in", 3600)
        if not answer.ok or not _is_token(value) or not isinstance(lifetime, int | float) or lifetime <= 0:
            return _refused(answer, found, secrets)
        # A service that gives short tokens is not asked for every message.
        token = _Token(value, started + max(lifetime - REFRESH_BEFORE, lifetime / 2), started + lifetime)
        self._tokens[key] = token
        self._tokens.move_to_end(key)
        if len(self._tokens) > _REMEMBERED:
            self._tokens.popitem(last=False)
        return token


def _is_token(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= 8192 and value.isascii() and value.isprintable()


def _refused(answer: HttpAnswer, found: dict[str, Any], secrets: tuple[str, ...]) -> SendResult:
    code, text = found.get("error"), found.get("error_description")
    result = refusal(
        answer,
        code=code if isinstance(code, str) else "",
        text=text if isinstance(text, str) else "",
        codes=CODES,
        secrets=secrets,
    )
    # No message was sent, so none can have arrived; and a token request that was refused is no message's fault.
    reason = _R.AUTH_ERROR if result.reason is _R.CONTENT_ERROR else result.reason
    return replace(result, reason=reason, ambiguous=False, response=f"No access token: {result.response}")
