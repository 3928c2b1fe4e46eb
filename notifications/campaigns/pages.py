"""``/t/o/{token}.gif`` and ``/t/c/{token}``: where the pixel and the links of tracked mail lead."""

from __future__ import annotations

from base64 import b64decode
from typing import Final

import structlog
from django.db import DatabaseError, InterfaceError
from django.http import HttpResponse
from django.utils.encoding import iri_to_uri
from rest_framework.request import Request

from notifications.campaigns.tracking import Tracked, read_token, report
from tenants.api.permissions import PUBLIC
from tenants.api.views import ServiceView

log = structlog.get_logger(__name__)

#: One transparent pixel.
_GIF: Final = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


class Opened(ServiceView):
    """The pixel at the end of a mail."""

    permissions = PUBLIC
    schema = None

    def get(self, request: Request, token: str) -> HttpResponse:
        _note("o", read_token("o", token))
        return _private(HttpResponse(_GIF, content_type="image/gif"))


class Clicked(ServiceView):
    """A link of a mail: the target is part of the signed token."""

    permissions = PUBLIC
    schema = None

    def get(self, request: Request, token: str) -> HttpResponse:
        tracked = read_token("c", token)
        _note("c", tracked)
        return _private(HttpResponse(status=302, headers={"Location": iri_to_uri(tracked.url)}))


def _note(kind: str, tracked: Tracked) -> None:
    try:
        report(kind, tracked)
    except (DatabaseError, InterfaceError) as error:  # the reader shall get where they want all the same
        log.warning("tracking_not_noted", error=type(error).__name__)


def _private(answer: HttpResponse) -> HttpResponse:
    answer["Cache-Control"] = "no-store, private"
    answer["Referrer-Policy"] = "no-referrer"
    answer["X-Robots-Tag"] = "noindex"
    return answer
