"""The check that every view goes through: it names the permission it needs, and the caller holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from notification_service.lib.errors import NotAuthenticated
from tenants.callers import Caller
from tenants.permissions import Permission

if TYPE_CHECKING:
    from rest_framework.views import APIView

#: Marks a view (or one of its methods) that anybody may call.
PUBLIC: Final = "public"


class AnyOf(frozenset[Permission]):
    """Permissions of which one is enough: for what is a person's own and also what others look after."""


def reading_and_writing(reading: Permission, writing: Permission) -> dict[str, Permission]:
    """Return the ``permissions`` of a view that needs one permission to look and another to change anything."""
    return {"GET": reading, **dict.fromkeys(("POST", "PUT", "PATCH", "DELETE"), writing)}


def required_permission(view: APIView, method: str) -> Permission | AnyOf | str | None:
    """Return the permission that a view names for an HTTP method, ``PUBLIC``, or None if it names none.

    A view names them in ``permissions``: one for all methods, or a mapping from method to permission. ``AnyOf``
    several is one too; the service called then decides what exactly the caller may.
    ``HEAD`` counts as ``GET``; ``OPTIONS`` is public (it says what may be done and does nothing).
    """
    if method == "OPTIONS":
        return PUBLIC
    named: Any = getattr(view, "permissions", None)
    if isinstance(named, Mapping):
        found: Permission | AnyOf | str | None = named.get("GET" if method == "HEAD" else method)
        return found
    return named  # type: ignore[no-any-return]


class HasPermission(BasePermission):
    """Lets a request through if its caller holds the permission that the view names. No name, no entry."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        needed = required_permission(view, request.method or "GET")
        if needed == PUBLIC:
            return True
        caller = request.auth
        if not isinstance(caller, Caller):
            raise NotAuthenticated
        if needed is None and not hasattr(view, (request.method or "").lower()):
            return True  # there is nothing to guard: the answer is 405
        if isinstance(needed, AnyOf):
            return any(caller.may(permission) for permission in needed)
        return isinstance(needed, Permission) and caller.may(needed)
