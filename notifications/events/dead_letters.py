"""Messages that could not be taken in: kept with the reason, shown masked, taken in again after a fix."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson
from django.db.models import QuerySet
from django.utils import timezone

from notification_service.lib.encryption import key_ring
from notification_service.lib.errors import Conflict, NotFound, ServiceError, Unavailable
from notification_service.lib.ids import new_id
from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.events.catalogue import check_payload
from notifications.events.intake import Accepted, accept_events
from notifications.events.models import DeadLetter
from notifications.events.schemas import RegistryAway, is_wrapped, unwrapped
from notifications.events.secrets import take_out
from notifications.events.shapes import MAX_BYTES, NewEvent, read_message
from tenants import audit, limits
from tenants.callers import Caller
from tenants.models import Tenant, TenantStatus

#: Bytes of a message that are shown.
_SHOWN: Final = 20_000
_REMEMBERED: Final = 10.0
_MOST_REMEMBERED: Final = 10_000
_active: dict[str, tuple[float, UUID | None]] = {}


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that is to be buried, and why. ``tenant_id`` is None if it names no tenant that we know."""

    topic: str
    partition: int
    offset: int
    key: str
    message: bytes
    code: str
    reason: str
    tenant_id: UUID | None = None
    #: Chosen where a repetition must be known by its place.
    id: UUID | None = None


def bury(letters: Sequence[Letter]) -> None:
    """Write dead letters; one that was buried before stays as it is. Needs ``platform_scope``."""
    now = timezone.now()
    DeadLetter.objects.bulk_create([_buried(letter, now) for letter in letters], ignore_conflicts=True)


def message_of(letter: DeadLetter) -> bytes:
    """Return the message as it came."""
    return key_ring().decrypt(bytes(letter.message_encrypted), associated_data=letter.associated_data)


def list_dead_letters() -> QuerySet[DeadLetter]:
    """Return the tenant's dead letters. Those that name no tenant are the platform's, in the admin."""
    return DeadLetter.objects.all()


def get_dead_letter(letter_id: UUID) -> DeadLetter:
    """Return one of the tenant's dead letters. Raises ``NotFound``."""
    letter = DeadLetter.objects.filter(id=letter_id).first()
    if letter is None:
        raise NotFound
    return letter


def replay(caller: Caller, letter_id: UUID) -> Accepted:
    """Take a message in again. Raises ``NotFound``, ``Conflict`` if that was done, ``InvalidInput`` if it is still bad,
    ``TooManyRequests`` beyond the tenant's plan, and ``Unavailable`` while the schema registry is away.

    Needs the scope of the letter's tenant, or the platform's.
    """
    letter = DeadLetter.objects.select_for_update().filter(id=letter_id).first()
    if letter is None:
        raise NotFound
    if letter.replayed_at:
        raise Conflict("It was taken in already.", code="already_replayed")
    try:
        tenant_id, new = understood(message_of(letter), source=letter.topic)
    except RegistryAway as error:
        raise Unavailable(f"It can not be read now: {error}.") from None
    if letter.tenant_id not in (None, tenant_id):
        raise NotFound
    limits.admit_events(tenant_id, new.mode, 1)
    with tenant_scope(tenant_id):
        (accepted,) = accept_events([new], process=True)
    letter.replayed_at, letter.event_id = timezone.now(), accepted.event.id
    letter.save(update_fields=["replayed_at", "event_id"])
    audit.record(caller, "dead_letter.replayed", "dead_letter", letter.id, event_id=str(accepted.event.id))
    return accepted


def replay_as_staff(caller: Caller, letter_id: UUID) -> Accepted:
    """Like ``replay``, for letters of all tenants and of none."""
    with platform_scope("replay a dead letter"):
        return replay(caller, letter_id)


def understood(message: bytes | None, *, source: str, id: UUID | None = None) -> tuple[UUID, NewEvent]:
    """Return tenant and event of a message.

    Raises ``InvalidInput``, ``UnknownTenant``, ``BadPayload``, and ``RegistryAway``, of which no message is guilty.
    """
    if message is not None and is_wrapped(message) and len(message) <= MAX_BYTES:
        message = unwrapped(message)
    name, new = read_message(message, source=source, id=id)
    tenant_id = active_tenant(name)
    try:
        check_payload(new.type, new.payload)
    except ServiceError as error:
        raise BadPayload(error.message, errors=error.errors, tenant_id=tenant_id) from None
    return tenant_id, new


def active_tenant(name: str) -> UUID:
    """Return the tenant of this id, ours or its own (``external_id``), as of ten seconds ago at most.

    Raises ``UnknownTenant`` if there is none that is active or on trial.
    """
    until, found = _active.get(name, (0.0, None))
    if until < time.monotonic():
        found = _look_up(name)
        # A tenant that is just being made is asked for again at once.
        if found:
            if len(_active) >= _MOST_REMEMBERED:
                _active.clear()
            _active[name] = (time.monotonic() + _REMEMBERED, found)
    if found is None:
        raise UnknownTenant(f"tenant_id: There is no active tenant {name!r}.")
    return found


def _look_up(name: str) -> UUID | None:
    rows = Tenant.objects.filter(status__in=(TenantStatus.ACTIVE, TenantStatus.TRIAL))
    try:
        own = rows.filter(id=UUID(name))
    except ValueError:
        own = rows.none()
    found = own.values_list("id", flat=True).first()
    return found or rows.filter(external_id=name).values_list("id", flat=True).first()


class UnknownTenant(ServiceError):
    code, status, detail = "unknown_tenant", 400, "There is no such tenant."


class BadPayload(ServiceError):
    """The payload of a known event does not fit its schema; whose event it is, is known."""

    code, status, detail = "bad_payload", 400, "The payload does not fit."

    def __init__(self, detail: str, *, errors: Mapping[str, list[str]], tenant_id: UUID) -> None:
        super().__init__(detail, errors=errors)
        self.tenant_id = tenant_id


def _buried(letter: Letter, now: Any) -> DeadLetter:
    row = DeadLetter(
        id=letter.id or new_id(),
        tenant_id=letter.tenant_id,
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        key=letter.key.replace("\x00", "")[:255],
        shown=_shown(letter.message),
        code=letter.code,
        reason=letter.reason[:2000],
        created_at=now,
    )
    row.message_encrypted = key_ring().encrypt(letter.message, associated_data=row.associated_data)
    return row


def _shown(message: bytes) -> Any:
    """What people may see of a message: secrets masked, and of what is no JSON nothing but its length."""
    try:
        body = orjson.loads(message)
        if not isinstance(body, dict):
            return {"json": type(body).__name__, "bytes": len(message)}
        kind = next((body[name] for name in ("event_type", "type", "eventType") if isinstance(body.get(name), str)), "")
        shown = take_out(kind, body)[0]
        if len(dumped := orjson.dumps(shown)) > _SHOWN or b"\\u0000" in dumped:
            return {"bytes": len(message), "fields": [str(name)[:100].replace("\x00", "") for name in body][:50]}
    except (orjson.JSONDecodeError, TypeError, RecursionError):
        return {"bytes": len(message)}
    return shown
