"""Who may open a socket: origin, credentials, and whether the address is theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import jwt
from django.conf import settings
from django.db import connection

from notification_service.lib.asgi import Scope
from notification_service.lib.errors import InvalidInput, NotAuthenticated, PermissionDenied
from notifications.inbox import tickets
from notifications.inbox.tickets import Visitor
from tenants.authentication import bearer_of
from tenants.callers import Caller
from tenants.identity import SignedIn, authenticate_bearer, require_open
from tenants.issuers import LEEWAY
from tenants.models import Tenant
from tenants.permissions import Permission

SUBPROTOCOL: Final = "notifications.v1"
_SECRET_PARAMETERS = (b"token", b"ticket")
_QUERY = "live.query_string"


#: A position as it stands in an address: epoch and ``seq``.
Resume: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a client said when it came. ``resume`` is the position it wants to go on from, if it said one."""

    origin: str
    host: str
    subprotocol: str | None
    offers_others: bool
    token: str = field(repr=False, default="")
    ticket: str = field(repr=False, default="")
    resume: Resume | None = None


def hide_secrets(scope: Scope) -> None:
    """Take tokens and tickets out of the address, before the server logs it; ``read_handshake`` still finds them."""
    query = scope.get("query_string", b"")
    if any(name in query for name in _SECRET_PARAMETERS):
        scope[_QUERY] = query
        names = (name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
        scope["query_string"] = "&".join(f"{name}=..." for name in names).encode("ascii", "replace")


def read_handshake(scope: Scope) -> Handshake:
    """Return what the scope says."""
    query = scope.get(_QUERY, scope.get("query_string", b""))
    parameters = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    headers = {name: value.decode("latin-1") for name, value in scope.get("headers", [])}
    offered = list(scope.get("subprotocols", []))
    named = _offered(offered)
    token = parameters.get("token") or named.get("bearer", "")
    return Handshake(
        origin=headers.get(b"origin", ""),
        host=headers.get(b"host", ""),
        subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None,
        offers_others=bool(offered) and SUBPROTOCOL not in offered,
        token=token or _bearer(headers.get(b"authorization", "")),
        ticket=parameters.get("ticket") or named.get("ticket", ""),
        resume=(parameters["epoch"], parameters["seq"]) if {"epoch", "seq"} <= parameters.keys() else None,
    )


def _offered(subprotocols: Iterable[str]) -> dict[str, str]:
    pairs = (each.partition(".") for each in subprotocols)
    return {name: value for name, dot, value in pairs if dot and name in ("bearer", "ticket")}


def _bearer(header: str) -> str:
    try:
        return bearer_of(header) or ""
    except NotAuthenticated:
        return ""


def admit(handshake: Handshake, tenant_id: str | None, user_id: str | None) -> Visitor:
    """Let somebody in to their own stream. Raises ``ServiceError``: what it says becomes the close code and reason.

    ``tenant_id`` and ``user_id`` are of the address, where it has them; the tenant's may be its issuer's.
    """
    if handshake.offers_others:
        message = f"Offer the subprotocol {SUBPROTOCOL}, or none."
        raise InvalidInput(message, code="malformed")
    if handshake.origin and not _is_allowed(handshake.origin, handshake.host):
        raise PermissionDenied("Pages of this origin may not connect.", code="origin_refused")
    visitor = _authenticate(handshake)
    caller = visitor.caller
    own = caller.required_tenant_id()
    if not caller.may(Permission.SELF) or caller.actor_type != "user":
        raise PermissionDenied("Sockets are for people.")
    if tenant_id is not None and tenant_id.lower() != str(own) and tenant_id != _external_id(own):
        raise PermissionDenied("This address belongs to another tenant.", code="wrong_tenant")
    if user_id is not None and user_id != caller.actor_id:
        raise PermissionDenied("This address belongs to somebody else.", code="wrong_user")
    return visitor


def _authenticate(handshake: Handshake) -> Visitor:
    if handshake.ticket:
        visitor = tickets.redeem(handshake.ticket)
        (refusal,) = refusals([visitor.caller])
        if refusal is not None:
            raise refusal
        return visitor
    if not handshake.token:
        raise NotAuthenticated
    return Visitor(authenticate_bearer(handshake.token), expiry_of(handshake.token))


def expiry_of(token: str) -> float | None:
    """Return when a verified token stops being accepted, in seconds since 1970: its ``exp`` and the usual leeway."""
    exp = jwt.decode(token, options={"verify_signature": False}).get("exp")
    return float(exp) + LEEWAY if exp is not None else None


def _is_allowed(origin: str, host: str) -> bool:
    """Whether a page of this origin may connect (RFC 6454). Programs send none."""
    if "*" in settings.LIVE_ALLOWED_ORIGINS:
        return True
    own = urlsplit(settings.PUBLIC_URL)
    allowed = {*settings.LIVE_ALLOWED_ORIGINS, *settings.CORS_ALLOWED_ORIGINS, f"{own.scheme}://{own.netloc}"}
    parts = urlsplit(origin)
    return origin in allowed or (parts.scheme in ("http", "https") and parts.netloc == host)


def _external_id(tenant_id: UUID) -> str | None:
    return Tenant.objects.filter(id=tenant_id).values_list("external_id", flat=True).first()


_SIGNED_IN = """
SELECT s.* FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[]) WITH ORDINALITY AS n (user_id, tenant_id, session_id, place)
LEFT JOIN LATERAL signed_in(n.user_id, n.tenant_id, n.session_id) AS s ON true ORDER BY n.place
"""


def refusals(callers: Sequence[Caller]) -> list[NotAuthenticated | PermissionDenied | None]:
    """Return, for each caller who was let in some time ago, why they would not be now, or None. Two queries for all."""
    local = [caller for caller in callers if caller.local_user_id() is not None]
    rows: list[tuple[Any, ...]] = []
    with connection.cursor() as cursor:
        if local:
            cursor.execute(
                _SIGNED_IN,
                [
                    [caller.local_user_id() for caller in local],
                    [caller.tenant_id for caller in local],
                    [caller.session_id for caller in local],
                ],
            )
            rows = cursor.fetchall()
    found = {id(caller): SignedIn(*row) for caller, row in zip(local, rows, strict=True)}
    outside = {caller.required_tenant_id() for caller in callers if id(caller) not in found}
    statuses = dict(Tenant.objects.filter(id__in=outside).values_list("id", "status")) if outside else {}
    return [_refusal(caller, found.get(id(caller)), statuses) for caller in callers]


def _refusal(
    caller: Caller, row: SignedIn | None, statuses: Mapping[UUID, str]
) -> NotAuthenticated | PermissionDenied | None:
    if row is not None:
        if not row.is_active:
            return NotAuthenticated("This person may not sign in any more.", code="user_inactive")
        if not row.session_open:
            return NotAuthenticated("This session has ended; sign in again.", code="session_ended")
        if row.role is None:
            return NotAuthenticated("This person is no member of the tenant any more.", code="membership_ended")
    status = row.tenant_status if row is not None else statuses.get(caller.required_tenant_id())
    try:
        require_open(status or "")
    except PermissionDenied as refused:
        return refused
    return None
