"""Errors that services raise and every door shows in the same shape: ``{"detail", "code", "errors"?}``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self


class ServiceError(Exception):
    """A refusal that the caller can understand and act on. ``errors`` names the fields at fault."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400
    detail: ClassVar[str] = "The request can not be carried out."

    def __init__(
        self,
        detail: str | None = None,
        *,
        code: str | None = None,
        errors: Mapping[str, Sequence[str]] | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = detail or type(self).detail
        self.error_code = code or type(self).code
        self.errors = {field: list(messages) for field, messages in (errors or {}).items()}
        self.retry_after = retry_after
        super().__init__(self.message)

    @classmethod
    def at(cls, field: str, message: str, *, code: str | None = None) -> Self:
        """Return the refusal of one field."""
        return cls(f"{field}: {message}", code=code, errors={field: [message]})


class InvalidInput(ServiceError):
    code, status, detail = "invalid", 400, "Invalid input."


class ContentInvalid(ServiceError):
    code, status, detail = "content_error", 400, "The content can not be rendered."


class NotAuthenticated(ServiceError):
    code, status, detail = "not_authenticated", 401, "Authentication credentials were not provided."


class PermissionDenied(ServiceError):
    code, status, detail = "permission_denied", 403, "You do not have permission to perform this action."


class NotFound(ServiceError):
    code, status, detail = "not_found", 404, "Not found."


class Conflict(ServiceError):
    code, status, detail = "conflict", 409, "The resource is not in a state that allows this."


class Unprocessable(ServiceError):
    code, status, detail = "unprocessable", 422, "The request contradicts an earlier one."


class Unavailable(ServiceError):
    code, status, detail = "unavailable", 503, "A part of the service does not answer at the moment; try again."

    def __init__(self, detail: str | None = None, *, retry_after: float = 1.0) -> None:
        super().__init__(detail, retry_after=retry_after)


class TooManyRequests(ServiceError):
    code, status, detail = "throttled", 429, "Too many requests."
