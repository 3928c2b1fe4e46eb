"""Addresses that answer with and without the trailing slash, and stand once in the API's schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.urls import URLPattern
from django.urls.resolvers import RoutePattern
from rest_framework.views import APIView


class _OptionalSlash(RoutePattern):
    """A route that ignores whether the address ends in a slash; ``reverse`` and the schema use it as written."""

    def match(self, path: str) -> tuple[str, tuple[Any, ...], dict[str, Any]] | None:
        if "\0" in path:  # nothing is called so, and PostgreSQL can not even be asked
            return None
        slash = "/" if str(self).endswith("/") else ""
        return super().match(path.removesuffix("/") + slash)


def route(
    pattern: str, view: type[APIView], name: str | None = None, kwargs: Mapping[str, Any] | None = None
) -> URLPattern:
    """Like Django's ``path``, for a view class; ``pattern`` is the canonical address, with or without a slash."""
    return URLPattern(_OptionalSlash(pattern, name=name, is_endpoint=True), view.as_view(), dict(kwargs or {}), name)
