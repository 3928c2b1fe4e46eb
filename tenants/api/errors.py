"""Every error in one shape: ``{"detail": str, "code": str, "errors"?: {field: [str]}}``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from rest_framework import exceptions, status
from rest_framework.response import Response

from notification_service.lib.errors import ServiceError, Unavailable

log = structlog.get_logger(__name__)

_CODES = {
    "parse_error": "malformed",
    "unsupported_media_type": "unsupported_media_type",
    "method_not_allowed": "method_not_allowed",
    "not_acceptable": "not_acceptable",
}


def handle_exception(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Turn an exception that a view raised into a response (Django REST framework's ``EXCEPTION_HANDLER``).

    What nobody foresaw is logged with its traceback and answered 500 without details.
    """
    if isinstance(error, ServiceError):
        return _from_service(error)
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, DjangoPermissionDenied):
        error = exceptions.PermissionDenied()
    elif isinstance(error, RequestDataTooBig | TooManyFieldsSent):
        return _response(status.HTTP_413_REQUEST_ENTITY_TOO_LARGE, "The request body is too large.", "too_large")
    if isinstance(error, exceptions.APIException):
        return _from_framework(error)
    if isinstance(error, OperationalError | InterfaceError):  # the database is away: nothing was promised
        log.warning("database_unavailable", error=str(error))
        return _from_service(Unavailable())
    log.exception("unhandled_error", error=type(error).__name__)
    return _response(500, "Internal server error.", "internal_error")


def _from_service(error: ServiceError) -> Response:
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="api"'
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    return _response(error.status, error.message, error.error_code, error.errors, headers)


def _from_framework(error: exceptions.APIException) -> Response:
    headers: dict[str, str] = {}
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        headers["WWW-Authenticate"] = getattr(error, "auth_header", None) or 'Bearer realm="api"'
        error.status_code = 401
    if isinstance(error, exceptions.ValidationError):
        errors = flatten_errors(error.detail)
        first = next(iter(errors.items()), ("", ["Invalid input."]))
        where = "" if first[0] in ("", "non_field_errors") else f"{first[0]}: "
        return _response(400, f"{where}{first[1][0]}", "invalid", errors)
    code = error.get_codes()
    name = code if isinstance(code, str) else "error"
    return _response(error.status_code, str(error.detail), _CODES.get(name, name), headers=headers)


def flatten_errors(detail: Any, prefix: str = "") -> dict[str, list[str]]:
    """Return nested validation errors as one level: ``{"content.subject": ["…"], "recipients.3.email": ["…"]}``."""
    if isinstance(detail, Mapping):
        nested = [(f"{prefix}.{key}" if prefix else str(key), value) for key, value in detail.items()]
    elif isinstance(detail, list) and any(isinstance(item, Mapping | list) for item in detail):
        nested = [(f"{prefix}.{index}" if prefix else str(index), value) for index, value in enumerate(detail) if value]
    else:
        messages = detail if isinstance(detail, list) else [detail]
        return {prefix or "non_field_errors": [str(message) for message in messages]}
    found: dict[str, list[str]] = {}
    for name, value in nested:
        found.update(flatten_errors(value, name))
    return found


def error_body(detail: str, code: str, errors: Mapping[str, list[str]] | None = None) -> dict[str, Any]:
    """Return the body of an error."""
    return {"detail": detail, "code": code, **({"errors": dict(errors)} if errors else {})}


def _response(
    status_code: int,
    detail: str,
    code: str,
    errors: Mapping[str, list[str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    return Response(error_body(detail, code, errors), status=status_code, headers=dict(headers or {}))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's ``handler404``."""
    return JsonResponse(error_body("Not found.", "not_found"), status=404)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's ``handler403``."""
    return JsonResponse(error_body("Permission denied.", "permission_denied"), status=403)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's ``handler400``."""
    return JsonResponse(error_body("Bad request.", "malformed"), status=400)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Django's ``handler500``."""
    return JsonResponse(error_body("Internal server error.", "internal_error"), status=500)
