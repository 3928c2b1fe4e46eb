"""What is said: send, edit, delete, react, read. Every change happens under the conversation's lock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from messaging.events import announce
from messaging.limits import admit, admit_message
from messaging.models import (
    MAX_CLIENT_ID,
    MAX_EMOJI,
    MAX_TEXT,
    ChatFile,
    ChatMessage,
    Conversation,
    MessageType,
    Participant,
    ParticipantRole,
    Reaction,
)
from messaging.representation import represent_messages, rfc3339
from messaging.services import files, notices
from messaging.services.people import Person, person_of, place_of, require_role, user_ids_in
from notification_service.lib.errors import Conflict, InvalidInput, NotFound, PermissionDenied, Unprocessable
from notification_service.lib.ids import new_id
from notifications.webhooks.services import publish
from tenants import audit
from tenants.callers import Caller


@dataclass(frozen=True, slots=True)
class Draft:
    """A message as a client sends it. ``client_message_id`` makes sending it again harmless."""

    client_message_id: str
    message_type: str = MessageType.TEXT
    text: str = ""
    file_id: UUID | None = None
    reply_to: UUID | None = None


class Sent(NamedTuple):
    """A message as JSON values, and whether it had been sent before."""

    message: dict[str, Any]
    duplicate: bool


def send(caller: Caller, conversation_id: UUID, draft: Draft) -> Sent:
    """Send a message. Needs the tenant's scope.

    Raises ``NotFound``, ``InvalidInput`` naming the field, ``TooManyRequests``, and ``Unprocessable`` if the client's
    id belongs to another message.
    """
    person = person_of(caller)
    _check(draft)
    admit_message(person.tenant_id, person.user_id, conversation_id)
    conversation, place = place_of(person, conversation_id, lock=True)
    if (earlier := _sent_before(person, conversation, draft)) is not None:
        return Sent(represent_messages([earlier])[0], duplicate=True)
    file = _file_of(person, conversation, draft)
    reply_to = _reply_of(conversation, draft)
    try:
        with transaction.atomic():
            message = _append(
                conversation,
                sender_id=person.user_id,
                sender_name=person.name,
                client_message_id=draft.client_message_id,
                message_type=draft.message_type,
                text=draft.text,
                file=file,
                reply_to=reply_to,
            )
    except IntegrityError:  # at this moment the same id was used in another conversation
        raise _id_is_taken() from None
    # Who answers has read what there was.
    place.last_read_seq, place.read_at = message.seq, message.created_at
    place.name = person.name or place.name
    place.save(update_fields=["last_read_seq", "read_at", "name"])
    notices.cancel(conversation.id, person.user_id)
    notices.plan(conversation, message)
    facts = {"messageId": message.id, "conversationId": conversation.id, "userId": person.user_id}
    publish("message.created", {**facts, "messageType": message.message_type}, key=str(conversation.id))
    return Sent(_announce_new(message), duplicate=False)


def say(conversation: Conversation, text: str, by: str) -> None:
    """Append a message of the service itself, about what somebody did: to them it is no news. It is locked."""
    message = _append(
        conversation,
        sender_id=None,
        sender_name="",
        client_message_id=str(new_id()),
        message_type=MessageType.SYSTEM,
        text=text[:MAX_TEXT],
        file=None,
        reply_to=None,
    )
    Participant.objects.filter(
        conversation=conversation, user_id=by, left_at=None, last_read_seq=message.seq - 1
    ).update(last_read_seq=message.seq, read_at=message.created_at)
    _announce_new(message)


def edit(caller: Caller, message_id: UUID, text: str, *, within: UUID | None = None) -> dict[str, Any]:
    """Change the text of a message of one's own. Raises ``NotFound``, ``Conflict``, ``PermissionDenied``.

    ``within`` is the conversation in which it is looked for; None: in all of them.
    """
    person = person_of(caller)
    conversation, _, message = _locked(person, message_id, within)
    if message.sender_id != person.user_id:
        raise PermissionDenied("Only its sender may change a message.")
    if message.deleted_at is not None:
        raise Conflict("This message was deleted.")
    _check(Draft(message.client_message_id, message.message_type, text, message.file_id))
    if message.text == text:
        return represent_messages([message])[0]
    message.text, message.edited_at = text, timezone.now()
    return _changed(conversation, message, "message_updated", ["text", "edited_at"])


def delete(caller: Caller, message_id: UUID, *, within: UUID | None = None) -> dict[str, Any]:
    """Delete a message: one's own, or, as a moderator, anybody's, which is audited. Raises ``NotFound``."""
    person = person_of(caller)
    conversation, place, message = _locked(person, message_id, within)
    own = message.sender_id == person.user_id
    if not own:
        require_role(place, ParticipantRole.MODERATOR)
    if message.deleted_at is not None:
        return represent_messages([message])[0]
    if not own:
        audit.record(
            caller,
            "chat.message_deleted",
            "chat_message",
            message.id,
            conversation_id=str(conversation.id),
            sender_id=message.sender_id,
        )
    return _delete(conversation, message, person.user_id)


def moderate(caller: Caller, message: ChatMessage) -> None:
    """Delete a message as the platform's staff or the tenant's own machinery. Needs a scope that may write it."""
    conversation = Conversation.objects.select_for_update(no_key=True).get(id=message.conversation_id)
    message.refresh_from_db()
    if message.deleted_at is None:
        audit.record(
            caller,
            "chat.message_deleted",
            "chat_message",
            message.id,
            conversation_id=str(conversation.id),
            sender_id=message.sender_id,
        )
        _delete(conversation, message, caller.actor_label or caller.actor_id)


def react(caller: Caller, message_id: UUID, emoji: str, *, present: bool, within: UUID | None = None) -> dict[str, Any]:
    """Put a reaction on a message (``present``) or take it back; return the message. Raises ``NotFound``."""
    person = person_of(caller)
    emoji = emoji.strip()
    if not 1 <= len(emoji) <= MAX_EMOJI or "\x00" in emoji or emoji.split() != [emoji]:
        raise InvalidInput.at("emoji", f"Give an emoji, of 1 to {MAX_EMOJI} characters.")
    conversation, _, message = _locked(person, message_id, within)
    own = Reaction.objects.filter(message=message, user_id=person.user_id, emoji=emoji)
    if own.exists() == present:
        return represent_messages([message])[0]
    if not present:
        own.delete()
    elif message.deleted_at is not None:
        raise Conflict("This message was deleted.")
    else:
        Reaction.objects.create(tenant_id=person.tenant_id, message=message, user_id=person.user_id, emoji=emoji)
    _next_revision(conversation, message, [])
    announce(
        person.tenant_id,
        {
            "type": "reaction_added" if present else "reaction_removed",
            "conversation_id": str(conversation.id),
            "message_id": str(message.id),
            "user_id": person.user_id,
            "emoji": emoji,
            "revision": message.revision,
        },
        conversations=[conversation.id],
        users=user_ids_in(conversation.id),
        revision=message.revision,
    )
    return represent_messages([message])[0]


def mark_read(caller: Caller, conversation_id: UUID, seq: int | None = None) -> Participant:
    """Move the caller's read position forward, to the newest message if ``seq`` is None. Raises ``NotFound``."""
    person = person_of(caller)
    conversation, place = place_of(person, conversation_id)
    admit(person.tenant_id, person.user_id, "change")
    reached = conversation.last_seq if seq is None else min(seq, conversation.last_seq)
    now = timezone.now()
    moved = Participant.objects.filter(id=place.id, last_read_seq__lt=reached).update(
        last_read_seq=reached, read_at=now
    )
    place.refresh_from_db()
    if not moved:
        return place
    notices.read_up_to(conversation, person.user_id, reached)
    announce(
        person.tenant_id,
        {
            "type": "read_receipt",
            "conversation_id": str(conversation_id),
            "user_id": person.user_id,
            "last_read_seq": reached,
            "read_at": rfc3339(now),
        },
        conversations=[conversation_id],
        also=person.user_id,
    )
    return place


