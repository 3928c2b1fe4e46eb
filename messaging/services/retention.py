"""What goes: messages past their tenant's time for chat, and everything that a person left behind, on their wish.

A tenant says how long by ``retention_days`` with the key ``chat``, like for the records of a channel.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from messaging.events import announce
from messaging.models import ChatFile, ChatMessage, Conversation, MessageType, Participant, Reaction, UnreadNotice
from messaging.representation import represent_file, represent_messages, represent_participant, rfc3339
from messaging.services import conversations, files, presence
from messaging.services.people import user_ids_in
from notification_service.lib.ids import id_floor
from notification_service.lib.scope import current_tenant_id, tenant_scope
from notifications.recipients.hooks import KnownAs
from tenants.models import Tenant

_BATCH: Final = 500
#: A run stops after so many seconds; the next one goes on.
RUN_SECONDS: Final = 120.0
KEY: Final = "chat"


def delete_old(*, now: datetime, seconds: float = RUN_SECONDS) -> int:
    """Delete messages that are older than their tenants want, with their files and reactions; return how many."""
    ends, deleted = time.monotonic() + seconds, 0
    chosen = Tenant.objects.filter(settings__retention_days__has_key=KEY).values_list(
        "id", f"settings__retention_days__{KEY}"
    )
    for tenant_id, days in list(chosen):
        before = id_floor(now - timedelta(days=int(days)))
        while time.monotonic() < ends:
            with tenant_scope(tenant_id):
                count = _delete_batch(before)
            deleted += count
            if count < _BATCH:
                break
    return deleted


def _delete_batch(before: UUID) -> int:
    rows = list(ChatMessage.objects.filter(id__lt=before).order_by("id").values_list("id", "file_id")[:_BATCH])
    ids = [message_id for message_id, _ in rows]
    found = list(ChatFile.objects.filter(id__in=[file_id for _, file_id in rows if file_id]))
    ChatMessage.objects.filter(reply_to_id__in=ids).update(reply_to=None)
    Reaction.objects.filter(message_id__in=ids).delete()
    ChatMessage.objects.filter(id__in=ids).delete()
    files.discard(found)
    return len(ids)


def export(user_id: str) -> Iterator[dict[str, Any]]:
    """Yield everything that chat holds of a person, as JSON values with a ``kind``. Needs the tenant's scope."""
    for place in Participant.objects.filter(user_id=user_id).select_related("conversation").iterator(_BATCH):
        yield {
            "kind": "participant",
            "conversation_id": str(place.conversation_id),
            "title": place.conversation.title,
            **represent_participant(place),
            "left_at": rfc3339(place.left_at),
        }
    after = UUID(int=0)
    while batch := list(
        ChatMessage.objects.filter(sender_id=user_id, id__gt=after).defer("search").order_by("id")[:_BATCH]
    ):
        for message in represent_messages(batch):
            yield {"kind": "message", **message}
        after = batch[-1].id
    for reaction in Reaction.objects.filter(user_id=user_id).iterator(_BATCH):
        yield {
            "kind": "reaction",
            "message_id": str(reaction.message_id),
            "emoji": reaction.emoji,
            "created_at": rfc3339(reaction.created_at),
        }
    for file in ChatFile.objects.filter(uploaded_by=user_id).iterator(_BATCH):
        yield {"kind": "file", **represent_file(file), "created_at": rfc3339(file.created_at)}


def erase_known(known: KnownAs) -> None:
    """Erase a person whom the tenant erases (``recipients.hooks.on_erased``)."""
    for user_id in known.user_ids:
        erase(user_id)


def export_known(known: KnownAs) -> dict[str, Any]:
    """Return what chat holds of a person whose data is exported (``recipients.hooks.on_export``)."""
    return {"chat": [each for user_id in known.user_ids for each in export(user_id)]}


def erase(user_id: str) -> int:
    """Erase what a person said, sent and reacted, their name, and that they took part; return how many messages.

    Their messages keep their place, empty and without a sender. Needs the tenant's scope.
    """
    erased = 0
    concerned = set(Participant.objects.filter(user_id=user_id).values_list("conversation_id", flat=True))
    concerned |= set(ChatMessage.objects.filter(sender_id=user_id).values_list("conversation_id", flat=True).distinct())
    for conversation_id in sorted(concerned):
        conversation = Conversation.objects.select_for_update(no_key=True).get(id=conversation_id)
        erased += _erase_in(conversation, user_id)
    Reaction.objects.filter(user_id=user_id).delete()
    UnreadNotice.objects.filter(user_id=user_id).delete()
    files.discard(ChatFile.objects.filter(uploaded_by=user_id))
    Conversation.objects.filter(created_by=user_id).update(created_by="")
    presence.forget(current_tenant_id(), user_id)
    return erased


def _erase_in(conversation: Conversation, user_id: str) -> int:
    place = Participant.objects.filter(conversation=conversation, user_id=user_id).first()
    if place is not None and place.left_at is None:
        conversations.take_out(conversation, place)
    rows = ChatMessage.objects.filter(conversation=conversation)
    names = [text for text in (user_id, place.name if place else "") if text]
    named = Q()
    for text in names:
        named |= Q(text__contains=text)
    conversation.revision += 1
    gone = {"text": "", "file": None, "deleted_at": timezone.now(), "revision": conversation.revision}
    rows.filter(named, message_type=MessageType.SYSTEM).update(**gone)
    count = rows.filter(sender_id=user_id).update(**gone, sender_id=None, sender_name="")
    rows.filter(reactions__user_id=user_id).update(revision=conversation.revision)
    if conversation.direct_key is not None:
        conversation.direct_key = f"erased:{conversation.id}"
    conversation.save(update_fields=["revision", "direct_key", "updated_at"])
    if place is not None:
        place.delete()
    announce(
        conversation.tenant_id,
        {"type": "conversation_updated", "conversation_id": str(conversation.id)},
        conversations=[conversation.id],
        users=user_ids_in(conversation.id),
        everywhere=True,
        revision=conversation.revision,
    )
    return count
