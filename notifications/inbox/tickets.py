"""One-time tickets that open a socket, so that no token stands in an address and in somebody's log."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

import orjson

from notification_service.lib.errors import NotAuthenticated, PermissionDenied, Unavailable
from notification_service.lib.redis import RedisUnavailable, attempt
from tenants.callers import Caller
from tenants.permissions import Permission

LASTS_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who opens a socket, and until when (seconds since 1970) their token lasts."""

    caller: Caller
    expires_at: float | None


def issue(visitor: Visitor) -> str:
    """Return a new ticket. Raises ``PermissionDenied`` for who is no person, ``Unavailable`` while Redis is down."""
    caller = visitor.caller
    if not caller.may(Permission.SELF) or caller.tenant_id is None:
        raise PermissionDenied("Sockets are for people of a tenant.")
    ticket = secrets.token_urlsafe(32)
    holder = {
        "tenant_id": caller.tenant_id,
        "actor_id": caller.actor_id,
        "actor_label": caller.actor_label,
        "name": caller.name,
        "email": caller.email,
        "role": caller.role,
        "permissions": sorted(caller.permissions),
        "issuer": caller.issuer,
        "session_id": caller.session_id,
        "expires_at": visitor.expires_at,
    }
    try:
        attempt(lambda client: client.set(_key(ticket), orjson.dumps(holder), ex=LASTS_SECONDS))
    except RedisUnavailable:
        raise Unavailable from None
    return ticket


def redeem(ticket: str) -> Visitor:
    """Use up a ticket. Raises ``NotAuthenticated`` (``ticket_invalid``), ``Unavailable`` while Redis is down."""
    try:
        held = cast("str | None", attempt(lambda client: client.getdel(_key(ticket))))
    except RedisUnavailable:
        raise Unavailable from None
    if held is None:
        raise NotAuthenticated("This ticket is unknown, used or too old.", code="ticket_invalid")
    holder: dict[str, Any] = orjson.loads(held)
    caller = Caller(
        tenant_id=UUID(holder["tenant_id"]),
        actor_type="user",
        actor_id=holder["actor_id"],
        actor_label=holder["actor_label"],
        name=holder["name"],
        email=holder["email"],
        role=holder["role"],
        permissions=frozenset(Permission(each) for each in holder["permissions"]),
        issuer=holder["issuer"],
        session_id=UUID(holder["session_id"]) if holder["session_id"] else None,
    )
    return Visitor(caller, holder["expires_at"])


def _key(ticket: str) -> str:
    return f"ws-ticket:{hashlib.sha256(ticket.encode('utf-8', 'replace')).hexdigest()}"