def _check(draft: Draft) -> None:
    errors: dict[str, list[str]] = {}
    if not 1 <= len(draft.client_message_id) <= MAX_CLIENT_ID or not draft.client_message_id.isprintable():
        errors["client_message_id"] = [f"Give 1 to {MAX_CLIENT_ID} printable characters."]
    if draft.message_type not in MessageType.values or draft.message_type == MessageType.SYSTEM:
        errors["message_type"] = ["Must be text, emoji, file or image."]
    with_file = draft.message_type in (MessageType.FILE, MessageType.IMAGE)
    if with_file and draft.file_id is None:
        errors["file_id"] = ["A message of this type needs a file."]
    if not with_file and draft.file_id is not None:
        errors["file_id"] = ["Only messages of type file or image have one."]
    if not with_file and not draft.text.strip():
        errors["text"] = ["This field may not be blank."]
    if len(draft.text) > MAX_TEXT:
        errors["text"] = [f"At most {MAX_TEXT} characters are allowed."]
    if draft.message_type == MessageType.EMOJI and len(draft.text) > MAX_EMOJI:
        errors["text"] = [f"An emoji has at most {MAX_EMOJI} characters."]
    if "\x00" in draft.text:
        errors["text"] = ["Null characters are not allowed."]
    if errors:
        field, messages = next(iter(errors.items()))
        raise InvalidInput(f"{field}: {messages[0]}", errors=errors)


