"""OAuth 2 access tokens of Google service accounts, fetched over a provider's own guarded session.

The flow is RFC 7523 §2.1 as Google documents it: https://developers.google.com/identity/protocols/oauth2/service-account.
firebase-admin reads the account and signs; it keeps no app, no session and no token of its own, so that any number of
tenants can share a process.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeGuard
from urllib.parse import urlencode

from firebase_admin.credentials import Certificate
from google.auth import jwt
from pydantic import SecretStr

from notifications.providers.base import FailureReason, SendResult
from notifications.providers.http import Codes, HttpAnswer, HttpError, refusal

GOOGLE_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 an address
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: A token is replaced this many seconds before it ends.
REFRESH_BEFORE = 300.0
#: Seconds in which a second token that is refused is not replaced again.
_PATIENCE = 60.0
#: Accounts whose token is remembered; the one that was not used for longest goes first.
_REMEMBERED = 2_000

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


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What is needed of a service account's key file."""

    client_email: str
    private_key: SecretStr
    private_key_id: str | None = None
    token_uri: str = GOOGLE_TOKEN_URI

    def fingerprint(self) -> bytes:
        """Return a key for caches that gives nothing away."""
        parts = (self.client_email, self.private_key.get_secret_value(), self.private_key_id or "", self.token_uri)
        return hashlib.sha256("\0".join(parts).encode()).digest()

    def assertion(self) -> str:
        """Return a signed claim to a token, good for an hour. Takes about 100 ms, most of it to prove the key."""
        account = Certificate(
            {
                "type": "service_account",
                "client_email": self.client_email,
                "private_key": self.private_key.get_secret_value(),
                "private_key_id": self.private_key_id,
                "token_uri": self.token_uri,
            }
        )
        now = int(time.time())
        claims = {"iss": self.client_email, "scope": SCOPE, "aud": GOOGLE_TOKEN_URI, "iat": now, "exp": now + 3600}
        return bytes(jwt.encode(account.signer, claims)).decode("ascii")  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class _Token:
    """An access token with its moments on the event loop's clock."""

    value: str
    refresh_at: float
    expires_at: float


class ServiceAccountTokens:
    """The tokens of all accounts of one provider: fetched once however many messages wait, and kept until they age."""

    def __init__(self, request: Callable[..., Awaitable[HttpAnswer]]) -> None:
        self._request = request
        self._tokens: OrderedDict[bytes, _Token] = OrderedDict()
        #: When a token of an account was refused for the last time.
        self._dropped: OrderedDict[bytes, float] = OrderedDict()
        self._fetches: dict[bytes, asyncio.Task[_Token | SendResult]] = {}

    async def get(self, account: ServiceAccount) -> str | SendResult:
        """Return a token, or the failure that stands for every message that needed it."""
        key = account.fingerprint()
        known = self._tokens.get(key)
        now = asyncio.get_running_loop().time()
        if known and now < known.refresh_at:
            self._tokens.move_to_end(key)
            return known.value
        fetch = self._fetches.get(key)
        if fetch is None:
            fetch = self._fetches[key] = asyncio.create_task(self._fetch(key, account))
            fetch.add_done_callback(lambda _: self._fetches.pop(key, None))
        found = await asyncio.shield(fetch)  # who gives up waiting must not take the token from the others
        if isinstance(found, _Token):
            return found.value
        # The old token outlives a passing trouble of the token endpoint.
        return known.value if known and found.retryable and now < known.expires_at else found

    def forget(self, account: ServiceAccount, token: str) -> bool:
        """Drop a token that was refused, and tell whether another is worth a try.

        It is not if the one before was refused a moment ago too: then it is not the token's fault.
        """
        key = account.fingerprint()
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

    async def _fetch(self, key: bytes, account: ServiceAccount) -> _Token | SendResult:
        try:
            assertion = await asyncio.to_thread(account.assertion)
        except ValueError:  # the words of the library may quote the key
            return SendResult.failure(_R.AUTH_ERROR, "The private key of the service account can not be used.")
        body = urlencode({"grant_type": GRANT_TYPE, "assertion": assertion}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        started = asyncio.get_running_loop().time()
        try:
            answer = await self._request("POST", account.token_uri, body=body, headers=headers)
        except HttpError as error:
            return replace(error.result((assertion,)), ambiguous=False)
        found = answer.json() or {}
        value, lifetime = found.get("access_token"), found.get("expires_in", 3600)
        if not answer.ok or not _is_token(value) or not isinstance(lifetime, int | float) or lifetime <= 0:
            return _refused(answer, found, assertion)
        # A service that gives short tokens is not asked for every message.
        token = _Token(value, started + max(lifetime - REFRESH_BEFORE, lifetime / 2), started + lifetime)
        self._tokens[key] = token
        self._tokens.move_to_end(key)
        if len(self._tokens) > _REMEMBERED:
            self._tokens.popitem(last=False)
        return token


def _is_token(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= 8192 and value.isascii() and value.isprintable()


def _refused(answer: HttpAnswer, found: dict[str, Any], assertion: str) -> SendResult:
    code, text = found.get("error"), found.get("error_description")
    result = refusal(
        answer,
        code=code if isinstance(code, str) else "",
        text=text if isinstance(text, str) else "",
        codes=CODES,
        secrets=(assertion,),
    )
    # No message was sent, so none can have arrived; and a token request that was refused is no message's fault.
    reason = _R.AUTH_ERROR if result.reason is _R.CONTENT_ERROR else result.reason
    return replace(result, reason=reason, ambiguous=False, response=f"No access token: {result.response}")
