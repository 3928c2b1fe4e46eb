"""A first conversation for the demo page, so that its chat is not empty: made once, with its words."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from messaging.services import conversations, messages
from messaging.services.messages import Draft
from messaging.services.people import person_of
from notification_service.lib.scope import tenant_scope
from tenants.callers import Caller
from tenants.models import Tenant, User
from tenants.permissions import permissions_of_role

#: Who says what: 0 sends, 1 receives. The ids make saying it twice impossible.
_WORDS: Final = (
    (0, "Hi Uma, thanks for your application. Would Thursday at ten suit you for an interview?"),
    (1, "Thursday is perfect. Shall I bring anything?"),
    (0, "Just yourself. The room is on the fourth floor; the invitation follows."),
    (1, "Great, see you then."),
)


def seed_chat(tenant: Tenant, people: tuple[tuple[User, str], tuple[User, str]]) -> UUID:
    """Let two people of a tenant, given with their roles, have talked; return the id of their conversation."""
    callers = [_caller(tenant, user, role) for user, role in people]
    with tenant_scope(tenant.id):
        conversation, made = conversations.find_direct(person_of(callers[0]), callers[1].actor_id)
        for number, (who, text) in enumerate(_WORDS if made else ()):
            messages.send(callers[who], conversation.id, Draft(client_message_id=f"demo-{number}", text=text))
        if made:
            for caller in callers:
                messages.mark_read(caller, conversation.id)
        return conversation.id


def _caller(tenant: Tenant, user: User, role: str) -> Caller:
    return Caller(
        tenant_id=tenant.id,
        actor_type="user",
        actor_id=str(user.id),
        actor_label=user.email,
        name=user.name,
        role=role,
        permissions=permissions_of_role(role),
    )
