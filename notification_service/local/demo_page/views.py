"""``/demo/``: two people of the demo company in one page, who get notifications and talk to each other.

The page needs no password: it asks for short tokens of these two. So it exists for this machine alone, and only while
``make up`` runs: it is not mounted elsewhere, and a caller from another address, through a proxy or under another name
of this host is told that there is no such address.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.http import http_date
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from notification_service.lib.errors import NotFound, PermissionDenied
from notification_service.lib.scope import tenant_scope
from notification_service.local.demo import PAGE_PEOPLE, TENANT
from tenants.api.permissions import PUBLIC
from tenants.api.views import ServiceView
from tenants.models import Membership, Tenant
from tenants.tokens import issue_access_token

#: Where the page and its scripts lie. Nothing else is served, and no sub-directory of them.
DIRECTORIES: Final = (Path(__file__).parent / "static", settings.BASE_DIR / "clients" / "typescript" / "dist")
CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
#: Set by whoever passes on somebody else's request; nobody does on the way from this machine to itself.
_PROXY_HEADERS: Final = (
    "HTTP_FORWARDED",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_REAL_IP",
    "HTTP_VIA",
)


class _WhateverIsAsked(BaseContentNegotiation):
    """There is one representation, whatever the ``Accept`` header says."""

    def select_renderer(self, request, renderers, format_suffix=None):  # type: ignore[no-untyped-def]
        return renderers[0], renderers[0].media_type


class _DemoView(ServiceView):
    """A view that only this machine sees."""

    permissions = PUBLIC
    authentication_classes = []
    content_negotiation_class = _WhateverIsAsked
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if not settings.DEMO_FILE or not Path(settings.DEMO_FILE).exists() or not _is_from_here(request):
            raise NotFound
        super().initial(request, *args, **kwargs)


class DemoPage(_DemoView):
    """The page."""

    def get(self, request: Request) -> HttpResponse:
        public = urlsplit(settings.PUBLIC_URL)
        if request.get_host() != public.netloc:  # tickets and files name the public address: one origin for all
            return HttpResponseRedirect(f"{settings.PUBLIC_URL}/demo/")
        response = _file("index.html")
        response["Content-Security-Policy"] = _policy(public.netloc)
        response["Cross-Origin-Opener-Policy"] = "same-origin"
        return response


class DemoFile(_DemoView):
    """A script or style sheet of the page."""

    def get(self, request: Request, name: str) -> HttpResponse:
        return _file(name)


class DemoPeople(_DemoView):
    """Who stands on the page, with a token for each that lasts as long as one of a sign-in."""

    def post(self, request: Request) -> Response:
        """Answer our own page; other pages are refused (browsers say who asks: ``Origin``, ``Sec-Fetch-Site``)."""
        origin, site = request.META.get("HTTP_ORIGIN"), request.META.get("HTTP_SEC_FETCH_SITE")
        if origin not in (None, f"{request.scheme}://{request.get_host()}") or site not in (None, "same-origin"):
            raise PermissionDenied("Only the demo page itself may ask.")
        tenant = Tenant.objects.filter(slug=TENANT).first()
        if tenant is None:
            raise NotFound
        expires_at = timezone.now() + settings.ACCESS_TOKEN_LIFETIME
        with tenant_scope(tenant.id):
            places = {
                place.user.email: place
                for place in Membership.objects.filter(user__email__in=PAGE_PEOPLE).select_related("user")
            }
        people = [
            {
                "user_id": str(place.user.id),
                "name": place.user.name,
                "role": place.role,
                "token": issue_access_token(place.user, tenant, place.role),
                "expires_at": expires_at.isoformat(),
            }
            for place in (places[email] for email in PAGE_PEOPLE)
        ]
        response = Response({"tenant_id": str(tenant.id), "tenant_name": tenant.name, "people": people})
        response["Cache-Control"] = "no-store"
        return response


def _is_from_here(request: Request) -> bool:
    """Whether the caller is a program of this machine that called it by its own name."""
    if any(name in request.META for name in _PROXY_HEADERS):
        return False
    host = urlsplit(f"//{request.get_host()}").hostname or ""
    return _is_loopback(str(request.META.get("REMOTE_ADDR", ""))) and (host == "localhost" or _is_loopback(host))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _file(name: str) -> HttpResponse:
    """Return a file of the page. Raises ``NotFound``."""
    content_type = CONTENT_TYPES.get(Path(name).suffix)
    if content_type is None or Path(name).name != name:
        raise NotFound
    for directory in DIRECTORIES:
        path = directory / name
        if path.is_file():
            response = HttpResponse(path.read_bytes(), content_type=content_type)
            response["Cache-Control"] = "no-cache"
            response["Last-Modified"] = http_date(path.stat().st_mtime)
            response["Cross-Origin-Resource-Policy"] = "same-origin"
            return response
    raise NotFound


def _policy(host: str) -> str:
    """The page's Content-Security-Policy: our own files, no inline script or style, no text that becomes markup."""
    own = "'self'"
    directives = {
        "default-src": "'none'",
        "script-src": own,
        "style-src": own,
        "img-src": f"{own} data: blob:",
        "media-src": f"{own} data: blob:",
        "connect-src": f"{own} ws://{host} wss://{host}",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in directives.items())
