"""The admin site."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from unfold.sites import UnfoldAdminSite

from notification_service.lib.scope import platform_scope

View = Callable[..., HttpResponseBase]


class AdminSite(UnfoldAdminSite):  # type: ignore[misc]
    """Django admin in the service's clothes. Platform staff look at every tenant's rows, one transaction a page."""

    site_title = site_header = "Notification service"
    index_title = "Desk"

    def admin_view(self, view: View, cacheable: bool = False) -> View:
        """Run the page, and render it, in the platform's scope; who may see it is decided before, by Django."""

        @wraps(view)
        def scoped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            with platform_scope(f"admin {request.path}"):
                response = view(request, *args, **kwargs)
                # Lists are read while the page is rendered: later the scope would be gone.
                if callable(render := getattr(response, "render", None)):
                    render()
                return response

        wrapped: View = super().admin_view(scoped, cacheable)
        return wrapped
