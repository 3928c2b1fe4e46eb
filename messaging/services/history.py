"""What was said before: pages of history both ways, what a client has missed, and search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.contrib.postgres.search import SearchQuery
from django.db.models import QuerySet

from messaging.limits import admit
from messaging.models import ChatMessage, Conversation
from messaging.representation import represent_messages
from messaging.services.people import person_of, place_of
from notification_service.lib.errors import InvalidInput, NotFound
from tenants.callers import Caller

MAX_PAGE: Final = 200
#: Frames that a client may have missed; more, and it had better begin anew.
MAX_MISSED: Final = 300
_MAX_QUERY: Final = 200


@dataclass(frozen=True, slots=True)
class Page:
    """Messages in the order in which they were said, and whether there are older and newer ones."""

    conversation: Conversation
    messages: list[dict[str, Any]]
    has_older: bool
    has_newer: bool


@dataclass(frozen=True, slots=True)
class Missed:
    """What a client has missed: new messages, and older ones that have changed. None of both: too much."""

    conversation: Conversation
    new: list[dict[str, Any]] | None
    changed: list[dict[str, Any]]


def page(
    caller: Caller, conversation_id: UUID, *, before: int | None = None, after: int | None = None, limit: int = 50
) -> Page:
    """Return the newest messages, or those next to a ``seq``: before it, or after it. Needs the tenant's scope.

    Raises ``NotFound``, and ``InvalidInput`` if both directions are given.
    """
    conversation, _ = place_of(person_of(caller), conversation_id)
    if before is not None and after is not None:
        raise InvalidInput.at("after", "Give before or after, not both.")
    rows = _messages(conversation)
    limit = max(1, min(limit, MAX_PAGE))
    if after is not None:
        found = list(rows.filter(seq__gt=after).order_by("seq")[:limit])
    else:
        older = rows if before is None else rows.filter(seq__lt=before)
        found = list(older.order_by("-seq")[:limit])[::-1]
    first = found[0].seq if found else (after or 0) + 1
    last = found[-1].seq if found else (before or conversation.last_seq + 1) - 1
    return Page(
        conversation,
        represent_messages(found),
        has_older=rows.filter(seq__lt=first).exists(),
        has_newer=last < conversation.last_seq,
    )


def get(caller: Caller, message_id: UUID) -> dict[str, Any]:
    """Return one message. Raises ``NotFound``."""
    person = person_of(caller)
    message = ChatMessage.objects.filter(id=message_id).defer("search").first()
    if message is None:
        raise NotFound
    place_of(person, message.conversation_id)
    return represent_messages([message])[0]


def missed(caller: Caller, conversation_id: UUID, after_seq: int, after_revision: int | None) -> Missed:
    """Return exactly what a client has missed that has seen everything up to both numbers. Raises ``NotFound``."""
    person = person_of(caller)
    admit(person.tenant_id, person.user_id, "resume")
    # Under the lock both counters and what is read belong together.
    conversation, _ = place_of(person, conversation_id, lock=True)
    rows = _messages(conversation)
    too_much = Missed(conversation, None, [])
    if after_seq > conversation.last_seq or (after_revision or 0) > conversation.revision:
        return too_much  # the client has seen what is not there any more: the database was restored
    if conversation.last_seq - after_seq > MAX_MISSED:
        return too_much
    new = list(rows.filter(seq__gt=after_seq).order_by("seq"))
    changed: list[ChatMessage] = []
    if after_revision is not None and after_revision < conversation.revision:
        changed = list(
            rows.filter(revision__gt=after_revision, seq__lte=after_seq).order_by("revision")[: MAX_MISSED + 1]
        )
    if len(new) != conversation.last_seq - after_seq or len(new) + len(changed) > MAX_MISSED:
        return too_much
    return Missed(conversation, represent_messages(new), represent_messages(changed))


def search(caller: Caller, conversation_id: UUID, query: str, *, before: int | None = None, limit: int = 50) -> Page:
    """Return messages with all words of a query (``"a phrase"``, ``or``, ``-not`` as on the web), the newest first.

    Raises ``NotFound``, ``InvalidInput``.
    """
    person = person_of(caller)
    conversation, _ = place_of(person, conversation_id)
    admit(person.tenant_id, person.user_id, "search")
    if not query.strip() or len(query) > _MAX_QUERY or "\x00" in query:
        raise InvalidInput.at("q", f"Give 1 to {_MAX_QUERY} characters.")
    rows = _messages(conversation).filter(
        search=SearchQuery(query, config="simple", search_type="websearch"), deleted_at=None
    )
    if before is not None:
        rows = rows.filter(seq__lt=before)
    limit = max(1, min(limit, MAX_PAGE))
    found = list(rows.order_by("-seq")[: limit + 1])
    return Page(conversation, represent_messages(found[:limit]), len(found) > limit, before is not None)


def _messages(conversation: Conversation) -> QuerySet[ChatMessage]:
    return ChatMessage.objects.filter(conversation=conversation).defer("search")
