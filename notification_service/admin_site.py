"""The admin site: Django admin in the service's clothes, for the platform's staff."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from unfold.sites import UnfoldAdminSite

from notification_service.lib.scope import platform_scope

View = Callable[..., HttpResponseBase]


class AdminSite(UnfoldAdminSite):  # type: ignore[misc]
    """Django admin; every page of it sees all tenants, and nobody but the platform's staff sees a page of it."""

    site_title = site_header = "Notification service"
    index_title = "Desk"

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
