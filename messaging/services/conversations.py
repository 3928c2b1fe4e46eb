"""Conversations and who is in them: make, find, list, add, remove, change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import orjson
from django.conf import settings
from django.db.models import Count, F, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from messaging.events import announce
from messaging.limits import admit
from messaging.models import ChatMessage, Conversation, ConversationKind, Participant, ParticipantRole
from messaging.representation import represent_conversations, represent_messages, represent_participant
from messaging.services import messages, notices
from messaging.services.people import (
    Person,
    names_of,
    other_user_id,
    person_of,
    place_of,
    rank,
    require_role,
    user_ids_in,
)
from notification_service.lib.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from tenants.callers import Caller

#: Participants that lists of conversations show.
_SHOWN: Final = 10


def create(
    caller: Caller,
    *,
    kind: str,
    title: str = "",
    description: str = "",
    is_open: bool = False,
    user_ids: Sequence[str] = (),
) -> tuple[Conversation, bool]:
    """Make a conversation with the caller as its admin; the direct one of a pair is found again.

    Returns it and whether it is new. Needs the tenant's scope. Raises ``InvalidInput`` naming the field.
    """
    person = person_of(caller)
    admit(person.tenant_id, person.user_id, "create")
    others = [
        each for each in dict.fromkeys(other_user_id(text, "user_ids") for text in user_ids) if each != person.user_id
    ]
    if kind == ConversationKind.DIRECT:
        if len(others) != 1:
            raise InvalidInput.at("user_ids", "A direct conversation is with exactly one other person.")
        return find_direct(person, others[0])
    if not title.strip():
        raise InvalidInput.at("title", "This field may not be blank.")
    if is_open and kind != ConversationKind.CHANNEL:
        raise InvalidInput.at("is_open", "Only channels can be open.")
    conversation = Conversation.objects.create(
        tenant_id=person.tenant_id,
        kind=kind,
        title=title.strip(),
        description=description,
        is_open=is_open,
        created_by=person.user_id,
        active_at=timezone.now(),
    )
    _enter(conversation, [person.user_id], ParticipantRole.ADMIN, person)
    messages.say(conversation, f"{person.name or 'Somebody'} made this {kind}.", by=person.user_id)
    _enter(conversation, others, ParticipantRole.MEMBER, person)
    return conversation, True


def find_direct(person: Person, other: str) -> tuple[Conversation, bool]:
    """Return the direct conversation of two people, and whether it had to be made. Raises ``InvalidInput``."""
    if other == person.user_id:
        raise InvalidInput.at("recipient_id", "You can not write to yourself.")
    pair = sorted([person.user_id, other])
    key = hashlib.sha256(orjson.dumps(pair)).hexdigest()
    conversation, created = Conversation.objects.get_or_create(
        tenant_id=person.tenant_id,
        direct_key=key,
        defaults={"kind": ConversationKind.DIRECT, "created_by": person.user_id, "active_at": timezone.now()},
    )
    if created:
        _enter(conversation, [person.user_id, other], ParticipantRole.MEMBER, person)
    return conversation, created


def list_own(caller: Caller) -> QuerySet[Conversation]:
    """Return the caller's conversations, the one in which something was said last first."""
    person = person_of(caller)
    return Conversation.objects.filter(participants__user_id=person.user_id, participants__left_at=None).order_by(
        "-active_at", "-id"
    )


def list_open(caller: Caller) -> QuerySet[Conversation]:
    """Return the channels that anybody of the tenant may join."""
    person_of(caller)
    return Conversation.objects.filter(is_open=True).order_by("-active_at", "-id")


def describe(caller: Caller, conversations: Sequence[Conversation]) -> list[dict[str, Any]]:
    """Return conversations as the caller sees them, as JSON values, in a fixed number of queries."""
    person = person_of(caller)
    ids = [conversation.id for conversation in conversations]
    within = Participant.objects.filter(conversation_id__in=ids, left_at=None)
    own = {place.conversation_id: place for place in within.filter(user_id=person.user_id)}
    counts = dict(within.values_list("conversation_id").annotate(Count("id")).order_by())
    others: dict[UUID, list[Participant]] = {}
    mine = within.filter(conversation_id__in=list(own))  # strangers are not told who is in an open channel
    nth = Window(RowNumber(), partition_by="conversation_id", order_by="id")
    for place in mine.annotate(nth=nth).filter(nth__lte=_SHOWN):
        others.setdefault(place.conversation_id, []).append(place)
    last = ChatMessage.objects.filter(conversation_id__in=list(own), seq=F("conversation__last_seq")).defer("search")
    shown = represent_messages(list(last))
    return represent_conversations(
        conversations, own, others, counts, {UUID(message["conversation_id"]): message for message in shown}
    )


