"""Who takes part: a person by the id that their tenant knows them by, and the place that they have."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from messaging.models import MAX_USER_ID, Conversation, Participant, ParticipantRole
from notification_service.lib.errors import InvalidInput, NotFound, PermissionDenied
from tenants.callers import Caller
from tenants.models import Membership
from tenants.permissions import Permission

_RANK: Final = {ParticipantRole.MEMBER: 0, ParticipantRole.MODERATOR: 1, ParticipantRole.ADMIN: 2}


@dataclass(frozen=True, slots=True)
class Person:
    """A signed-in person of a tenant."""

    tenant_id: UUID
    user_id: str
    name: str


def person_of(caller: Caller) -> Person:
    """Return the person who calls. Raises ``PermissionDenied`` for API keys, services, and who has no tenant."""
    if caller.actor_type != "user" or not caller.may(Permission.SELF):
        raise PermissionDenied("Only a signed-in person can chat.", code="no_person")
    return Person(caller.required_tenant_id(), caller.actor_id, (caller.name or caller.actor_label)[:255])


def other_user_id(text: str, field: str) -> str:
    """Return somebody's id in its normal form. Raises ``InvalidInput`` naming the field."""
    user_id = text.strip()
    if not 1 <= len(user_id) <= MAX_USER_ID or not user_id.isprintable():
        raise InvalidInput.at(field, f"A user id has 1 to {MAX_USER_ID} characters, none of them a control character.")
    return user_id


def local_ids(user_ids: Iterable[str]) -> list[UUID]:
    """Return those ids that may be of people with an account here; other issuers' look otherwise."""
    ids = []
    for text in user_ids:
        with suppress(ValueError):
            ids.append(UUID(text))
    return ids


def names_of(user_ids: Iterable[str]) -> dict[str, str]:
    """Return, by user id, the names of those who are members of the tenant in scope and have one."""
    ids = local_ids(user_ids)
    members = Membership.objects.filter(user_id__in=ids).exclude(user__name="") if ids else Membership.objects.none()
    return {str(user_id): name[:255] for user_id, name in members.values_list("user_id", "user__name")}


def place_of(person: Person, conversation_id: UUID, *, lock: bool = False) -> tuple[Conversation, Participant]:
    """Return a conversation and the person's place in it, or raise ``NotFound``: who is not in it does not see it.

    ``lock`` makes changes of this conversation wait until the transaction ends; it is taken before the place is looked
    at, so somebody who is being removed has either been in time or is out.
    """
    rows = Conversation.objects.select_for_update(no_key=True) if lock else Conversation.objects.all()
    conversation = rows.filter(id=conversation_id).first()
    place = (
        Participant.objects.filter(conversation_id=conversation_id, user_id=person.user_id, left_at=None).first()
        if conversation
        else None
    )
    if conversation is None or place is None:
        raise NotFound
    return conversation, place


def require_role(place: Participant, least: ParticipantRole) -> None:
    """Raise ``PermissionDenied`` unless the place is at least this high."""
    if rank(place.role) < rank(least):
        raise PermissionDenied(f"Only {least.label.lower()}s of the conversation may do this.")


def rank(role: str) -> int:
    """Return how high a role stands: 0 member, 1 moderator, 2 admin."""
    return _RANK[ParticipantRole(role)]


def user_ids_in(conversation_id: UUID) -> list[str]:
    """Return everybody who is in a conversation now."""
    return list(
        Participant.objects.filter(conversation_id=conversation_id, left_at=None).values_list("user_id", flat=True)
    )
