"""Who has not read for a while is told elsewhere: a due row a person and conversation, which reading takes back.

One notice is sent for a run of unread messages; there is no other until its reader has read on. Channels send none.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from messaging.models import ChatMessage, Conversation, ConversationKind, MessageType, Participant, UnreadNotice
from messaging.services import presence
from messaging.services.people import local_ids
from notification_service.lib.errors import ServiceError
from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.recipients.people import addresses_of, people_by_user_id
from notifications.recipients.services import devices_of
from notifications.records.intake import NewRecord, accept
from tenants.callers import Caller, system_caller
from tenants.models import Membership

log = structlog.get_logger(__name__)

#: What notices say of themselves: preferences and suppressions go by it.
CATEGORY: Final = "chat"
#: People told of in one transaction.
_BATCH: Final = 200
#: Characters of what a notice says at most.
_MAX_TITLE: Final = 150
_EXCERPT: Final = 200


def plan(conversation: Conversation, message: ChatMessage) -> None:
    """Have everybody else told of a message if they have not read it in time. The conversation is locked."""
    if conversation.kind == ConversationKind.CHANNEL or settings.CHAT_NOTICE_MINUTES <= 0:
        return
    waiting = (
        Participant.objects.filter(
            conversation=conversation, left_at=None, muted=False, notified_seq__lte=F("last_read_seq")
        )
        .exclude(user_id=message.sender_id)
        .values_list("user_id", flat=True)
    )
    due_at = message.created_at + _delay()
    UnreadNotice.objects.bulk_create(
        [
            UnreadNotice(
                tenant_id=conversation.tenant_id,
                conversation=conversation,
                user_id=user_id,
                first_seq=message.seq,
                due_at=due_at,
            )
            for user_id in waiting
        ],
        ignore_conflicts=True,
    )


def cancel(conversation_id: UUID, user_id: str) -> None:
    """Forget that somebody was to be told."""
    UnreadNotice.objects.filter(conversation_id=conversation_id, user_id=user_id).delete()


def read_up_to(conversation: Conversation, user_id: str, seq: int) -> None:
    """Forget what somebody has read; what came after it is waited for anew."""
    notice = UnreadNotice.objects.filter(conversation=conversation, user_id=user_id)
    if seq >= conversation.last_seq:
        notice.delete()
    else:
        notice.filter(first_seq__lte=seq).update(first_seq=seq + 1, due_at=timezone.now() + _delay())


def send_due(now: datetime) -> int:
    """Tell everybody whose time has come; return how many records were accepted. Opens scopes of its own."""
    with platform_scope("chat notices that are due"):
        tenants = list(
            UnreadNotice.objects.filter(due_at__lte=now).order_by().values_list("tenant_id", flat=True).distinct()
        )
    return sum(_send_for(tenant_id, now) for tenant_id in tenants)


def _send_for(tenant_id: UUID, now: datetime) -> int:
    accepted = 0
    while True:
        with tenant_scope(tenant_id):
            due = list(
                UnreadNotice.objects.select_for_update(skip_locked=True, of=("self",))
                .filter(due_at__lte=now)
                .order_by("due_at")
                .select_related("conversation")[:_BATCH]
            )
            if not due:
                return accepted
            statuses = presence.statuses(tenant_id, {notice.user_id for notice in due})
            here = [notice for notice in due if statuses[notice.user_id].is_here]
            # Who sits in front of it will see it, or go away: ask again later.
            for notice in here:
                notice.due_at = now + _delay()
            UnreadNotice.objects.bulk_update(here, ["due_at"])
            away = [notice for notice in due if notice not in here]
            accepted += _tell(tenant_id, away)
            UnreadNotice.objects.filter(id__in=[notice.id for notice in away]).delete()


def _tell(tenant_id: UUID, notices: Sequence[UnreadNotice]) -> int:
    reaches = _reaches({notice.user_id for notice in notices})
    caller = system_caller(tenant_id, "chat")
    accepted = 0
    for notice in notices:
        place = Participant.objects.filter(
            conversation=notice.conversation, user_id=notice.user_id, left_at=None, muted=False
        ).first()
        if place is None:
            continue
        unread = list(
            ChatMessage.objects.filter(conversation=notice.conversation, seq__gt=place.last_read_seq, deleted_at=None)
            .exclude(message_type=MessageType.SYSTEM)
            .exclude(sender_id=notice.user_id)
            .defer("search")
            .order_by("-seq")[:100]
        )
        if not unread:
            continue
        contents, words = _message(notice, unread)
        metadata = {"category": CATEGORY, **contents["inapp"]["data"]}
        for channel, addresses in reaches[notice.user_id].items():
            for address in addresses:
                new = NewRecord(
                    channel,
                    address,
                    contents[channel],
                    context=words,
                    metadata=metadata,
                    user_id=notice.user_id,
                )
                accepted += _accept(caller, new)
        place.notified_seq = notice.conversation.last_seq
        place.save(update_fields=["notified_seq"])
    return accepted


def _accept(caller: Caller, new: NewRecord) -> int:
    try:
        with transaction.atomic():
            accept(caller, new)
    except ServiceError as error:
        # The tenant has no credential for this channel, or the address is none: the other channels remain.
        log.info("chat_notice_not_accepted", channel=new.channel, code=error.error_code)
        return 0
    return 1


def _reaches(user_ids: set[str]) -> dict[str, dict[str, list[str]]]:
    """Return each person's addresses by channel: inbox, devices, email. Text messages cost too much for this."""
    people = people_by_user_id(user_ids)
    tokens = addresses_of(list(people.values()), "push")
    # Members of the tenant need not be among its recipients; what they sign in with is theirs all the same.
    strangers = user_ids - people.keys()
    devices = devices_of(strangers)
    signed_in = Membership.objects.filter(user_id__in=local_ids(strangers)).values_list("user_id", "user__email")
    emails = {str(user_id): email for user_id, email in signed_in}
    emails |= {user_id: person.email for user_id, person in people.items() if person.email}
    reaches = {}
    for user_id in user_ids:
        person = people.get(user_id)
        reaches[user_id] = {
            "inapp": [user_id],
            "push": tokens[person.id] if person else [device.token for device in devices.get(user_id, ())],
            "email": [emails[user_id]] if user_id in emails else [],
        }
    return reaches


#: The words stand in the context, where nothing is taken for a placeholder.
_TITLE: Final = "{{ title }}"
_BODY: Final = "{{ body }}"


def _message(notice: UnreadNotice, unread: Sequence[ChatMessage]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return what each channel says, and the words for it."""
    newest = unread[0]
    who = newest.sender_name or newest.sender_id or "Somebody"
    where = "" if notice.conversation.kind == ConversationKind.DIRECT else f" in {notice.conversation.title}"
    number = "a new message" if len(unread) == 1 else f"{len(unread)} new messages"
    words = {
        "title": _one_line(f"{who}{where}: {number}", _MAX_TITLE),
        "body": _one_line(newest.text or f"({newest.message_type})", _EXCERPT),
    }
    data = {"conversation_id": str(notice.conversation_id), "message_id": str(newest.id)}
    shown = {"title": _TITLE, "body": _BODY, "data": data}
    return {"inapp": shown, "push": shown, "email": {"subject": _TITLE, "text": _BODY}}, words


def _one_line(text: str, limit: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _delay() -> timedelta:
    return timedelta(minutes=settings.CHAT_NOTICE_MINUTES)
