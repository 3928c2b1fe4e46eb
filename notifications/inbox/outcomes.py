"""From a record's outcome to a message in an inbox, in the transaction that wrote the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from notifications.inbox.models import Priority
from notifications.inbox.streams import NewMessage, append
from notifications.providers.inapp import Rendered
from notifications.records.outcomes import Outcome
from notifications.records.states import Status


def store_messages(outcomes: Sequence[Outcome]) -> None:
    """Put the in-app messages among the outcomes into their inboxes (``hooks.on_outcomes``).

    An outcome counts once, so a message is stored once. Test traffic reaches nobody's inbox.
    """
    append([_message(each) for each in outcomes if _is_for_an_inbox(each)])


def _is_for_an_inbox(outcome: Outcome) -> bool:
    return (
        outcome.status == Status.SUCCESS
        and outcome.claimed.channel == "inapp"
        and outcome.claimed.mode == "live"
        and isinstance(outcome.result, Rendered)
    )


def _message(outcome: Outcome) -> NewMessage:
    claimed = outcome.claimed
    content = dict(outcome.result.content) if isinstance(outcome.result, Rendered) else {}
    expires_at = content.pop("expires_at", None)
    return NewMessage(
        id=claimed.id,
        user_id=claimed.recipient,
        content=content,
        category=claimed.category[:64],
        priority=content.pop("priority", Priority.NORMAL),
        expires_at=datetime.fromisoformat(expires_at) if expires_at else None,
    )
