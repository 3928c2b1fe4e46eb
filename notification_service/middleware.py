"""The outermost middleware: a request id, the caller's true address, one log line a request."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address, ip_network

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from notification_service.lib.ids import new_id
from notification_service.lib.request_context import RequestContext, is_request_id, set_current_request

log = structlog.get_logger("notification_service.request")

_QUIET = ("/health", "/metrics", "/static/")


class RequestContextMiddleware:
    """Takes ``X-Request-ID`` or makes one, answers with it, and binds it to every line logged on the way."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        asked = request.headers.get("X-Request-ID", "")
        request_id = asked if is_request_id(asked) else str(new_id())
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        set_current_request(
            RequestContext(request_id, client_address(request), request.headers.get("User-Agent", "")[:500])
        )
        try:
            response = self.get_response(request)
            response["X-Request-ID"] = request_id
            if not request.path.startswith(_QUIET):
                log.info(
                    "request",
                    method=request.method,
                    path=request.path,
                    status=response.status_code,
                    ms=round((time.perf_counter() - started) * 1000, 1),
                )
            return response
        finally:
            set_current_request(None)
            structlog.contextvars.clear_contextvars()


def client_address(request: HttpRequest) -> str | None:
    """Return the caller's address: the last one in X-Forwarded-For that no trusted proxy of ours stands for."""
    peer: str | None = request.META.get("REMOTE_ADDR") or None
    if peer is None or not _is_trusted_proxy(peer):
        return peer
    for hop in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
        address = hop.strip()
        try:
            ip_address(address)
        except ValueError:
            return peer
        if not _is_trusted_proxy(address):
            return address
        peer = address
    return peer


@lru_cache(maxsize=4096)
def _is_trusted_proxy(address: str) -> bool:
    try:
        return any(ip_address(address) in ip_network(network) for network in settings.TRUSTED_PROXIES)
    except ValueError:
        return False