def get(caller: Caller, conversation_id: UUID) -> Conversation:
    """Return a conversation that the caller is in. Raises ``NotFound``."""
    return place_of(person_of(caller), conversation_id)[0]


def update(caller: Caller, conversation_id: UUID, changes: Mapping[str, Any]) -> Conversation:
    """Change title, description, openness; admins and moderators may. Raises ``PermissionDenied``, ``InvalidInput``."""
    person = person_of(caller)
    conversation, place = place_of(person, conversation_id, lock=True)
    if conversation.kind == ConversationKind.DIRECT:
        raise Conflict("A direct conversation has no title.")
    require_role(place, ParticipantRole.MODERATOR)
    if "title" in changes and not changes["title"].strip():
        raise InvalidInput.at("title", "This field may not be blank.")
    if changes.get("is_open") and conversation.kind != ConversationKind.CHANNEL:
        raise InvalidInput.at("is_open", "Only channels can be open.")
    renamed = "title" in changes and changes["title"] != conversation.title
    for name, value in changes.items():
        setattr(conversation, name, value)
    conversation.save(update_fields=[*changes, "updated_at"])
    if renamed:
        said = f"{person.name or 'Somebody'} called this {conversation.kind} “{conversation.title}”."
        messages.say(conversation, said, by=person.user_id)
    _announce_update(conversation)
    return conversation


def participants(caller: Caller, conversation_id: UUID) -> QuerySet[Participant]:
    """Return who is in a conversation, those who joined first at the beginning. Raises ``NotFound``."""
    conversation, _ = place_of(person_of(caller), conversation_id)
    return Participant.objects.filter(conversation=conversation, left_at=None).order_by("id")


def add(caller: Caller, conversation_id: UUID, user_ids: Sequence[str], role: str) -> list[Participant]:
    """Add people; moderators may add members, admins anybody; whoever finds an open channel may add themselves.

    Who is in it already stays as they are. Raises ``NotFound``, ``PermissionDenied``, ``Conflict``, ``InvalidInput``.
    """
    person = person_of(caller)
    admit(person.tenant_id, person.user_id, "create")
    wanted = list(dict.fromkeys(other_user_id(text, "user_ids") for text in user_ids))
    conversation = Conversation.objects.select_for_update(no_key=True).filter(id=conversation_id).first()
    if conversation is None:
        raise NotFound
    place = Participant.objects.filter(conversation=conversation, user_id=person.user_id, left_at=None).first()
    if place is None and not (conversation.is_open and wanted == [person.user_id]):
        raise NotFound
    if place is None:
        role = ParticipantRole.MEMBER
    elif wanted != [person.user_id]:
        if conversation.kind == ConversationKind.DIRECT:
            raise Conflict("A direct conversation is between two people; make a group.")
        require_role(place, ParticipantRole.ADMIN if role != ParticipantRole.MEMBER else ParticipantRole.MODERATOR)
    _enter(conversation, wanted, role, person)
    return list(Participant.objects.filter(conversation=conversation, user_id__in=wanted, left_at=None))


def change_participant(
    caller: Caller, conversation_id: UUID, user_id: str, *, role: str | None = None, muted: bool | None = None
) -> Participant:
    """Change somebody's role (as an admin) or whether one's own notices are muted. Raises like ``add``."""
    person = person_of(caller)
    conversation, place = place_of(person, conversation_id, lock=True)
    target = _present(conversation, user_id)
    if muted is not None:
        if user_id != person.user_id:
            raise PermissionDenied("People mute conversations for themselves.")
        target.muted = muted
        if muted:
            notices.cancel(conversation.id, user_id)
    if role is not None and role != target.role:
        if conversation.kind == ConversationKind.DIRECT:
            raise Conflict("A direct conversation has no roles.")
        require_role(place, ParticipantRole.ADMIN)
        admins = Participant.objects.filter(conversation=conversation, left_at=None, role=ParticipantRole.ADMIN)
        if target.role == ParticipantRole.ADMIN and not admins.exclude(id=target.id).exists():
            raise Conflict("Somebody has to be the admin: make another one first.")
        target.role = role
        _announce_update(conversation)
    target.save(update_fields=["role", "muted"])
    return target


