"""Messages, participants and conversations as REST and sockets show them: one function for every door."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from messaging.models import ChatFile, ChatMessage, Conversation, Participant, Reaction

#: People named with each reaction.
MAX_NAMED: Final = 100


def rfc3339(moment: datetime | None) -> str | None:
    """Return a time as text, in UTC."""
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def represent_messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Return messages as JSON values, their reactions and files found in one query each. Needs the tenant's scope."""
    reactions: dict[UUID, dict[str, list[str]]] = {}
    for message_id, emoji, user_id in Reaction.objects.filter(message_id__in=[m.id for m in messages]).values_list(
        "message_id", "emoji", "user_id"
    ):
        reactions.setdefault(message_id, {}).setdefault(emoji, []).append(user_id)
    files = ChatFile.objects.in_bulk([message.file_id for message in messages if message.file_id])
    return [
        represent_message(
            message, files.get(message.file_id) if message.file_id else None, reactions.get(message.id, {})
        )
        for message in messages
    ]


def represent_message(
    message: ChatMessage, file: ChatFile | None, reactions: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Return one message as JSON values; ``reactions`` are user ids by emoji."""
    return {
        "id": str(message.id),
        "conversation_id": str(message.conversation_id),
        "seq": message.seq,
        "revision": message.revision,
        "client_message_id": message.client_message_id,
        "sender_id": message.sender_id,
        "sender_name": message.sender_name,
        "message_type": str(message.message_type),
        "text": message.text,
        "file": represent_file(file) if file else None,
        "reply_to": str(message.reply_to_id) if message.reply_to_id else None,
        "reactions": [
            {"emoji": emoji, "count": len(user_ids), "user_ids": list(user_ids[:MAX_NAMED])}
            for emoji, user_ids in reactions.items()
        ],
        "created_at": rfc3339(message.created_at),
        "edited_at": rfc3339(message.edited_at),
        "deleted_at": rfc3339(message.deleted_at),
    }


def represent_file(file: ChatFile) -> dict[str, Any]:
    """Return a file as JSON values, without its address: that is signed for whoever asks for it."""
    return {
        "id": str(file.id),
        "name": file.name,
        "content_type": file.content_type,
        "size": file.size,
        "width": file.width,
        "height": file.height,
    }


def represent_participant(participant: Participant, status: str | None = None) -> dict[str, Any]:
    """Return a participant as JSON values; ``status`` is their presence, where it is known."""
    shown: dict[str, Any] = {
        "user_id": participant.user_id,
        "name": participant.name,
        "role": str(participant.role),
        "last_read_seq": participant.last_read_seq,
        "joined_at": rfc3339(participant.joined_at),
    }
    return shown if status is None else {**shown, "status": status}


def represent_conversations(
    conversations: Sequence[Conversation],
    own: Mapping[UUID, Participant],
    others: Mapping[UUID, Iterable[Participant]],
    counts: Mapping[UUID, int],
    last: Mapping[UUID, dict[str, Any]],
) -> list[dict[str, Any]]:
    """Return conversations as one of their participants (``own``) sees them, or, without one, as a stranger does."""
    shown = []
    for conversation in conversations:
        mine = own.get(conversation.id)
        shown.append(
            {
                "id": str(conversation.id),
                "kind": str(conversation.kind),
                "title": conversation.title,
                "description": conversation.description,
                "is_open": conversation.is_open,
                "last_seq": conversation.last_seq,
                "revision": conversation.revision,
                "participant_count": counts.get(conversation.id, 0),
                "participants": [represent_participant(each) for each in others.get(conversation.id, ())],
                "last_message": last.get(conversation.id),
                "role": str(mine.role) if mine else None,
                "last_read_seq": mine.last_read_seq if mine else None,
                "unread_count": conversation.last_seq - mine.last_read_seq if mine else None,
                "muted": mine.muted if mine else None,
                "active_at": rfc3339(conversation.active_at),
                "created_at": rfc3339(conversation.created_at),
            }
        )
    return shown
