"""Key sets of outside issuers (RFC 7517), fetched over HTTP and kept as long as is safe.

A thread whose key is at hand never waits for the network, except the one that refreshes. Who asks for an unknown key
waits for the fetch that is under way, and there is at most one each half minute.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, Final

import structlog

from notification_service.lib.errors import ServiceError

log = structlog.get_logger(__name__)

_TIMEOUT: Final = 3.0
_MAX_BYTES: Final = 512 * 1024
_REFRESH_AFTER: Final = 600.0
_RETRY_AFTER: Final = 30.0
_SERVE_STALE_FOR: Final = 24 * 3600.0


class IssuerUnavailable(ServiceError):
    """The issuer's keys can not be had: the token may be good, and we can not tell."""

    code, status, detail = "issuer_unavailable", 503, "The token's issuer does not answer; try again later."


class RemoteKeySet:
    """The keys of one issuer by ``kid``. A key without ``kid`` is kept under the empty name."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._keys: Mapping[str, dict[str, Any]] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._failed = False
        self._fetching = threading.Lock()

    def get(self, kid: str) -> dict[str, Any] | None:
        """Return the JWK of ``kid``, or None if the issuer has no such key.

        Raises ``IssuerUnavailable`` if it is not known and the issuer does not answer, or has not for a day.
        """
        found = self._lookup(kid)
        if found is not None:
            if self._is_older_than(_REFRESH_AFTER) and self._is_due() and self._fetching.acquire(blocking=False):
                self._fetch_and_release()
                found = self._lookup(kid)
        elif self._is_due() or self._fetching.locked():
            self._fetching.acquire()
            if self._is_due():
                self._fetch_and_release()
            else:  # another thread has just fetched for all
                self._fetching.release()
            found = self._lookup(kid)
        if found is None and self._failed:
            raise IssuerUnavailable(retry_after=_RETRY_AFTER)
        return found

    def _lookup(self, kid: str) -> dict[str, Any] | None:
        if self._is_older_than(_SERVE_STALE_FOR):
            return None
        keys = self._keys
        if kid:
            return keys.get(kid)
        return next(iter(keys.values())) if len(keys) == 1 else keys.get("")

    def _is_older_than(self, seconds: float) -> bool:
        return time.monotonic() - self._fetched_at > seconds

    def _is_due(self) -> bool:
        return time.monotonic() - self._tried_at >= _RETRY_AFTER

    def _fetch_and_release(self) -> None:
        self._tried_at = time.monotonic()
        try:
            self._keys = fetch(self.url)
            self._fetched_at = time.monotonic()
            self._failed = False
        except (OSError, ValueError, HTTPException) as error:
            self._failed = True
            log.warning("jwks_fetch_failed", url=self.url, error=f"{type(error).__name__}: {error}")
        finally:
            self._fetching.release()


def fetch(url: str) -> dict[str, dict[str, Any]]:
    """Return the signature keys at ``url`` by ``kid``. Raises ``OSError``, ``HTTPException`` or ``ValueError``."""
    deadline = time.monotonic() + _TIMEOUT
    body = b""
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - checked in issuers.py
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
        while chunk := response.read1(65536):
            body += chunk
            if len(body) > _MAX_BYTES:
                raise ValueError(f"the key set is longer than {_MAX_BYTES} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError(f"the key set took longer than {_TIMEOUT} s")
    document = json.loads(body)
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise ValueError("this is no JWK set: it has no list 'keys'")
    return {str(key.get("kid", "")): key for key in keys if isinstance(key, dict) and key.get("use", "sig") == "sig"}