def _sent_before(person: Person, conversation: Conversation, draft: Draft) -> ChatMessage | None:
    earlier = ChatMessage.objects.filter(sender_id=person.user_id, client_message_id=draft.client_message_id).first()
    if earlier is not None and earlier.conversation_id != conversation.id:
        raise _id_is_taken()
    return earlier


def _id_is_taken() -> Unprocessable:
    return Unprocessable.at("client_message_id", "You have sent another message with this id.")


def _file_of(person: Person, conversation: Conversation, draft: Draft) -> ChatFile | None:
    if draft.file_id is None:
        return None
    file = ChatFile.objects.filter(
        id=draft.file_id, conversation=conversation, uploaded_by=person.user_id, messages=None
    ).first()
    if file is None:
        raise InvalidInput.at(
            "file_id", "You have uploaded no such file to this conversation, or have sent it already."
        )
    if draft.message_type == MessageType.IMAGE and not file.content_type.startswith("image/"):
        raise InvalidInput.at("file_id", "This is no image.")
    return file


def _reply_of(conversation: Conversation, draft: Draft) -> ChatMessage | None:
    if draft.reply_to is None:
        return None
    replied = ChatMessage.objects.filter(id=draft.reply_to, conversation=conversation, deleted_at=None).first()
    if replied is None:
        raise InvalidInput.at("reply_to", "There is no such message in this conversation.")
    return replied


def _append(conversation: Conversation, **fields: Any) -> ChatMessage:
    """Write the next message of a locked conversation."""
    now: datetime = timezone.now()
    message = ChatMessage(
        tenant_id=conversation.tenant_id,
        conversation=conversation,
        seq=conversation.last_seq + 1,
        revision=conversation.revision + 1,
        created_at=now,
        **fields,
    )
    message.save(force_insert=True)
    conversation.last_seq, conversation.revision, conversation.active_at = message.seq, message.revision, now
    conversation.save(update_fields=["last_seq", "revision", "active_at", "updated_at"])
    return message


def _announce_new(message: ChatMessage) -> dict[str, Any]:
    shown = represent_messages([message])[0]
    announce(
        message.tenant_id,
        {"type": "new_message", "conversation_id": str(message.conversation_id), "message": shown},
        conversations=[message.conversation_id],
        users=user_ids_in(message.conversation_id),
        everywhere=True,
        revision=message.revision,
    )
    return shown


def _locked(person: Person, message_id: UUID, within: UUID | None) -> tuple[Conversation, Participant, ChatMessage]:
    """Return a message with its conversation, locked, and the person's place in it, for a change.

    Raises ``NotFound``, ``TooManyRequests``.
    """
    conversation_id = ChatMessage.objects.filter(id=message_id).values_list("conversation_id", flat=True).first()
    if conversation_id is None or within not in (None, conversation_id):
        raise NotFound
    conversation, place = place_of(person, conversation_id, lock=True)
    message = ChatMessage.objects.filter(id=message_id).first()
    if message is None:
        raise NotFound
    admit(person.tenant_id, person.user_id, "change")
    return conversation, place, message


def _next_revision(conversation: Conversation, message: ChatMessage, fields: list[str]) -> None:
    conversation.revision += 1
    message.revision = conversation.revision
    conversation.save(update_fields=["revision", "updated_at"])
    message.save(update_fields=["revision", *fields])


def _changed(conversation: Conversation, message: ChatMessage, kind: str, fields: list[str]) -> dict[str, Any]:
    _next_revision(conversation, message, fields)
    shown = represent_messages([message])[0]
    announce(
        message.tenant_id,
        {"type": kind, "conversation_id": str(conversation.id), "message": shown},
        conversations=[conversation.id],
        users=user_ids_in(conversation.id),
        revision=message.revision,
    )
    return shown


def _delete(conversation: Conversation, message: ChatMessage, by: str) -> dict[str, Any]:
    file = message.file
    message.text, message.file, message.deleted_at, message.deleted_by = "", None, timezone.now(), by[:255]
    Reaction.objects.filter(message=message).delete()
    shown = _changed(conversation, message, "message_deleted", ["text", "file", "deleted_at", "deleted_by"])
    if file is not None:
        files.discard([file])
    return shown
