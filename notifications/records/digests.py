"""Digests: emails that wait for a moment that their reader has chosen become one.

They wait as ``preferred.py`` and the rooms above have written them: marked (``provider_response``), and due a margin
after their moment. In between they are gathered here. What nobody has gathered goes out by itself: nothing is lost.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from notification_service.lib.errors import InvalidInput
from notification_service.lib.ids import id_floor
from notification_service.lib.scope import current_tenant_id, platform_scope, tenant_scope
from notifications.channels.base import ContentError
from notifications.channels.registry import channels
from notifications.recipients.digest_times import MARGIN
from notifications.recipients.models import Digest
from notifications.recipients.preferences import ANY_TIME, DIGEST, Defer, Planned, Withhold, decide
from notifications.recipients.suppressions import Addressee, category_of, find_suppressed
from notifications.records.bulk import Row, Shared, write_rows
from notifications.records.ends import announce_ends
from notifications.records.models import NotificationRecord, RecordEvent
from notifications.records.preferred import DIGEST_OF, UNGATHERED, can_be_gathered
from notifications.records.queue import WITH_LANES
from notifications.records.states import EDITABLE, WAITING_SQL, Lane, Status
from notifications.records.wake import wake_after_commit
from notifications.records.words import fill_in
from notifications.templates.building import UNSUBSCRIBE
from notifications.templates.models import MessageTemplateVersion
from notifications.templates.rendering import compiled_version, compiled_versions
from notifications.templates.services import resolve

log = structlog.get_logger(__name__)

#: The template of a digest, which gets ``count``, ``messages`` (``subject`` and ``excerpt`` of each) and ``more``.
TEMPLATE: Final = "digest.email"
#: What a gathered record says of itself, and who is said to have done it.
DIGESTED: Final = "digested"
BY: Final = "digest"
#: Messages that a digest shows, characters that it shows of each, and messages that it stands for at most.
LISTED: Final = 50
EXCERPT: Final = 200
MOST: Final = 1_000
#: A run stops after so many seconds; the next one goes on.
RUN_SECONDS: Final = 50.0
#: People whose messages are looked for at a time.
_BATCH: Final = 500
#: So long after a moment its messages are all committed.
_SETTLED: Final = timedelta(seconds=2)
_LANES: Final = [str(Lane.NORMAL), str(Lane.BULK)]
_MARKS: Final = [f"{DIGEST}{each}" for each in (Digest.HOURLY, Digest.DAILY)]
_SPACES: Final = re.compile(r"\s+")

_READY: Final = f"""r.status IN ({WAITING_SQL}) AND r.due_at > now() AND r.due_at <= now() + %(ahead)s
    AND r.attempt_count = 0 AND r.provider_response = ANY (%(marks)s)"""
# The limit keeps the planner to one look at each lane.
_TENANTS: Final = f"""{WITH_LANES}
SELECT DISTINCT tenant_id FROM lanes, LATERAL (
    SELECT FROM notification_record AS r
    WHERE r.tenant_id = lanes.tenant_id AND r.lane = lanes.lane AND {_READY} LIMIT 1
) AS ready WHERE lane = ANY (%(lanes)s)
"""
_READERS: Final = f"""
SELECT r.user_id, r.recipient, r.mode, (array_agg(r.id ORDER BY r.id))[:%(most)s] FROM notification_record AS r
WHERE r.tenant_id = %(tenant)s AND r.lane = ANY (%(lanes)s) AND {_READY}
GROUP BY 1, 2, 3 ORDER BY min(r.due_at), 1, 2, 3 LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class _Reader:
    """Somebody at an address, and the mode in which all of a digest is sent."""

    user_id: str
    recipient: str
    mode: str


@dataclass(frozen=True, slots=True)
class _Part:
    """What a digest shows of a message."""

    record: NotificationRecord
    subject: str
    excerpt: str


