"""Console: writes one line to the log and accepts. For test traffic where there is no sandbox."""

from __future__ import annotations

import logging
from typing import ClassVar

from notification_service.lib.masking import mask_address
from notifications.providers.addresses import copies_of
from notifications.providers.base import CredentialSchema, OutgoingMessage, Provider, SendResult

logger = logging.getLogger(__name__)


class ConsoleCredential(CredentialSchema):
    """Nothing is needed."""


class ConsoleProvider(Provider[ConsoleCredential]):
    """Accepts every message and sends none."""

    key: ClassVar[str] = "console"
    label: ClassVar[str] = "Console"
    channel: ClassVar[str] = "email"
    schema: ClassVar[type[CredentialSchema]] = ConsoleCredential
    needs_credential: ClassVar[bool] = False

    async def send(self, message: OutgoingMessage, credential: ConsoleCredential) -> SendResult:
        """Log the message's id and its masked recipient; content is never logged."""
        copies = sum(map(len, copies_of(message.content, message.recipient)))
        recipient = _one_line(mask_address(message.recipient)) + (f" and {copies} more" if copies else "")
        logger.info("message %s to %s accepted by the console", message.id, recipient)
        return SendResult.success(response="written to the log, not sent", provider_message_id=str(message.id))


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