def remove(caller: Caller, conversation_id: UUID, user_id: str) -> None:
    """Take somebody out of a conversation, or leave it: access ends with this transaction. Raises like ``add``."""
    person = person_of(caller)
    conversation, place = place_of(person, conversation_id, lock=True)
    if conversation.kind == ConversationKind.DIRECT:
        raise Conflict("A direct conversation is between two people; mute it instead.")
    target = _present(conversation, user_id)
    if target.id != place.id:
        require_role(place, ParticipantRole.MODERATOR)
        if rank(target.role) >= rank(place.role) and place.role != ParticipantRole.ADMIN:
            raise PermissionDenied("Only admins may remove moderators and admins.")
    take_out(conversation, target)
    name = target.name or target.user_id
    said = f"{name} left." if target.id == place.id else f"{person.name or 'Somebody'} removed {name}."
    messages.say(conversation, said, by=person.user_id)


def take_out(conversation: Conversation, target: Participant) -> None:
    """End somebody's participation in a locked conversation; if nobody is its admin then, somebody becomes it."""
    told = user_ids_in(conversation.id)
    target.left_at = timezone.now()
    target.save(update_fields=["left_at"])
    notices.cancel(conversation.id, target.user_id)
    announce(
        conversation.tenant_id,
        {"type": "participant_removed", "conversation_id": str(conversation.id), "user_id": target.user_id},
        conversations=[conversation.id],
        users=told,
        everywhere=True,
    )
    left = Participant.objects.filter(conversation=conversation, left_at=None)
    if conversation.kind != ConversationKind.DIRECT and not left.filter(role=ParticipantRole.ADMIN).exists():
        heir = left.filter(role=ParticipantRole.MODERATOR).first() or left.first()
        if heir is not None:
            heir.role = ParticipantRole.ADMIN
            heir.save(update_fields=["role"])


def _enter(conversation: Conversation, user_ids: Sequence[str], role: str, by: Person) -> None:
    """Let people in who are not in it. The conversation is locked, or new."""
    if not user_ids:
        return
    within = set(user_ids_in(conversation.id))
    new = [user_id for user_id in user_ids if user_id not in within]
    if len(within) + len(new) > settings.CHAT_MAX_PARTICIPANTS:
        raise InvalidInput.at("user_ids", f"A conversation has at most {settings.CHAT_MAX_PARTICIPANTS} participants.")
    now = timezone.now()
    names = {**names_of(new), by.user_id: by.name}
    places = [
        Participant(
            tenant_id=conversation.tenant_id,
            conversation=conversation,
            user_id=user_id,
            name=names.get(user_id, ""),
            role=role,
            # What was said before is there to be read, but it is no news.
            last_read_seq=conversation.last_seq,
            notified_seq=conversation.last_seq,
            joined_at=now,
        )
        for user_id in new
    ]
    Participant.objects.bulk_create(
        places,
        update_conflicts=True,
        unique_fields=["conversation", "user_id"],
        update_fields=["role", "last_read_seq", "notified_seq", "joined_at", "left_at"],
    )
    told = [*within, *new]
    for place in places:
        announce(
            conversation.tenant_id,
            {
                "type": "participant_added",
                "conversation_id": str(conversation.id),
                "participant": represent_participant(place),
            },
            conversations=[conversation.id],
            users=told,
            everywhere=True,
        )
    others = [place.name or place.user_id for place in places if place.user_id != by.user_id]
    if others and conversation.kind != ConversationKind.DIRECT:
        messages.say(conversation, f"{by.name or 'Somebody'} added {_enumerated(others)}.", by=by.user_id)
    elif new == [by.user_id] and conversation.last_seq:
        messages.say(conversation, f"{by.name or by.user_id} joined.", by=by.user_id)


def _enumerated(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _present(conversation: Conversation, user_id: str) -> Participant:
    target = Participant.objects.filter(conversation=conversation, user_id=user_id, left_at=None).first()
    if target is None:
        raise NotFound
    return target


def _announce_update(conversation: Conversation) -> None:
    announce(
        conversation.tenant_id,
        {"type": "conversation_updated", "conversation_id": str(conversation.id)},
        conversations=[conversation.id],
        users=user_ids_in(conversation.id),
        everywhere=True,
    )