def gather(*, seconds: float = RUN_SECONDS) -> int:
    """Make digests of all whose moment has come; return how many. Opens its own scopes: a transaction for each reader.

    Any number may run at the same time: no message is in two digests, and all of a reader's are in one.
    """
    ends, made = time.monotonic() + seconds, 0
    with platform_scope("whose digests are due"), connection.cursor() as cursor:
        cursor.execute(_TENANTS, _asked())
        tenants = sorted(row[0] for row in cursor.fetchall())
    for tenant_id in tenants:
        for reader, ids in _readers(tenant_id):
            if time.monotonic() > ends:
                return made
            try:
                with tenant_scope(tenant_id):
                    made += _gather(reader, ids)
            except (OperationalError, InterfaceError):
                raise
            except Exception:  # what can not be gathered goes out by itself, and does not keep the others waiting
                log.exception("digest_not_made", tenant_id=str(tenant_id))
    return made


def reconsider(user_id: str) -> int:
    """Do to what waits for a person's digest what they have chosen now; return how much there was.

    For somebody who wants no digest any more it goes out at once, or when it was scheduled. Needs the tenant's scope.
    """
    now = timezone.now()
    rows = NotificationRecord.objects.filter(
        user_id=user_id, lane__in=_LANES, status__in=EDITABLE, attempt_count=0, due_at__gt=now,
        provider_response__in=_MARKS,
    )  # fmt: skip
    records = list(rows.select_for_update(skip_locked=True, of=("self",)))
    planned = [
        Planned(
            user_id,
            record.channel,
            max(now, record.scheduled_at or now),
            category_of(record.metadata),
            str(record.lane),
            ANY_TIME if can_be_gathered(record.channel, record.content) else None,
        )
        for record in records
    ]
    for record, plan, decision in zip(records, planned, decide(planned), strict=True):
        match decision:
            case Withhold():  # what has been accepted is not taken back: it goes out when it was to
                continue
            case Defer() as wait:
                due_at, record.provider_response = wait.due_at, wait.reason
            case _:
                due_at, record.provider_response = plan.due_at, ""
        record.expires_at += max(timedelta(), due_at - record.due_at)
        record.due_at, record.updated_at = due_at, now
        record.status = Status.SCHEDULED if due_at > now else Status.PENDING
    fields = ["due_at", "expires_at", "status", "provider_response", "updated_at"]
    NotificationRecord.objects.bulk_update(records, fields, batch_size=MOST)
    for lane in {str(record.lane) for record in records if record.due_at <= now}:
        wake_after_commit(current_tenant_id(), lane)
    return len(records)


def _asked(**more: Any) -> dict[str, Any]:
    return {"ahead": MARGIN - _SETTLED, "marks": _MARKS, "lanes": _LANES, **more}


def _readers(tenant_id: UUID) -> Iterator[tuple[_Reader, list[UUID]]]:
    """Yield who has messages to be gathered, and which; everybody once. Opens scopes of its own."""
    seen: set[tuple[_Reader, UUID]] = set()
    while True:
        with tenant_scope(tenant_id), connection.cursor() as cursor:
            cursor.execute(_READERS, _asked(tenant=tenant_id, most=MOST, limit=_BATCH))
            found = [(_Reader(*row[:3]), list(row[3])) for row in cursor.fetchall()]
        new = [(reader, ids) for reader, ids in found if (reader, ids[0]) not in seen]
        if not new:
            return
        seen.update((reader, ids[0]) for reader, ids in new)
        yield from new


def _gather(reader: _Reader, ids: Sequence[UUID]) -> int:
    """Make one digest of some messages to a reader, or let them go. Needs the tenant's scope."""
    with connection.cursor() as cursor:  # who is at it already gathers all of them
        key = f"digest:{current_tenant_id()}:{reader.mode}:{reader.user_id}:{reader.recipient}"
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [key])
        if not cursor.fetchone()[0]:
            return 0
    now = timezone.now()
    waiting = NotificationRecord.objects.filter(
        id__in=ids, user_id=reader.user_id, recipient=reader.recipient, mode=reader.mode, lane__in=_LANES,
        status__in=EDITABLE, attempt_count=0, due_at__gt=now, due_at__lte=now + MARGIN, provider_response__in=_MARKS,
    )  # fmt: skip
    records = list(waiting.order_by("id").select_for_update(skip_locked=True, of=("self",)))
    parts = _parts(records)
    version = _version() if len(parts) > 1 else None
    if version is None:
        _release(records, now)
        return 0
    gathered = {part.record.id for part in parts}
    _release([record for record in records if record.id not in gathered], now)
    if not _write(reader, parts, version, now):
        _release([part.record for part in parts], now)
        return 0
    return 1


