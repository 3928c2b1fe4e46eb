"""The fast door of ``POST /api/notifications/records/``: the ordinary request, accepted in one shared commit.

Whatever is not ordinary (a caller whom we did not let in a moment ago, a body that does not fit, a used idempotency
key, a limit) is not refused here: it goes the long way, and ``api.RecordList`` says what is wrong.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
import orjson
import psycopg
from django.conf import settings
from django.http.request import validate_host

from notification_service.lib.asgi import Reply, Request
from notification_service.lib.errors import ServiceError
from notification_service.lib.ids import new_id
from notification_service.lib.request_context import is_request_id
from notifications.credentials.services import known_to_have_credential
from notifications.records.group_commit import CommitUnknown, GroupCommit, Key
from notifications.records.idempotency import fingerprint_of, is_usable_key
from notifications.records.intake import NewRecord, build_record
from notifications.records.representation import represent
from notifications.records.states import Lane
from notifications.templates.lookups import is_known
from tenants.caller_cache import callers, fingerprint
from tenants.callers import Caller
from tenants.limits import known_limits
from tenants.permissions import Permission

#: What sets the fingerprints of this resource apart from those of others.
DOOR = "records"
_DEEPEST = 64
_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin")]


class Body(msgspec.Struct):
    """The body of an ordinary request; ``api.RecordIn`` is the schema that callers see."""

    channel: str
    recipient: str
    content: dict[str, Any]
    context: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    lane: Literal["critical", "normal", "bulk"] = "normal"
    scheduled_at: datetime | None = None
    expires_at: datetime | None = None
    user_id: Any = None  # people have addresses and a language, which the long way looks up


class _Words(msgspec.Struct):
    """What makes a request one for the long way: words that stand in the database."""

    template: Any = None
    locale: Any = None


_HSTS = f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains".encode()
_UNKNOWN = orjson.dumps(
    {
        "detail": "The database was lost while it was writing: whether the record was accepted is not known. "
        "Repeat with an Idempotency-Key to be sure of sending once.",
        "code": "unavailable",
    }
)
_decoder = msgspec.json.Decoder(Body)
_words = msgspec.json.Decoder(_Words)


class RecordsDoor:
    """The door of one event loop, made at its first use."""

    def __init__(self) -> None:
        self._commit: GroupCommit | None = None

    async def __call__(self, request: Request) -> Reply | None:
        """Accept one record, or return None for the long way."""
        caller = await _caller(request)
        if caller is None or caller.tenant_id is None or not caller.may(Permission.NOTIFICATIONS_WRITE):
            return None
        if not _is_ordinary(request):
            return None
        try:
            if b'"template"' in request.body or b'"locale"' in request.body:
                words = _words.decode(request.body)
                if words.template is not None or words.locale is not None:
                    return None
            body = _decoder.decode(request.body)
            if body.user_id is not None:
                return None
            new = NewRecord(**{name: getattr(body, name) for name in Body.__struct_fields__ if name != "user_id"})
            if not _has_a_way(caller, new):
                return None
            record = build_record(caller, new, datetime.now(UTC))
        except (msgspec.MsgspecError, ServiceError):
            return None
        answer = represent(record)
        key, name = None, request.header(b"idempotency-key")
        if b"idempotency-key" in request.headers:
            if not is_usable_key(name):
                return None
            key = Key(
                id=new_id(),
                key=name,
                request_hash=fingerprint_of(DOOR, orjson.loads(request.body)).hex(),
                answer=answer,
                expires_at=(record.created_at + timedelta(hours=settings.IDEMPOTENCY_HOURS)).isoformat(),
            )
        if self._commit is None:
            self._commit = GroupCommit()
        try:
            if not await self._commit.write(record, key):
                return None
        except psycopg.Error:
            return None
        except CommitUnknown:
            # Going the long way now could write it twice. The caller decides; with a key, repeating is safe.
            return Reply(503, _UNKNOWN, [(b"retry-after", b"1"), *_headers(request)])
        location = (b"location", f"/api/notifications/records/{answer['id']}/".encode())
        return Reply(201, orjson.dumps(answer), [location, *_headers(request)])

    async def close(self) -> None:
        """Let go of the connections."""
        if self._commit is not None:
            await self._commit.close()
            self._commit = None


async def _caller(request: Request) -> Caller | None:
    names = (b"authorization", b"x-api-key", b"x-api-secret")
    authorization, key, secret = (request.header(name) for name in names)
    return await callers.get(fingerprint(authorization, key, secret, request.peer, request.header(b"x-forwarded-for")))


def _is_ordinary(request: Request) -> bool:
    """Whether the request asks for nothing that only the framework can do."""
    headers, body = request.headers, request.body
    accept = headers.get(b"accept", b"*/*")
    return (
        headers.get(b"content-type", b"").startswith(b"application/json")
        and (b"*/*" in accept or b"application/json" in accept)
        and not headers.keys() & {b"origin", b"content-encoding", b"expect"}
        and validate_host(request.header(b"host").rpartition(":")[0] or request.header(b"host"), settings.ALLOWED_HOSTS)
        and (request.scheme == "https" or not settings.SECURE_SSL_REDIRECT)
        and body.count(b"{") + body.count(b"[") <= _DEEPEST
        and b"\\u0000" not in body
    )


def _has_a_way(caller: Caller, new: NewRecord) -> bool:
    tenant_id = caller.required_tenant_id()
    times = (new.scheduled_at, new.expires_at)
    return (
        known_limits(tenant_id) is not None
        and known_to_have_credential(tenant_id, new.channel, caller.mode)
        and (new.lane == Lane.NORMAL or is_known(tenant_id, "lane", new.lane))
        and ("priority" not in new.content or is_known(tenant_id, "priority", new.content["priority"]))
        and all(moment is None or moment.tzinfo is not None for moment in times)
    )


def _headers(request: Request) -> list[tuple[bytes, bytes]]:
    asked = request.header(b"x-request-id")
    request_id = asked if is_request_id(asked) else str(new_id())
    return [
        (b"x-request-id", request_id.encode()),
        *_HEADERS,
        *([(b"strict-transport-security", _HSTS)] if settings.SECURE_HSTS_SECONDS else []),
    ]
