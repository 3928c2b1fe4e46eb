"""The admin site: Django admin in the service's clothes, for the platform's staff."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from unfold.sites import UnfoldAdminSite

from notification_service.lib.rate_limit import Limit, take
from notification_service.lib.scope import platform_scope
from notification_service.middleware import client_address

_LOGINS = Limit(10, 300.0)

View = Callable[..., HttpResponseBase]


class AdminSite(UnfoldAdminSite):  # type: ignore[misc]
    """Django admin; every page of it sees all tenants, and nobody but the platform's staff sees a page of it."""

    site_title = site_header = "Notification service"
    index_title = "Desk"

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """The log-in page; who tries too often from one address waits."""
        if request.method == "POST":
            decision = take(f"admin-login:{client_address(request)}", _LOGINS)
            if not decision.allowed:
                wait = math.ceil(decision.retry_after)
                text = f"Too many attempts. Try again in {wait} seconds."
                return HttpResponse(text, status=429, content_type="text/plain", headers={"Retry-After": str(wait)})
        response: HttpResponseBase = super().login(request, extra_context)
        return response

    def admin_view(self, view: View, cacheable: bool = False) -> View:
        """Run a page in the platform's scope, if its reader may read it at all.

        The page is rendered inside: templates still ask the database.
        """
        page: View = super().admin_view(view, cacheable)

        @wraps(page)
        def scoped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not self.has_permission(request):
                return page(request, *args, **kwargs)
            with platform_scope(f"admin: {request.path}"):
                response = page(request, *args, **kwargs)
                return response.render() if isinstance(response, SimpleTemplateResponse) else response

        return scoped