def _parts(records: Sequence[NotificationRecord]) -> list[_Part]:
    """Return what a digest would show, but for what must go out by itself: to fail, or with what no digest shows."""
    addressees = {
        record.id: Addressee(record.channel, record.recipient, str(record.lane), category_of(record.metadata))
        for record in records
    }
    held = find_suppressed(addressees.values())
    templates = compiled_versions({record.template_version_id for record in records if record.template_version_id})
    parts = []
    for record in records:
        template = templates.get(record.template_version_id) if record.template_version_id else None
        if addressees[record.id] in held or (record.template_version_id and template is None):
            continue
        try:
            said = fill_in(record, channels.get(record.channel), template)
        except ContentError:
            continue
        if not any(said.get(name) for name in UNGATHERED):
            parts.append(_Part(record, said["subject"], _excerpt(said["text"])))
    return parts


def _excerpt(text: str) -> str:
    line = _SPACES.sub(" ", text).strip()
    return line if len(line) <= EXCERPT else f"{line[: EXCERPT - 1].rstrip()}…"


def _version() -> MessageTemplateVersion | None:
    try:
        return resolve(TEMPLATE, channel="email")
    except InvalidInput as error:  # the tenant's own, and it can not be used
        log.warning("digest_has_no_template", tenant_id=str(current_tenant_id()), error=error.message)
        return None


def _write(reader: _Reader, parts: Sequence[_Part], version: MessageTemplateVersion, now: datetime) -> bool:
    """Write a digest, and end what is in it; return False if its template can not be filled in."""
    records = [part.record for part in parts]
    listed = [{"subject": part.subject, "excerpt": part.excerpt} for part in parts[:LISTED]]
    context = {"count": len(parts), "messages": listed, "more": len(parts) - len(listed)}
    locale = next((record.locale for record in records if record.locale), "")
    try:
        compiled_version(version.id).render({UNSUBSCRIBE: "", **context}, locale=locale)
    except ContentError as error:
        log.warning("digest_not_rendered", tenant_id=str(current_tenant_id()), error=error.message)
        return False
    lane = Lane.BULK if any(record.lane == Lane.BULK for record in records) else Lane.NORMAL
    categories = {category_of(record.metadata) for record in records}
    about = categories.pop() if len(categories) == 1 else ""
    digest_id = _digest_id(records)
    shared = Shared(
        channel="email",
        due_at=now,
        expires_at=now + settings.LANE_DEADLINES[str(lane)],
        template_version_id=version.id,
        metadata={DIGEST_OF: len(parts), **({"category": about} if about else {})},
        lane=str(lane),
        mode=reader.mode,
        created_by=BY,
    )
    write_rows(shared, [Row(digest_id, reader.recipient, context, user_id=reader.user_id, locale=locale)])
    for record in records:
        record.status, record.provider_response = Status.CANCELLED, DIGESTED
        record.metadata = {**record.metadata, "digest_id": str(digest_id)}
        record.due_at = record.updated_at = now
    fields = ["status", "provider_response", "metadata", "due_at", "updated_at"]
    NotificationRecord.objects.bulk_update(records, fields, batch_size=200)
    RecordEvent.objects.bulk_create(
        RecordEvent(
            tenant_id=current_tenant_id(),
            record_id=record.id,
            kind=DIGESTED,
            actor=BY,
            detail={"status": str(Status.CANCELLED), "digest": str(digest_id)},
            created_at=now,
        )
        for record in records
    )
    announce_ends(records)
    return True


def _digest_id(records: Sequence[NotificationRecord]) -> UUID:
    """Return the id of the digest of some messages, always the same: a UUIDv7 of the moment that they waited for."""
    moment = max(record.due_at for record in records) - MARGIN
    noise = int.from_bytes(sha256(b"".join(record.id.bytes for record in records)).digest()[:10])
    return UUID(int=id_floor(moment).int | 7 << 76 | (noise >> 68) << 64 | 2 << 62 | noise & (1 << 62) - 1)


def _release(records: Sequence[NotificationRecord], now: datetime) -> None:
    """Let messages go out by themselves, now."""
    if not records:
        return
    ids = [record.id for record in records]
    NotificationRecord.objects.filter(id__in=ids).update(due_at=now, updated_at=now)
    for lane in {str(record.lane) for record in records}:
        wake_after_commit(current_tenant_id(), lane)
