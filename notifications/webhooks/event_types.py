"""What webhooks tell of: the types that an endpoint can ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EVENT_TYPES: Final[Mapping[str, str]] = {
    "notification.delivered": "The provider reports that a message arrived, or took it and gives no such reports.",
    "notification.failed": "A message was given up, or the provider reports that it could not be delivered.",
    "notification.bounced": "The recipient's server sent a message back.",
    "notification.read": "The recipient has read a message.",
    "notification.acknowledged": "The recipient has confirmed a message.",
    "campaign.completed": "Every message of a campaign has come to its end.",
    "user.registered": "A person who receives was stored for the first time.",
    "quota.warning": "80 % of the month's quota of notifications is used up.",
    "quota.exceeded": "The month's quota of notifications is used up.",
    "message.created": "A chat message was written.",
}
#: What the ``test`` address sends, whatever an endpoint asks for.
TEST_TYPE: Final = "webhook.test"
