"""``/u/{token}``: the page behind an unsubscribe link, and the one-click POST of mail programs (RFC 8058)."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpResponse
from django.shortcuts import render
from rest_framework.request import Request

from notification_service.lib.errors import NotFound
from notification_service.lib.masking import mask_address
from notifications.recipients import unsubscribe
from notifications.recipients.models import SuppressionReason
from notifications.recipients.unsubscribe import Link, Subscription
from tenants.api.permissions import PUBLIC
from tenants.api.views import ServiceView


class Unsubscribe(ServiceView):
    """A small page with one button. Looking at it changes nothing: mail scanners follow links, too."""

    permissions = PUBLIC
    schema = None

    def get(self, request: Request, token: str) -> HttpResponse:
        return self._page(request, token, unsubscribe.subscription)

    def post(self, request: Request, token: str) -> HttpResponse:
        # Everything but the page's own button for the way back unsubscribes: no mail program shall fail at a detail.
        undo = request._request.POST.get("action") == "resubscribe"
        return self._page(request, token, unsubscribe.resubscribe if undo else unsubscribe.unsubscribe)

    @staticmethod
    def _page(request: Request, token: str, act: Callable[[Link], Subscription]) -> HttpResponse:
        try:
            found = act(unsubscribe.read_token(token))
        except NotFound:
            page = render(request._request, "recipients/unsubscribe.html", {"unknown": True}, status=404)
        else:
            context = {
                "tenant": found.tenant_name,
                "address": mask_address(found.link.address),
                "suppressed": found.reason is not None,
                "can_undo": found.reason == SuppressionReason.UNSUBSCRIBED,
            }
            page = render(request._request, "recipients/unsubscribe.html", context)
        page["Cache-Control"] = "no-store"
        page["X-Robots-Tag"] = "noindex"
        return page
